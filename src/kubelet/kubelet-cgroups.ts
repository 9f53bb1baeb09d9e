/** Plugs the cgroup driver together: who makes the groups of pods, and what they are called. */
import { Systemd } from '../adapters/systemd/systemd.ts';
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import type { KubeletConfig } from './config.ts';
import type { Machine } from './kubelet-machine.ts';
import { chooseDriver } from './support/resources/cgroup-driver.ts';
import { type DriverName, type GroupNames, cgroupfsNames, systemdNames } from './support/resources/group-names.ts';
import { type PodGroupTree, SliceGroups } from './support/resources/slice-groups.ts';

export interface CgroupDriver {
  name: DriverName;
  names: GroupNames;
  groups: PodGroupTree;
  /** Groups of others, which are only limited. */
  reserved: Pick<PodGroupTree, 'exists' | 'update'>;
}

/** @throws {ConfigError} when systemd is to make the groups, and does not run this machine; or when it does not answer */
export async function openCgroupDriver(
  { config, machine, clock, log }: { config: KubeletConfig; machine: Machine; clock: Clock; log: Logger },
  signal: AbortSignal,
): Promise<CgroupDriver> {
  const { cgroups, cri } = machine;
  const name = await chooseDriver({ cri, clock, log }, config.cgroupDriver, signal);
  if (name === 'cgroupfs') return { name, names: cgroupfsNames, groups: cgroups, reserved: cgroups };
  const systemd = new Systemd(cgroups.version, clock, machine.systemdDir);
  await systemd.check(signal);
  const groups = new SliceGroups({ systemd, cgroups });
  const reserved: CgroupDriver['reserved'] = {
    exists: (path) => cgroups.exists(path), // whoever has made it
    update: (path, values, s) => groups.update(path, values, s),
  };
  return { name, names: systemdNames, groups, reserved };
}
