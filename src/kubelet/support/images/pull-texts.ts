/** The words about pulls, as upstream has them. Pure. */
import { rpcText } from '../../../base/grpc.ts';

/** The runtime's answer to a pull: whole, but without a code that says nothing. */
export function pullText(error: unknown): string {
  return rpcText(error).replace(/^rpc error: code = Unknown desc = /, '');
}

/** Several failures as one text: each once, in brackets when they are more than one. */
export function aggregateTexts(texts: readonly string[]): string {
  const distinct = [...new Set(texts)];
  return distinct.length === 1 ? (distinct[0] ?? '') : `[${distinct.join(', ')}]`;
}

const runtimeReasons: Readonly<Record<string, string>> = {
  RegistryUnavailable: 'the registry is unavailable',
  SignatureValidationFailed: 'the signature validation failed',
};

/** The waiting state after a failed pull. A runtime that knows better than "failed" begins its text with its reason. */
export function pullFailure(image: string, text: string): { reason: string; message: string } {
  for (const [reason, what] of Object.entries(runtimeReasons)) {
    const words = text.replace(/^rpc error: code = \w+ desc = /, '');
    if (!words.startsWith(reason)) continue;
    return { reason, message: `image pull failed for ${image} because ${what}${words.slice(reason.length)}` };
  }
  return { reason: 'ErrImagePull', message: text };
}

/** A duration cut to milliseconds, as Go prints it: `532ms`, `1.234s`, `1m2.5s`, `1h0m0s`. */
export function goMilliseconds(ms: number): string {
  const whole = Math.floor(ms);
  if (whole < 1) return '0s';
  if (whole < 1000) return `${whole}ms`;
  const seconds = Number(((whole % 60_000) / 1000).toFixed(3));
  const minutes = Math.floor(whole / 60_000);
  if (minutes === 0) return `${seconds}s`;
  return minutes < 60 ? `${minutes}m${seconds}s` : `${Math.floor(minutes / 60)}h${minutes % 60}m${seconds}s`;
}
