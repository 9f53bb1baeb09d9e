/** `gantry lab …`: clusters on this machine, with kind's verbs and flags. */
import { spawn } from 'node:child_process';
import { readFile, realpath } from 'node:fs/promises';
import { constants } from 'node:os';
import { resolve } from 'node:path';
import { Command } from 'commander';
import { enter } from '../adapters/namespaces/namespaces.ts';
import { systemClock } from '../base/clock.ts';
import { ConfigError } from '../base/errors.ts';
import { stopSignal } from '../base/stop-signal.ts';
import { clusterPaths, listClusters, readPlan, stateRoot } from '../lab/cluster-state.ts';
import { startComponent, stopComponent } from '../lab/control-components.ts';
import { createCluster } from '../lab/create-cluster.ts';
import { deleteCluster } from '../lab/delete-cluster.ts';
import { addToKubeconfig, removeFromKubeconfig } from '../lab/export-kubeconfig.ts';
import { exportLogs } from '../lab/export-logs.ts';
import { clusterSummary, findCluster, nodeOf } from '../lab/find-cluster.ts';
import { importArchive } from '../lab/load-image.ts';
import { clusterNameProblems, defaultClusterName, parseClusterConfig } from '../lab/parse-cluster-config.ts';
import { formatSeconds, formatTimeline } from '../lab/run-steps.ts';

const root = stateRoot(process.env);

export async function run(args: readonly string[]): Promise<void> {
  const signal = stopSignal();
  const program = new Command('gantry lab').description('create and delete lab clusters on this machine');
  const withName = (command: Command): Command =>
    command.option('--name <name>', 'the cluster', process.env['GANTRY_LAB_NAME'] ?? defaultClusterName);

  const withNode = (command: Command): Command =>
    withName(command).option('--node <node>', 'which node (default: the first)');

  program
    .command('create')
    .description('make a cluster: etcd and the control plane on the first node, an agent and containerd on each')
    .option('--name <name>', `the cluster's name (default: the file's, or "${defaultClusterName}")`)
    .option('--nodes <count>', 'how many nodes (default: 1)')
    .option('--config <file>', 'a kind configuration file (kind.x-k8s.io/v1alpha4); - reads standard input')
    .option('--wait <duration>', 'how long to wait for the nodes to be Ready; 0s does not wait', '60s')
    .option('--no-cluster-dns', 'leave the name service out')
    .option('--kubeconfig <file>', 'also put the cluster into this kubeconfig')
    .action((options: CreateFlags) => create(options, signal));
  withName(program.command('delete').description('remove a cluster and everything that it made; also a half-made one'))
    .option('--kubeconfig <file>', 'also take the cluster out of this kubeconfig')
    .action((options: { name: string; kubeconfig?: string }) => remove(options, signal));
  program.command('list').description('list the clusters of this machine').action(list);
  withName(program.command('kubeconfig').description("print the administrator's kubeconfig"))
    .option('--path', 'print where the file is instead')
    .action(printKubeconfig);
  withName(
    program.command('load <archive>').description('import an image archive (OCI or Docker) on every node'),
  ).action((archive: string, { name }: { name: string }) => load(archive, name, signal));
  withName(program.command('export-logs <directory>').description('collect logs and state of every node')).action(
    (directory: string, { name }: { name: string }) => collectLogs(directory, name, signal),
  );
  withNode(program.command('stop <component>').description('stop one process of a node, e.g. agent or containerd'))
    .option('--signal <name>', 'what to send', 'SIGTERM')
    .action((component: string, options: ComponentFlags) => stop(component, options, signal));
  withNode(program.command('start <component>').description('start a stopped process of a node again')).action(
    (component: string, options: ComponentFlags) => start(component, options, signal),
  );
  withName(
    program.command('exec <command...>').description('run a command on a node; flags of the command come after --'),
  )
    .option('--node <node>', 'which node (default: the first)')
    .action((command: string[], options: { name: string; node?: string }) => execute(command, options));
  await program.parseAsync([...args], { from: 'user' });
}

interface CreateFlags {
  name?: string;
  nodes?: string;
  config?: string;
  wait: string;
  clusterDns: boolean;
  kubeconfig?: string;
}

async function create(flags: CreateFlags, signal: AbortSignal): Promise<void> {
  const file =
    flags.config === undefined ? undefined : await readFile(flags.config === '-' ? '/dev/stdin' : flags.config, 'utf8');
  const { plan, times } = await createCluster(
    {
      config: parseClusterConfig({ name: flags.name, nodes: flags.nodes }, file),
      stateRoot: root,
      program: await ownProgram(),
      waitMs: parseWaitMs(flags.wait),
      hasClusterDns: flags.clusterDns,
      clock: systemClock,
      onPlan: ({ name, nodes }) => {
        print(`Creating cluster "${name}" with ${nodes.length} ${nodes.length === 1 ? 'node' : 'nodes'} ...`);
      },
      onStep: ({ title, durationMs }) => {
        print(` ${process.stdout.isTTY ? '✓' : 'done:'} ${title} (${formatSeconds(durationMs)})`);
      },
    },
    signal,
  );
  const paths = clusterPaths(plan.dir);
  if (flags.kubeconfig !== undefined) await addToKubeconfig(flags.kubeconfig, await readFile(paths.kubeconfig, 'utf8'));
  print(`\nTimeline:\n${formatTimeline(times)}`);
  print(`Cluster "${plan.name}" is there. Use it with:\n`);
  print(`  export KUBECONFIG=${resolve(flags.kubeconfig ?? paths.kubeconfig)}\n  kubectl get nodes\n`);
}

async function remove({ name, kubeconfig }: { name: string; kubeconfig?: string }, signal: AbortSignal): Promise<void> {
  checkName(name);
  await deleteCluster({ name, stateRoot: root, clock: systemClock }, signal);
  if (kubeconfig !== undefined) await removeFromKubeconfig(kubeconfig, `gantry-${name}`);
  print(`Deleted cluster "${name}"`);
}

async function list(): Promise<void> {
  const names = await listClusters(root);
  if (names.length === 0) {
    process.stderr.write('There are no clusters\n'); // the output itself stays empty, for scripts
    return;
  }
  const rows = await Promise.all(
    names.map(async (name) => {
      const { state, nodes, server } = await clusterSummary(root, name);
      return [name, state, String(nodes), server];
    }),
  );
  const table = [['NAME', 'STATE', 'NODES', 'SERVER'], ...rows];
  const widths = table[0]?.map((_, column) => Math.max(...table.map((row) => row[column]?.length ?? 0))) ?? [];
  for (const row of table)
    print(
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    );
}

async function printKubeconfig({ name, path }: { name: string; path?: boolean }): Promise<void> {
  const { kubeconfig } = clusterPaths((await readPlan(root, name)).dir);
  process.stdout.write(path === true ? `${kubeconfig}\n` : await readFile(kubeconfig, 'utf8'));
}

async function load(archive: string, name: string, signal: AbortSignal): Promise<void> {
  const { plan, nodes } = await findCluster(root, name, systemClock);
  const path = await realpath(archive);
  await Promise.all(nodes.map((node) => importArchive(node, clusterPaths(plan.dir), path, signal)));
  print(`Loaded ${archive} on ${nodes.length} of ${plan.nodes.length} nodes`);
  if (nodes.length < plan.nodes.length) throw new Error('Cannot load it on the other nodes: they do not run');
}

async function collectLogs(directory: string, name: string, signal: AbortSignal): Promise<void> {
  const problems = await exportLogs(await findCluster(root, name, systemClock), directory, signal);
  for (const problem of problems) process.stderr.write(`not exported: ${problem}\n`);
  print(`Exported logs of cluster "${name}" to ${directory}`);
}

interface ComponentFlags {
  name: string;
  node?: string;
  signal?: string;
}

async function stop(
  component: string,
  { name, node, signal: wanted = '' }: ComponentFlags,
  signal: AbortSignal,
): Promise<void> {
  const signalName = Object.keys(constants.signals).find((known) => known === wanted || known === `SIG${wanted}`);
  if (signalName === undefined) throw new ConfigError('Cannot use the flags', [`--signal is not known: "${wanted}"`]);
  const cluster = await findCluster(root, name, systemClock);
  const options = { cluster, node: nodeOf(cluster, node), component, clock: systemClock };
  const wasRunning = await stopComponent(options, signalName as NodeJS.Signals, signal); // a key of that table
  print(`${component} on "${options.node.name}" ${wasRunning ? 'has ended' : 'did not run'}`);
}

async function start(component: string, { name, node }: ComponentFlags, signal: AbortSignal): Promise<void> {
  const cluster = await findCluster(root, name, systemClock);
  const options = { cluster, node: nodeOf(cluster, node), component, clock: systemClock };
  await startComponent(options, signal);
  print(`${component} on "${options.node.name}" is started`);
}

/** With our own terminal, and the command's exit code as ours. */
async function execute(command: readonly string[], { name, node }: { name: string; node?: string }): Promise<void> {
  const { init } = nodeOf(await findCluster(root, name, systemClock), node);
  const [file, ...args] = [...enter(init.pid), ...command];
  process.exitCode = await new Promise<number>((done, fail) => {
    const child = spawn(file ?? '', args, { stdio: 'inherit' });
    child.once('error', fail);
    child.once('exit', (code, signalName) =>
      done(code ?? 128 + (signalName === null ? 0 : constants.signals[signalName])),
    );
  });
}

/** Nodes run the same program as we do; they start in `/`, hence the absolute paths. */
async function ownProgram(): Promise<string[]> {
  return [process.execPath, await realpath(process.argv[1] ?? '')];
}

function checkName(name: string): void {
  const problems = clusterNameProblems(name);
  if (problems.length > 0) throw new ConfigError('Cannot use that name', problems);
}

/** Go's durations as far as people write them here: `90s`, `1m30s`, `500ms`. */
function parseWaitMs(text: string): number {
  const match = /^(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?(?:(\d+)ms)?$/.exec(text);
  if (match === null || text === '')
    throw new ConfigError('Cannot use the flags', [`--wait must be a duration like "60s": "${text}"`]);
  const [hours = 0, minutes = 0, seconds = 0, ms = 0] = match.slice(1).map((part) => Number(part ?? 0));
  return ((hours * 60 + minutes) * 60 + seconds) * 1000 + ms;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
