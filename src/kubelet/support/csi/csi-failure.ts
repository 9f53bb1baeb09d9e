/** What went wrong with a driver's volume, in upstream's words, and what that means for the volume. */
import { describeError } from '../../../base/errors.ts';
import { rpcError } from '../../../base/grpc.ts';
import { apiStatus } from '../../../client/api-client.ts';
import type { VolumeFailure, VolumeOutcome } from '../../volume-model.ts';

export class CsiFailure extends Error implements VolumeFailure {
  override name = 'CsiFailure';
  readonly outcome: VolumeOutcome;
  readonly code: string | undefined;
  constructor(message: string, outcome: VolumeOutcome, code?: string) {
    super(message);
    this.outcome = outcome;
    this.code = code;
  }
}

/** The prefix of all that is not a driver's own answer. */
export const says = (text: string): string => `kubernetes.io/csi: ${text}`;

/** A driver that answers like this may still be at work, or may have done it. */
const openCodes: ReadonlySet<string> = new Set([
  'Canceled',
  'DeadlineExceeded',
  'Unavailable',
  'ResourceExhausted',
  'Aborted',
]);

/** A failed call that may have changed something. The driver's answer stands as it is. */
export function callFailure(err: unknown, prefix = ''): CsiFailure {
  const code = rpcError(err)?.code;
  const outcome = code === undefined || openCodes.has(code) ? 'uncertain' : 'final';
  return new CsiFailure(`${prefix}${wordsOf(err)}`, outcome, code);
}

/** A failure before anything was changed. */
export const earlyFailure = (text: string): CsiFailure => new CsiFailure(text, 'transient');

/** The words of whoever refused: the driver's or the API server's alone, if it was one of them. */
export const wordsOf = (err: unknown): string =>
  rpcError(err)?.message ?? apiStatus(err)?.message ?? describeError(err);
