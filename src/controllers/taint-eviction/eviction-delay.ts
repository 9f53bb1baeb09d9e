import type { Taint, Toleration } from '../../objects/generated/core-v1.ts';
import { toleratesTaint } from '../../objects/tolerations.ts';

/**
 * How long a pod may stay on a node with these NoExecute taints, in ms: 0 is not at all, undefined for ever. Of the
 * tolerations only the first that fits each taint counts. Pure.
 */
export function evictionDelayMs(tolerations: readonly Toleration[], taints: readonly Taint[]): number | undefined {
  let leastMs: number | undefined;
  for (const taint of taints) {
    const toleration = tolerations.find((candidate) => toleratesTaint(candidate, taint));
    if (toleration === undefined) return 0;
    if (toleration.tolerationSeconds === undefined) continue;
    leastMs = Math.min(leastMs ?? Infinity, Math.max(0, toleration.tolerationSeconds) * 1000);
  }
  return leastMs;
}
