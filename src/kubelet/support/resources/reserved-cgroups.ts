/**
 * Holds what is not pods to what is reserved for it: the groups named for the system and for Kubernetes' own daemons.
 * They are somebody else's (systemd's, mostly): they must be there, and only their limits are written.
 */
import type { CgroupValues } from '../../../adapters/cgroups/compute-writes.ts';
import { parseQuantity, toMilli, toValue } from '../../../objects/quantity.ts';
import { cpuShares } from './compute-cpu.ts';
import type { GroupNames } from './group-names.ts';
import type { PodGroupTree } from './slice-groups.ts';

export interface ReservedOptions {
  enforceNodeAllocatable: readonly string[];
  kubeReserved: Readonly<Record<string, string>>;
  kubeReservedCgroup: string;
  systemReserved: Readonly<Record<string, string>>;
  systemReservedCgroup: string;
}

interface ReservedNeed {
  cgroups: Pick<PodGroupTree, 'exists' | 'update'>;
  names: GroupNames;
  /** An event on the Node object. */
  event(type: 'Normal' | 'Warning', reason: string, message: string): void;
}

export interface ReservedGroup {
  /** As it is configured; what it is called is the driver's. */
  group: string;
  what: 'system' | 'kube';
  values: CgroupValues;
}

/** @throws {Error} when a group is not there or takes no limit: a node that cannot keep its promise does not start */
export async function enforceReserved(
  { cgroups, names, event }: ReservedNeed,
  options: ReservedOptions,
  signal: AbortSignal,
): Promise<void> {
  for (const { group, what, values } of computeReservedGroups(options)) {
    signal.throwIfAborted();
    const title = what === 'system' ? 'System' : 'Kube';
    const failure = `Failed to enforce ${title} Reserved Cgroup Limits on "${group}"`;
    const path = names.path(names.configured(group));
    if (!(await cgroups.exists(path))) throw new Error(`${failure}: "${group}" cgroup does not exist`);
    try {
      await cgroups.update(path, values, signal);
    } catch (cause) {
      throw new Error(failure, { cause });
    }
    event('Normal', 'NodeAllocatableEnforced', `Updated limits on ${what} reserved cgroup ${group}`);
  }
}

/** The groups to limit, in order. Pure. */
export function computeReservedGroups(options: ReservedOptions): ReservedGroup[] {
  const { enforceNodeAllocatable: keys } = options;
  return (['system', 'kube'] as const).flatMap((what) => {
    const reserved = what === 'system' ? options.systemReserved : options.kubeReserved;
    const group = what === 'system' ? options.systemReservedCgroup : options.kubeReservedCgroup;
    if (keys.includes(`${what}-reserved`)) return [{ what, group, values: limitsOf(reserved) }];
    if (!keys.includes(`${what}-reserved-compressible`)) return [];
    const { cpuShares: shares } = limitsOf(reserved);
    return [{ what, group, values: shares === undefined ? {} : { cpuShares: shares } }];
  });
}

/** What is not reserved is not limited. */
function limitsOf({ cpu, memory, pid }: Readonly<Record<string, string>>): CgroupValues {
  return {
    ...(cpu === undefined ? {} : { cpuShares: cpuShares(toMilli(parseQuantity(cpu))) }),
    ...(memory === undefined ? {} : { memoryLimitBytes: toValue(parseQuantity(memory)) }),
    ...(pid === undefined ? {} : { pidsMax: toValue(parseQuantity(pid)) }),
  };
}
