/** The machine as the kubelet finds it: what it has, and the hands that touch it. */
import { mkdir } from 'node:fs/promises';
import { Cgroups } from '../adapters/cgroups/cgroups.ts';
import { Cri } from '../adapters/cri/cri.ts';
import { Host, type HostFacts } from '../adapters/host/host.ts';
import { Mounts } from '../adapters/mounts/mounts.ts';
import type { Clock } from '../base/clock.ts';
import { ConfigError } from '../base/errors.ts';
import type { KubeletConfig } from './config.ts';
import { hostProblems } from './support/resources/check-host.ts';
import type { NodeMachine } from './support/resources/compute-container-resources.ts';
import { type NodeResources, computeNodeResources } from './support/resources/compute-node-resources.ts';

/** Where the kubelet looks and writes besides its root directory; a test names folders of its own. */
export interface MachinePlaces {
  cgroups: string;
  containerLogs: string;
  mounts: Mounts;
}

export interface Machine {
  host: Host;
  facts: HostFacts;
  cgroups: Cgroups;
  /** As the resource formulas see it. */
  size: NodeMachine;
  resources: NodeResources;
  mounts: Mounts;
  cri: Cri;
  containerLogsDir: string;
}

/** @throws {ConfigError} when a kubelet with this configuration cannot run here */
export async function openMachine(
  config: KubeletConfig,
  places: Partial<MachinePlaces>,
  clock: Clock,
): Promise<Machine> {
  const host = new Host();
  const facts = await host.facts();
  const cgroups = await Cgroups.open(places.cgroups ?? '/sys/fs/cgroup', clock);
  const problems = hostProblems({ cgroupVersion: cgroups.version, swapBytes: facts.swapBytes }, config);
  if (problems.length > 0) throw new ConfigError('Cannot run a kubelet on this machine', problems);
  await mkdir(config.rootDir, { recursive: true, mode: 0o750 });
  const rootFs = await host.filesystem(config.rootDir);
  return {
    host,
    facts,
    cgroups,
    size: {
      cgroupVersion: cgroups.version,
      memoryBytes: facts.memoryBytes,
      swapBytes: facts.swapBytes,
      hasSwapController: false,
      hugepageSizes: facts.hugepages.map(({ sizeBytes }) => sizeBytes),
    },
    resources: computeNodeResources({ ...facts, ephemeralStorageBytes: rootFs.capacityBytes }, config),
    mounts: places.mounts ?? new Mounts(),
    cri: new Cri({ endpoint: config.containerRuntimeEndpoint, requestTimeoutMs: config.runtimeRequestTimeoutMs }),
    containerLogsDir: places.containerLogs ?? '/var/log/containers',
  };
}
