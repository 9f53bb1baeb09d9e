/** postStart and preStop handlers: a command in the container, an HTTP request to it, or a pause. */
import type { Clock } from '../../base/clock.ts';
import { describeError } from '../../base/errors.ts';
import { goQuote } from '../../base/go-quote.ts';
import { rpcText } from '../../base/grpc.ts';
import type { LifecycleHandler, Pod } from '../../objects/generated/core-v1.ts';
import type { Container } from '../../objects/generated/core-v1.ts';
import { type PodEvents, podDescription } from '../pod-model.ts';
import { hookRequest } from './hook-request.ts';

interface HooksNeed {
  execSync(
    id: string,
    command: readonly string[],
    timeoutSeconds: number,
    signal: AbortSignal,
  ): Promise<{ exitCode: number; stdout: Buffer; stderr: Buffer }>;
  events: Pick<PodEvents, 'pod'>;
  clock: Clock;
}

/** The handler ran and failed, or could not run. The message is what the container's status shows. */
export class HookError extends Error {
  override name = 'HookError';
}

/** @throws {HookError} */
export async function runHook(
  need: HooksNeed,
  handler: LifecycleHandler,
  { pod, container, containerId, podIp }: { pod: Pod; container: Container; containerId: string; podIp: string },
  signal: AbortSignal,
): Promise<void> {
  const where = `for Container "${container.name}" in Pod "${podDescription(pod)}"`;
  if (handler.exec !== undefined) {
    const command = handler.exec.command ?? [];
    let said = '';
    try {
      const { exitCode, stdout, stderr } = await need.execSync(containerId, command, 0, signal);
      if (exitCode === 0) return;
      said = Buffer.concat([stdout, stderr])
        .subarray(0, 10 * 1024)
        .toString();
      throw new Error(`command '${command.join(' ')}' exited with ${exitCode}: ${stderr.toString()}`);
    } catch (cause) {
      throw new HookError(
        `Exec lifecycle hook ([${command.join(' ')}]) ${where} failed - error: ${textOf(cause)}, message: ${goQuote(said)}`,
        { cause },
      );
    }
  }
  if (handler.httpGet !== undefined) {
    try {
      const plain = await hookRequest(handler.httpGet, container, podIp, signal);
      if (plain !== undefined) {
        const message = `request to HTTPS lifecycle hook ${plain} got HTTP response, retry with HTTP succeeded`;
        need.events.pod(pod, 'Warning', 'LifecycleHTTPFallback', message);
      }
    } catch (cause) {
      throw new HookError(
        `HTTP lifecycle hook (${handler.httpGet.path ?? '/'}) ${where} failed - error: ${describeError(cause)}, message: ""`,
        { cause },
      );
    }
    return;
  }
  if (handler.sleep !== undefined) {
    await need.clock.sleep(handler.sleep.seconds * 1000, signal);
    return;
  }
  throw new HookError(`Cannot run lifecycle hook ${where}: it names no exec, httpGet or sleep action`);
}

/** The runtime's own words, as others print them. */
function textOf(err: unknown): string {
  const text = rpcText(err);
  return text.startsWith('rpc error') ? text : describeError(err);
}
