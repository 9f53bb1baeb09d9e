import type { PodStatus } from '../../objects/generated/core-v1.ts';

/**
 * The restart count of a container of which the runtime has no instance any more, by what the API was told: one more
 * when it had one. So it is with those that a new sandbox purges before their turn comes. Pure.
 */
export function toldRestartCount(status: PodStatus | undefined, name: string): number {
  const told = [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])].find(
    (one) => one.name === name,
  );
  if (told === undefined) return 0;
  const hadInstance = told.containerID !== undefined && told.containerID !== '';
  return told.restartCount + (hadInstance ? 1 : 0);
}
