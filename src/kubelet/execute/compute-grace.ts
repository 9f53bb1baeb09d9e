/** How long a container may take to end. Pure. */
import type { Pod } from '../../objects/generated/core-v1.ts';
import type { Container } from '../../objects/generated/core-v1.ts';
import type { KillCause } from './compute-pod-actions.ts';

/** The runtime gets at least this, whatever the pod says. */
export const minimumStopSeconds = 2;

/** Seconds for one container: an override first, then the pod's deletion, the probe that failed, the spec. */
export function containerGraceSeconds(
  pod: Pod,
  container: Container | undefined,
  cause: KillCause,
  override: number | undefined,
): number {
  if (override !== undefined) return override;
  if (pod.metadata.deletionGracePeriodSeconds !== undefined) return pod.metadata.deletionGracePeriodSeconds;
  const ofProbe =
    cause === 'liveness'
      ? container?.livenessProbe?.terminationGracePeriodSeconds
      : cause === 'startup'
        ? container?.startupProbe?.terminationGracePeriodSeconds
        : undefined;
  return ofProbe ?? pod.spec.terminationGracePeriodSeconds ?? minimumStopSeconds;
}

/**
 * Seconds for the whole pod while it terminates. `stored` is what an earlier look decided (0: nothing yet);
 * it can only shrink, and is at least 1.
 */
export function podGraceSeconds(pod: Pod, stored: number, override: number | undefined): number {
  let grace = stored;
  let isOverridden = false;
  const take = (value: number | undefined): void => {
    if (value === undefined) return;
    if (grace === 0 || value < grace) grace = value;
    isOverridden = true;
  };
  take(pod.metadata.deletionGracePeriodSeconds);
  take(override);
  if (!isOverridden && grace === 0) grace = pod.spec.terminationGracePeriodSeconds ?? 0;
  return Math.max(grace, 1);
}
