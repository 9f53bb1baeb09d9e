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

/** In upstream's words: what cannot be processed fails at once, everything else when the time is over. */
export function mountFailure({ unmounted, unattached, unprocessed, cause }: MountFailure): Error {
  const list = (names: Iterable<string>): string => `[${[...names].toSorted().join(' ')}]`;
  const text = `unmounted volumes=${list(unmounted)}, unattached volumes=${list(unattached)}, failed to process volumes=${list(unprocessed.keys())}`;
  const reasons = [...new Set([...unprocessed.values()].map(describeError))];
  return new Error(`Unable to attach or mount volumes: ${text}`, {
    cause:
      reasons.length > 0 ? new Error(reasons.join('; ')) : new DeadlineError('context deadline exceeded', { cause }),
  });
}
