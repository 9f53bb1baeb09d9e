/** Which servers are asked, in which order. Pure. */

export type ForwardPolicy = 'random' | 'round_robin' | 'sequential';

export interface UpstreamHealth {
  isHealthy: boolean;
  /** Questions sent there come back to us. */
  isLooping: boolean;
}

/**
 * Those that are well, as the policy orders them. When none is, one of the others is tried: whether it is well is only
 * known for sure by asking.
 *
 * @param turn how many questions there were before this one
 * @param random from 0 up to, and without, 1
 */
export function orderUpstreams<T extends UpstreamHealth>(
  upstreams: readonly T[],
  policy: ForwardPolicy,
  turn: number,
  random: () => number,
): T[] {
  const usable = upstreams.filter(({ isLooping }) => !isLooping);
  const healthy = usable.filter(({ isHealthy }) => isHealthy);
  if (healthy.length === 0) return usable.slice(pick(usable.length, random)).slice(0, 1);
  if (policy === 'sequential') return healthy;
  const first = policy === 'random' ? pick(healthy.length, random) : turn % healthy.length;
  return [...healthy.slice(first), ...healthy.slice(0, first)];
}

function pick(count: number, random: () => number): number {
  return Math.floor(random() * count);
}
