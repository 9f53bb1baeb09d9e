/** Where and with what figures were taken. */
import { cpus, loadavg, release, totalmem } from 'node:os';
import { runCommand } from '../../src/adapters/processes/processes.ts';
import { systemClock } from '../../src/base/clock.ts';
import { gantryVersion } from '../../src/base/version.ts';

const never = new AbortController().signal;

/** @param root of the repository */
export async function describeRun(root: string): Promise<Record<string, unknown>> {
  const firstLine = async (file: string, ...args: string[]): Promise<string> =>
    (await runCommand(file, args, { signal: never })).stdout.split('\n')[0] ?? '';
  const git = (...args: string[]): Promise<string> => firstLine('git', '-C', root, ...args);
  const changed = await git('status', '--porcelain');
  return {
    date: new Date(systemClock.nowMs()).toISOString(),
    commit: `${await git('rev-parse', '--short', 'HEAD')}${changed === '' ? '' : '+'}`,
    gantry: gantryVersion,
    node: process.version,
    containerd: await firstLine('containerd', '--version'),
    runc: await firstLine('runc', '--version'),
    etcd: await firstLine('etcd', '--version'),
    kernel: release(),
    machine: `${cpus().length} x ${cpus()[0]?.model ?? 'cpu'}, ${Math.round(totalmem() / 2 ** 30)} GiB`,
    load1: loadavg()[0],
  };
}
