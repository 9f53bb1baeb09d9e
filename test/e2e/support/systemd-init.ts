/**
 * Namespaces whose init is a real systemd, for a private node: control groups of its own in every hierarchy of the
 * host, `/run`, `/sys` and units of its own, and none of the host's units.
 */
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import {
  type CgroupMount,
  findGroup,
  readCgroupMounts,
  removeGroup,
} from '../../../src/adapters/cgroup-trees/cgroup-trees.ts';
import { quoteForShell, spawnDetached } from '../../../src/adapters/processes/processes.ts';
import { systemClock } from '../../../src/base/clock.ts';

/** Of the folder of a node, and of its groups. */
export const nodePrefix = 'gantry-node-';
export const systemdProgram = '/lib/systemd/systemd';
const never = new AbortController().signal;
const cgroupTimeoutMs = 10_000;
const programPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
/** Reached when systemd has started; nothing else is wanted of it. */
export const target = 'gantry-node.target';

/** The group that is the root of all groups inside, below every hierarchy's root. */
export const systemdGroup = (directory: string): string => `/${basename(directory)}`;

/** Starts systemd and returns the pid of `unshare`, whose child it is. */
export async function startSystemd(directory: string, env: Record<string, string>, outFd: number): Promise<number> {
  await removeForsakenGroups();
  const mounts = await readCgroupMounts();
  const groups = mounts.map((mount) => join(mount.path, systemdGroup(directory)));
  for (const [i, group] of groups.entries()) {
    await mkdir(group);
    for (const file of mounts[i]?.options.includes('cpuset') === true ? ['cpuset.cpus', 'cpuset.mems'] : []) {
      await writeFile(join(group, file), await readFile(join(group, '..', file), 'utf8'));
    }
  }
  const [outside, inside] = [join(directory, 'outside.sh'), join(directory, 'inside.sh')];
  await writeFile(outside, outsideScript(groups, inside));
  await writeFile(inside, insideScript(directory, mounts));
  const variables = Object.entries({ ...env, PATH: programPath, container: 'gantry-test' });
  const words = variables.map(([name, value]) => `${name}=${value}`);
  return spawnDetached('env', ['--ignore-environment', ...words, 'sh', outside], { cwd: '/', outFd });
}

/** To be called when nothing runs inside any more. */
export async function removeSystemdGroups(directory: string): Promise<void> {
  const left = await findGroup(await readCgroupMounts(), systemdGroup(directory));
  await Promise.all(left.map((group) => removeGroup(group, cgroupTimeoutMs, systemClock, never)));
}

/** Removes groups of nodes whose makers were killed before they could. */
export async function removeForsakenGroups(): Promise<void> {
  for (const { path } of await readCgroupMounts()) {
    for (const name of await readdir(path)) {
      if (!name.startsWith(nodePrefix)) continue;
      // what still runs is not forsaken, or ends soon: the next node finds it
      await removeGroup(join(path, name), 0, systemClock, never).catch(() => {});
    }
  }
}

/** The root of a cgroup namespace is where its first process is when it is made. */
function outsideScript(groups: readonly string[], inside: string): string {
  return [
    'set -e',
    ...groups.map((group) => `echo $$ > ${quoteForShell(join(group, 'cgroup.procs'))}`),
    `exec unshare --cgroup --ipc --net --mount --uts --pid --fork --mount-proc --propagation slave sh ${quoteForShell(inside)}`,
    '',
  ].join('\n');
}

function insideScript(directory: string, mounts: readonly CgroupMount[]): string {
  const isHybrid = !mounts.some((mount) => mount.path === '/sys/fs/cgroup');
  const units = '/run/systemd/system';
  return [
    'set -e',
    'mount -t tmpfs -o mode=755 gantry-run /run',
    'mount -t sysfs gantry-sys /sys',
    ...(isHybrid ? ['mount -t tmpfs -o mode=755 gantry-cgroup /sys/fs/cgroup'] : []),
    ...mounts.flatMap(({ type, path: at, options }) => [
      `mkdir -p ${quoteForShell(at)}`,
      `mount -t ${type} ${type === 'cgroup' ? `-o ${optionsOf(options)} ` : ''}gantry-cgroup ${quoteForShell(at)}`,
    ]),
    `hostname ${basename(directory).toLowerCase()}`,
    `mkdir -p ${units}`,
    `printf '[Unit]\\nDescription=A node of a test\\n' > ${units}/${target}`,
    `exec ${systemdProgram} --system --unit=${target} --log-target=null --show-status=0`,
    '',
  ].join('\n');
}

/** A named hierarchy has no controller, and must say so. */
const optionsOf = (options: readonly string[]): string =>
  [...(options.some((option) => option.startsWith('name=')) ? ['none'] : []), ...options].join(',');
