/** What a lab needs of the machine. The facts are gathered in one place, judged in another. */
import { access, constants, readFile, readdir } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ConfigError } from '../base/errors.ts';
import { staticPrograms } from './images/lab-images.ts';
import type { ClusterConfig } from './parse-cluster-config.ts';

export interface MachineFacts {
  isRoot: boolean;
  /** Bits of the effective capabilities. */
  capabilities: bigint;
  mayLowerOomScore: boolean;
  /** As Go names it. */
  architecture: string;
  missingCommands: readonly string[];
  missingFiles: readonly string[];
  /** Where the standard CNI plugins are; the Debian place when they are nowhere. */
  cniBinDir: string;
  missingPlugins: readonly string[];
  hasOverlay: boolean;
  hasCgroups: boolean;
  inotifyInstancesMax: number;
  hasIpv6: boolean;
  hasIpvs: boolean;
}

export interface PreflightNeeds {
  config: Pick<ClusterConfig, 'nodes' | 'ipFamily' | 'kubeProxyMode'>;
  stateRoot: string;
  program: readonly string[];
}

const capSysAdmin = 21n;
const capNetAdmin = 12n;
const capSysResource = 24n;
const inotifyInstancesPerNode = 16;

/** Commands by the Debian package that has them. */
const packageByCommand: Readonly<Record<string, string>> = {
  containerd: 'containerd',
  ctr: 'containerd',
  runc: 'runc',
  etcd: 'etcd-server',
  ip: 'iproute2',
  iptables: 'iptables',
  'iptables-restore': 'iptables',
  nft: 'nftables',
  conntrack: 'conntrack',
  sysctl: 'procps',
  mount: 'mount',
  nsenter: 'util-linux',
  unshare: 'util-linux',
  hostname: 'hostname',
};
const cniBinDirs = ['/usr/lib/cni', '/opt/cni/bin'];
const cniPlugins = ['ptp', 'host-local', 'loopback', 'portmap'];

/** Pure: every problem, each with its mend. */
export function preflightProblems(facts: MachineFacts, needs: PreflightNeeds): string[] {
  const problems: string[] = [];
  if (!facts.isRoot) problems.push('it needs root: run it with sudo, or as root');
  else {
    if (!hasCapability(facts, capSysAdmin))
      problems.push('it needs CAP_SYS_ADMIN to make namespaces: run the surrounding container with --privileged');
    if (!hasCapability(facts, capNetAdmin))
      problems.push('it needs CAP_NET_ADMIN to make networks: run the surrounding container with --privileged');
  }
  const packages = new Set([
    ...facts.missingCommands.map((command) => packageByCommand[command] ?? command),
    ...facts.missingFiles,
    ...(facts.missingPlugins.length === 0 ? [] : ['containernetworking-plugins']),
  ]);
  if (packages.size > 0) {
    const missing = [
      ...facts.missingCommands,
      ...facts.missingPlugins.map((name) => `${facts.cniBinDir}/${name}`),
      ...facts.missingFiles,
    ];
    problems.push(`${missing.join(', ')} missing: apt-get install ${[...packages].toSorted().join(' ')}`);
  }
  if (!facts.hasOverlay) problems.push('the kernel has no overlay file system: modprobe overlay');
  if (!facts.hasCgroups)
    problems.push('control groups are not mounted at /sys/fs/cgroup: mount -t cgroup2 none /sys/fs/cgroup');
  const { nodes, ipFamily, kubeProxyMode } = needs.config;
  if (ipFamily === 'dual' && !facts.hasIpv6) {
    problems.push('the kernel has no IPv6, which networking.ipFamily "dual" needs: boot without ipv6.disable=1');
  }
  if (kubeProxyMode === 'ipvs' && !facts.hasIpvs) {
    problems.push('the kernel has no ip_vs, which networking.kubeProxyMode "ipvs" needs: modprobe ip_vs');
  }
  const inotifyNeeded = inotifyInstancesPerNode * nodes.length;
  if (facts.inotifyInstancesMax < inotifyNeeded) {
    const wanted = Math.max(512, 2 * inotifyNeeded);
    problems.push(
      `the limit of inotify instances is ${facts.inotifyInstancesMax}, ${nodes.length} nodes need ${inotifyNeeded}: sysctl -w fs.inotify.max_user_instances=${wanted}`,
    );
  }
  if (/[,:\\]/.test(needs.stateRoot))
    problems.push(
      `the state directory must not contain "," ":" or "\\" (${needs.stateRoot}): set GANTRY_LAB_ROOT to another`,
    );
  // Nodes have a /var and a /run of their own.
  for (const path of needs.program) {
    if (/^\/(var|run)\//.test(path)) problems.push(`nodes cannot see ${path}: move the program out of /var and /run`);
  }
  return problems;
}

/** @throws {ConfigError} with everything that is missing */
export function assertFit(facts: MachineFacts, needs: PreflightNeeds): void {
  const problems = preflightProblems(facts, needs);
  if (problems.length > 0) throw new ConfigError('Cannot make a lab on this machine', problems);
}

export async function gatherMachineFacts(): Promise<MachineFacts> {
  const status = await readFile('/proc/self/status', 'utf8');
  const capabilities = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`);
  const cniBinDir = cniBinDirs.find((dir) => existsSync(join(dir, 'ptp'))) ?? '/usr/lib/cni';
  const files = Object.values(staticPrograms);
  return {
    isRoot: process.geteuid?.() === 0,
    capabilities,
    mayLowerOomScore: ((capabilities >> capSysResource) & 1n) === 1n,
    architecture: process.arch === 'x64' ? 'amd64' : process.arch,
    missingCommands: await missing(Object.keys(packageByCommand), (command) => isOnPath(command)),
    missingFiles: files.filter(({ path }) => !existsSync(path)).map(({ package: name }) => name),
    cniBinDir,
    missingPlugins: cniPlugins.filter((name) => !existsSync(join(cniBinDir, name))),
    hasOverlay: /\toverlay$/m.test(await readFile('/proc/filesystems', 'utf8')),
    hasCgroups: await directoryHasEntries('/sys/fs/cgroup'),
    hasIpv6: existsSync('/proc/net/if_inet6'),
    hasIpvs: existsSync('/proc/net/ip_vs'),
    inotifyInstancesMax: Number(await readFile('/proc/sys/fs/inotify/max_user_instances', 'utf8')),
  };
}

function hasCapability({ capabilities }: MachineFacts, bit: bigint): boolean {
  return ((capabilities >> bit) & 1n) === 1n;
}

async function missing(names: readonly string[], isThere: (name: string) => Promise<boolean>): Promise<string[]> {
  const found = await Promise.all(names.map(isThere));
  return names.filter((_, i) => found[i] !== true);
}

/** On the path that nodes use, which has the administrator's directories. */
async function isOnPath(command: string): Promise<boolean> {
  const directories = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];
  for (const directory of directories) {
    try {
      await access(join(directory, command), constants.X_OK);
      return true;
    } catch {
      // not here: look in the next one
    }
  }
  return false;
}

async function directoryHasEntries(path: string): Promise<boolean> {
  try {
    return (await readdir(path)).length > 0;
  } catch {
    return false; // no such directory: reported as a problem
  }
}
