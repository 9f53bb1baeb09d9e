/** The machine as the kubelet finds it: what it has, and the hands that touch it. */
import { mkdir, readFile } from 'node:fs/promises';
import { Cgroups } from '../adapters/cgroups/cgroups.ts';
import { Cri, type CriCallListener } from '../adapters/cri/cri.ts';
import { Host, type HostFacts } from '../adapters/host/host.ts';
import { Mounts } from '../adapters/mounts/mounts.ts';
import { CommandError, runCommand } from '../adapters/processes/processes.ts';
import type { Clock } from '../base/clock.ts';
import { ConfigError, describeError } from '../base/errors.ts';
import type { KubeletConfig } from './config.ts';
import { hostProblems } from './support/resources/check-host.ts';
import { type IdRange, checkIdRange, defaultIdRange, parseSubordinateIds } from './support/security/id-range.ts';
import type { NodeMachine } from './support/resources/compute-container-resources.ts';
import { type NodeResources, computeNodeResources } from './support/resources/compute-node-resources.ts';

/** Where the kubelet looks and writes besides its root directory; a test names folders of its own. */
export interface MachinePlaces {
  cgroups: string;
  containerLogs: string;
  mounts: Mounts;
  /** The host's `passwd` file, where a user `kubelet` may own ids for pods. */
  passwd: string;
  /** What systemd keeps while it runs, usually `/run/systemd`. */
  systemd: string;
}

export interface Machine {
  host: Host;
  facts: HostFacts;
  cgroups: Cgroups;
  /** Undefined: where it usually is. */
  systemdDir: string | undefined;
  /** As the resource formulas see it. */
  size: NodeMachine;
  resources: NodeResources;
  mounts: Mounts;
  cri: Cri;
  containerLogsDir: string;
  /** Ids of the host for pods with user namespaces of their own. */
  podIds: IdRange;
}

/** @throws {ConfigError} when a kubelet with this configuration cannot run here */
export async function openMachine(
  config: KubeletConfig,
  places: Partial<MachinePlaces>,
  clock: Clock,
  onCriCall: CriCallListener,
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
    systemdDir: places.systemd,
    size: {
      cgroupVersion: cgroups.version,
      memoryBytes: facts.memoryBytes,
      swapBytes: facts.swapBytes,
      hasSwapController: false,
      hugepageSizes: facts.hugepages.map(({ sizeBytes }) => sizeBytes),
    },
    resources: computeNodeResources({ ...facts, ephemeralStorageBytes: rootFs.capacityBytes }, config),
    mounts: places.mounts ?? new Mounts(),
    cri: new Cri({
      endpoint: config.containerRuntimeEndpoint,
      requestTimeoutMs: config.runtimeRequestTimeoutMs,
      onCall: onCriCall,
    }),
    containerLogsDir: places.containerLogs ?? '/var/log/containers',
    podIds: await readPodIds(config, places.passwd ?? '/etc/passwd'),
  };
}

const getsubidsMs = 10_000;

/**
 * The ids that the user `kubelet` was given for pods, where there is such a user and the tool that knows.
 * @throws {ConfigError} when they cannot serve every pod of the node
 */
async function readPodIds({ idsPerPod, maxPods }: KubeletConfig, passwd: string): Promise<IdRange> {
  const users = await readFile(passwd, 'utf8').catch(() => ''); // a machine may know its users from elsewhere
  if (!/^kubelet:/m.test(users)) return defaultIdRange(idsPerPod);
  const ask = async (...args: string[]): Promise<string> =>
    (await runCommand('getsubids', args, { timeoutMs: getsubidsMs, signal: new AbortController().signal })).stdout;
  try {
    const range = parseSubordinateIds(await ask('kubelet'), await ask('-g', 'kubelet'));
    checkIdRange(range, { idsPerPod, maxPods });
    return range;
  } catch (err) {
    if (err instanceof CommandError && err.isMissing) return defaultIdRange(idsPerPod);
    throw new ConfigError('Cannot give pods user namespaces', [`kubelet mappings: ${describeError(err)}`]);
  }
}
