/**
 * One program, many commands: picks one by subcommand, or by the name it was started with (`kubelet`, `kube-proxy` …).
 * A command's file is loaded only when it runs: each pays for its own imports.
 */
import { basename } from 'node:path';
import { describeError } from './base/errors.ts';

/** A command reads its own flags from `args` and ends when its work is done or the process is asked to stop. */
export interface Command {
  run(args: readonly string[]): Promise<void>;
}

const commands: Record<string, { summary: string; load: () => Promise<Command> }> = {
  kubelet: { summary: 'run the node agent', load: () => import('./commands/kubelet.ts') },
  'kube-proxy': { summary: 'program Services into the kernel', load: () => import('./commands/kube-proxy.ts') },
  'cluster-dns': { summary: "answer for the cluster's names", load: () => import('./commands/cluster-dns.ts') },
  agent: { summary: 'run kubelet and kube-proxy in one process', load: () => import('./commands/agent.ts') },
  'network-agent': {
    summary: 'give pods their network on nodes that share one',
    load: () => import('./commands/network-agent.ts'),
  },
  'kube-apiserver': { summary: 'run the lab API server', load: () => import('./commands/kube-apiserver.ts') },
  'kube-scheduler': { summary: 'run the lab scheduler', load: () => import('./commands/kube-scheduler.ts') },
  'kube-controller-manager': {
    summary: 'run the lab controllers',
    load: () => import('./commands/kube-controller-manager.ts'),
  },
  lab: { summary: 'create and delete lab clusters on this machine', load: () => import('./commands/lab.ts') },
  why: {
    summary: 'tell why a pod or a Service is as it is, seen from this node',
    load: () => import('./commands/why.ts'),
  },
  doctor: { summary: 'prove that this node can run pods', load: () => import('./commands/doctor.ts') },
};

/** Known as `gantry` in the list of processes, and only by that name. */
const tools = new Set(['lab', 'doctor', 'why']);

export async function main(startedAs: string, argv: readonly string[]): Promise<number> {
  const invoked = basename(startedAs);
  const isOwnName = invoked in commands && !tools.has(invoked);
  const name = isOwnName ? invoked : argv[0];
  const args = isOwnName ? argv : argv.slice(1);
  if (name === undefined || name === 'help' || name === '--help' || name === '-h') {
    process.stdout.write(usage());
    return name === undefined ? 2 : 0;
  }
  if (name === 'version' || name === '--version') {
    const { gantryVersion } = await import('./base/version.ts');
    process.stdout.write(`${gantryVersion}\n`);
    return 0;
  }
  const command = commands[name];
  if (command === undefined) {
    process.stderr.write(`gantry: unknown command "${name}"\n\n${usage()}`);
    return 2;
  }
  if (daemons.has(name)) restartWithDaemonFlags();
  process.title = tools.has(name) ? 'gantry' : name;
  try {
    await (await command.load()).run(args);
    return Number(process.exitCode ?? 0);
  } catch (err) {
    process.stderr.write(`${name}: ${describeError(err)}\n`);
    if (process.env['GANTRY_DEBUG'] !== undefined && err instanceof Error) process.stderr.write(`${err.stack}\n`);
    return 1;
  }
}

/**
 * V8 lets the space for new objects grow to 16 MiB, three times over, and collects the others only when they have grown to
 * a multiple. A daemon that mostly waits is better small: a little space for new objects, and a collection whenever the
 * others have grown by a third. (`--optimize-for-size` is as small, and collects for nothing while nothing happens: 2 to
 * 3 % of a core instead of less than 1.) One arena instead of one for each thread saves another 4 MB: what allocates here
 * is one thread.
 */
const daemonVariables = { MALLOC_ARENA_MAX: '1' };
const daemonFlags = ['--max-semi-space-size=1', '--heap-growing-percent=30'];
const daemons = new Set(['kubelet', 'kube-proxy', 'agent', 'network-agent', 'cluster-dns']);

/** Becomes the same program with V8's flags for daemons: same process id, same open files. Flags given by hand stay. */
function restartWithDaemonFlags(): void {
  const given = [...process.execArgv, process.env['NODE_OPTIONS'] ?? ''].join(' ');
  if (given.includes('--max-semi-space-size') || process.execve === undefined) return;
  const args = [process.execPath, ...daemonFlags, ...process.execArgv, ...process.argv.slice(1)];
  process.execve(process.execPath, args, { ...daemonVariables, ...process.env });
}

function usage(): string {
  const width = Math.max(...Object.keys(commands).map((name) => name.length));
  const lines = Object.entries(commands).map(([name, { summary }]) => `  ${name.padEnd(width)}  ${summary}`);
  return `Usage: gantry COMMAND [flags]\n\n${lines.join('\n')}\n  ${'version'.padEnd(width)}  print the version\n`;
}

process.exit(await main(process.argv[1] ?? 'gantry', process.argv.slice(2)));
