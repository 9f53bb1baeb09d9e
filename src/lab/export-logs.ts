/** `gantry lab export-logs`: everything that one looks at when a lab misbehaves, as files in one directory. */
import { cp, mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CommandError } from '../adapters/processes/processes.ts';
import { describeError } from '../base/errors.ts';
import { clusterPaths } from './cluster-state.ts';
import type { RunningCluster } from './find-cluster.ts';
import type { LabNode } from './lab-node.ts';
import { inNode } from './node-files.ts';

/** What is asked of a running node, by the file that gets the answer. */
const questions: Readonly<Record<string, readonly string[]>> = {
  'ip-addresses.txt': ['ip', 'address'],
  'ip-routes.txt': ['ip', 'route', 'show', 'table', 'all'],
  'iptables.txt': ['iptables-save', '--counters'],
  'mounts.txt': ['cat', '/proc/self/mountinfo'],
  'processes.txt': ['ps', 'axfww', '-o', 'pid,ppid,stat,start,time,rss,args'],
  'containers.txt': ['ctr', '--address', inNode.containerdSocket, '--namespace', 'k8s.io', 'containers', 'list'],
  'tasks.txt': ['ctr', '--address', inNode.containerdSocket, '--namespace', 'k8s.io', 'tasks', 'list'],
  'nftables.txt': ['nft', 'list', 'ruleset'],
  'images.txt': ['ctr', '--address', inNode.containerdSocket, '--namespace', 'k8s.io', 'images', 'list'],
};

/**
 * Component logs, pod logs and the state of each node. No keys, kubeconfigs or volumes are exported.
 * @returns what could not be had, a line each; the rest is there
 */
export async function exportLogs(cluster: RunningCluster, directory: string, signal: AbortSignal): Promise<string[]> {
  const { plan, nodes } = cluster;
  const paths = clusterPaths(plan.dir);
  await mkdir(directory, { recursive: true });
  const problems: string[] = [];
  const attempt = async (what: string, work: () => Promise<void>): Promise<void> => {
    try {
      await work();
    } catch (err) {
      problems.push(`${what}: ${describeError(err)}`); // half of the logs is better than none
    }
  };
  await attempt('plan', () => cp(paths.plan, join(directory, 'cluster.json')));
  await attempt('component logs', () => cp(paths.logs, join(directory, 'components'), { recursive: true }));
  for (const { name } of plan.nodes) {
    await attempt(`pod logs of ${name}`, () =>
      copyPodLogs(join(paths.node(name).var, 'log', 'pods'), join(directory, name, 'pods')),
    );
  }
  for (const node of nodes) {
    await mkdir(join(directory, node.name), { recursive: true });
    await Promise.all(
      Object.entries(questions).map(([file, command]) =>
        attempt(`${file} of ${node.name}`, async () => {
          await writeFile(join(directory, node.name, file), await ask(node, command, signal));
        }),
      ),
    );
  }
  return problems;
}

/** Regular files only: a pod may have put links in there. */
async function copyPodLogs(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true });
  for (const entry of await readdir(from, { withFileTypes: true })) {
    if (entry.isDirectory()) await copyPodLogs(join(from, entry.name), join(to, entry.name));
    else if (entry.isFile()) await cp(join(from, entry.name), join(to, entry.name));
  }
}

/** A command that fails has something to say, too. */
async function ask(node: LabNode, command: readonly string[], signal: AbortSignal): Promise<string> {
  try {
    return (await node.run(command, signal)).stdout;
  } catch (err) {
    if (err instanceof CommandError) return `${err.message}\n`;
    throw err;
  }
}
