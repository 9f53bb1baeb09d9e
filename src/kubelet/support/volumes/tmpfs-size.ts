import type { Pod } from '../../../objects/generated/core-v1.ts';
import { hasLimitEverywhere, podLimits } from '../../../objects/qos.ts';
import { parseQuantity, toValue } from '../../../objects/quantity.ts';
import { memoryBytesOf } from '../../../objects/resource-list.ts';

/**
 * How large a volume in memory may become: the smallest of what the node has, what the pod may use and what the
 * volume says, where 0 means that one says nothing.
 *
 * @param sizeLimit the volume's own limit, a quantity
 * @returns bytes; undefined when nobody says anything
 */
export function tmpfsSizeBytes(pod: Pod, allocatableBytes: number, sizeLimit: string | undefined): number | undefined {
  const podBytes = hasLimitEverywhere(pod, 'memory') ? memoryBytesOf(podLimits(pod)) : 0;
  const volumeBytes = sizeLimit === undefined ? 0 : toValue(parseQuantity(sizeLimit));
  const said = [allocatableBytes, podBytes, volumeBytes].filter((bytes) => bytes > 0);
  return said.length === 0 ? undefined : Math.min(...said);
}
