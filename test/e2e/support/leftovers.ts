/** What a lab could leave behind on a machine. */
import { readFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { findGroup, readCgroupMounts } from '../../../src/adapters/cgroup-trees/cgroup-trees.ts';
import { findByEnvironment } from '../../../src/adapters/process-table/process-table.ts';
import { clusterVariable } from '../../../src/lab/lab-node.ts';
import { cgroupOf, clusterId } from '../../../src/lab/plan-cluster.ts';
import { runCommand, succeed } from './lab.ts';
import type { TestLab } from './lab.ts';

export interface Leftovers {
  processes: number;
  interfaces: string[];
  mounts: string[];
  cgroups: string[];
  directory: boolean;
}

export const nothing: Leftovers = { processes: 0, interfaces: [], mounts: [], cgroups: [], directory: false };

export async function leftoversOf(lab: TestLab): Promise<Leftovers> {
  const marked = await findByEnvironment(clusterVariable);
  const links = succeed('ip link', await runCommand('ip', ['-oneline', 'link']));
  const mounts = (await readFile('/proc/self/mountinfo', 'utf8')).split('\n');
  return {
    processes: marked.filter(({ value }) => value === lab.directory).length,
    interfaces: links.split('\n').filter((line) => line.includes(`gl-${clusterId(lab.stateRoot, lab.name)}`)),
    mounts: mounts.filter((line) => line.includes(lab.stateRoot)),
    cgroups: await findGroup(await readCgroupMounts(), cgroupOf(lab.stateRoot, lab.name)),
    directory: existsSync(lab.directory),
  };
}

/** The host's own rules, without counters: a lab must not change them. */
export async function hostRules(): Promise<string> {
  const rules = succeed('iptables-save', await runCommand('iptables-save', []));
  return rules
    .split('\n')
    .filter((line) => !line.startsWith('#'))
    .map((line) => line.replace(/\[\d+:\d+\]/, ''))
    .join('\n');
}
