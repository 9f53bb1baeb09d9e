/** What is said when not all volumes of a pod could be set up. Pure. */
import { DeadlineError, describeError } from '../../../base/errors.ts';

export interface MountFailure {
  /** Names of volumes in the pod that are not mounted. */
  unmounted: readonly string[];
  /** Of these, those that wait for somebody to attach them. */
  unattached: readonly string[];
  /** Volumes whose claim leads to nothing, with the reason. */
  unprocessed: ReadonlyMap<string, Error>;
  /** The last failure, when there was one. */
  cause: unknown;
}

/** The pod waits in vain: its node has as many volumes as it can have attached. */
export class VolumeLimitError extends Error {
  override name = 'VolumeLimitError';
}

/** In upstream's words, and in no more than these: they become the message of a pod's status. */
export function limitFailure(failure: MountFailure): VolumeLimitError {
  const reason = reasonsOf(failure) ?? timeIsOver;
  return new VolumeLimitError(
    `Node has reached its volume attachment limit, rejecting pod. ${listed(failure)}: ${reason}`,
  );
}

/** In upstream's words: what cannot be processed fails at once, everything else when the time is over. */
export function mountFailure(failure: MountFailure): Error {
  const reasons = reasonsOf(failure);
  const { cause } = failure;
  return new Error(`Unable to attach or mount volumes: ${listed(failure)}`, {
    cause: reasons === undefined ? new DeadlineError(timeIsOver, { cause }) : new Error(reasons),
  });
}

const timeIsOver = 'context deadline exceeded';

function listed({ unmounted, unattached, unprocessed }: MountFailure): string {
  const list = (names: Iterable<string>): string => `[${[...names].toSorted().join(' ')}]`;
  return `unmounted volumes=${list(unmounted)}, unattached volumes=${list(unattached)}, failed to process volumes=${list(unprocessed.keys())}`;
}

function reasonsOf({ unprocessed }: MountFailure): string | undefined {
  const reasons = [...new Set([...unprocessed.values()].map(describeError))];
  return reasons.length === 0 ? undefined : reasons.join('; ');
}
