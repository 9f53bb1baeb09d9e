import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, readdir, realpath, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type MountEntry, Mounts } from '../../../adapters/mounts/mounts.ts';
import { FakeClock } from '../../../base/clock.ts';
import { silentLogger } from '../../../base/logger.ts';
import type { Container, VolumeMount } from '../../../objects/generated/core-v1.ts';
import {
  type ContainerMounts,
  type ContainerMountsInput,
  makeContainerMounts,
  mountPropagation,
  resolveRecursiveReadOnly,
  resolveSubPath,
} from './container-mounts.ts';

const isRoot = process.getuid?.() === 0;
if (!isRoot) console.warn('container-mounts: tests with real mounts are skipped: they need root');

const signal = new AbortController().signal;
const mounts = new Mounts();
/** What the room has of the machine. */
let machine: Mounts;
let clock: FakeClock;
let root = '';
let podDir = '';
let volume = '';

beforeEach(async () => {
  root = await realpath(await mkdtemp(join(tmpdir(), 'gantry-container-')));
  machine = mounts;
  clock = new FakeClock();
  podDir = join(root, 'pod');
  volume = join(root, 'volume');
  await mkdir(podDir);
  await mkdir(join(volume, 'dir'), { recursive: true });
  await writeFile(join(volume, 'dir/file'), 'old');
  await mkdir(join(root, 'outside'));
  await writeFile(join(root, 'outside/secret'), 'secret');
});

afterEach(async () => {
  const below = (await mounts.listMounts()).filter(({ target }) => target.startsWith(`${root}/`));
  for (const { target } of below.toReversed()) await mounts.unmount(target, signal);
  await rm(root, { recursive: true });
});

function make(
  volumeMounts: VolumeMount[],
  fields: Partial<Container> = {},
  overrides: Partial<ContainerMountsInput> = {},
): Promise<ContainerMounts> {
  return makeContainerMounts(
    {
      container: { name: 'c', image: 'i', volumeMounts, ...fields },
      podDir,
      volumes: new Map([
        ['v', { hostPath: volume, readOnly: false }],
        ['ro', { hostPath: volume, readOnly: true }],
      ]),
      images: new Map(),
      environment: [
        { name: 'NAME', value: 'dir' },
        { name: 'UP', value: '..' },
        { name: 'ROOT', value: '/etc' },
        { name: 'EMPTY', value: '' },
      ],
      hosts: undefined,
      hasSeLinux: false,
      hasRecursiveReadOnly: false,
      ...overrides,
    },
    { mounts: machine, clock, log: silentLogger },
    signal,
  );
}

const noMessage = { terminationMessagePath: '' };

describe('makeContainerMounts', () => {
  it('volumes in their order, then the hosts file, then the file for last words', async () => {
    const { mounts: made, cleanup } = await make(
      [
        { name: 'ro', mountPath: '/b' },
        { name: 'v', mountPath: 'relative', mountPropagation: 'HostToContainer' },
        { name: 'v', mountPath: '/c', readOnly: true },
      ],
      {},
      { hosts: 'hosts\n' },
    );
    const messageFile = made[4]?.host_path ?? '';
    const rest = { selinux_relabel: false, recursive_read_only: false };
    const plain = { readonly: false, propagation: 'PROPAGATION_PRIVATE', ...rest };
    expect(made).toEqual([
      { ...plain, container_path: '/b', host_path: volume, readonly: true },
      { ...plain, container_path: '/relative', host_path: volume, propagation: 'PROPAGATION_HOST_TO_CONTAINER' },
      { ...plain, container_path: '/c', host_path: volume, readonly: true },
      { ...plain, container_path: '/etc/hosts', host_path: join(podDir, 'etc-hosts'), selinux_relabel: true },
      { ...plain, container_path: '/dev/termination-log', host_path: messageFile },
    ]);
    expect(messageFile.slice(podDir.length)).toMatch(/^\/containers\/c\/[0-9a-f]{8}$/);
    expect((await stat(messageFile)).mode & 0o777).toBe(0o666);
    expect((await stat(join(podDir, 'containers/c'))).mode & 0o777).toBe(0o750);
    await cleanup();
    expect(existsSync(messageFile)).toBe(false);
  });

  it.each([
    { path: 'volumes/kubernetes.io~empty-dir/v', isOurs: true },
    { path: 'volumes/kubernetes.io~configmap/v', isOurs: true },
    { path: 'volumes/kubernetes.io~secret/v', isOurs: true },
    { path: 'volumes/kubernetes.io~downward-api/v', isOurs: true },
    { path: 'volumes/kubernetes.io~projected/v', isOurs: true },
    { path: 'volumes/kubernetes.io~csi/v/mount', isOurs: false },
    { path: '../elsewhere', isOurs: false },
  ])('where SELinux is on, $path is relabelled for the pod: $isOurs', async ({ path, isOurs }) => {
    const hostPath = join(podDir, path);
    const labels = async (hasSeLinux: boolean): Promise<boolean[]> => {
      const volumes = new Map([['v', { hostPath, readOnly: false }]]);
      const { mounts: made } = await make([{ name: 'v', mountPath: '/v' }], {}, { volumes, hasSeLinux });
      return made.map(({ selinux_relabel }) => selinux_relabel === true);
    };
    expect(await labels(true)).toEqual([isOurs, true]);
    expect(await labels(false)).toEqual([false, false]);
  });

  it.each<[string, boolean, string[] | undefined, boolean]>([
    ['kubernetes.io/local-volume', false, undefined, true],
    ['kubernetes.io/local-volume', true, undefined, false],
    ['kubernetes.io/csi:d.example', false, ['rw', 'seclabel'], true],
    ['kubernetes.io/csi:d.example', true, ['rw', 'seclabel'], false],
    ['kubernetes.io/csi:d.example', false, ['rw', 'context=x'], false],
    ['kubernetes.io/csi:d.example', false, undefined, false],
    ['kubernetes.io/nfs', false, ['rw', 'seclabel'], false],
    ['kubernetes.io/host-path', false, undefined, false],
  ])(
    'where SELinux is on, %s (read-only: %s, mounted %j) is relabelled: %s',
    async (plugin, readOnly, options, want) => {
      machine = new (class extends Mounts {
        override async listMounts(): Promise<MountEntry[]> {
          const [entry] = await super.listMounts();
          if (entry === undefined || options === undefined) return [];
          return [{ ...entry, target: volume, superOptions: options }];
        }
      })();
      const volumes = new Map([['v', { hostPath: volume, readOnly, plugin }]]);
      const { mounts: made } = await make([{ name: 'v', mountPath: '/v' }], noMessage, { volumes, hasSeLinux: true });
      expect(made.map(({ selinux_relabel }) => selinux_relabel)).toEqual([want]);
    },
  );

  it('a fresh file for last words at each start', async () => {
    const [one, two] = [await make([]), await make([], { terminationMessagePath: '/own' })];
    expect(two.mounts[0]?.container_path).toBe('/own');
    expect(one.mounts[0]?.host_path).not.toBe(two.mounts[0]?.host_path);
    expect(await readdir(join(podDir, 'containers/c'))).toHaveLength(2);
  });

  it('a container that mounts its own /etc/hosts gets no other', async () => {
    const { mounts: made } = await make([{ name: 'v', mountPath: '/etc/hosts' }], noMessage, { hosts: 'x' });
    expect(made).toHaveLength(1);
    expect(existsSync(join(podDir, 'etc-hosts'))).toBe(false);
  });

  it('hands images to the runtime: read-only, without a path of the host, with the sub path as it is', async () => {
    const images = new Map([['pic', { id: 'sha256:1', reference: 'pic:1' }]]);
    const volumes = new Map([['pic', { hostPath: '', readOnly: true }]]);
    const asked = [
      { name: 'pic', mountPath: 'pic', recursiveReadOnly: 'Enabled', readOnly: true },
      { name: 'pic', mountPath: '/part', subPathExpr: '$(NAME)/x', mountPropagation: 'HostToContainer' },
    ];
    const { mounts: made } = await make(asked, noMessage, { images, volumes, hasRecursiveReadOnly: true });
    const image = { image: 'sha256:1', user_specified_image: 'pic:1' };
    const common = { host_path: '', readonly: true, selinux_relabel: false, image };
    expect(made).toEqual([
      { ...common, container_path: '/pic', propagation: 'PROPAGATION_PRIVATE', recursive_read_only: true },
      {
        ...common,
        container_path: '/part',
        propagation: 'PROPAGATION_HOST_TO_CONTAINER',
        recursive_read_only: false,
        image_sub_path: 'dir/x',
      },
    ]);
    expect(await readdir(podDir)).toEqual([]);
    const climbing = make([{ name: 'pic', mountPath: '/x', subPath: '../x' }], noMessage, { images, volumes });
    await expect(climbing).rejects.toThrow("unable to provision SubPath `../x`: must not contain '..'");
  });

  it('names a volume that is not there', async () => {
    await expect(make([{ name: 'no', mountPath: '/x' }])).rejects.toThrow(
      new Error('cannot find volume "no" to mount into container "c"'),
    );
  });

  it('takes no container name that is a path', async () => {
    await expect(make([], { name: '../../x' })).rejects.toThrow(TypeError);
  });
});

describe('resolveSubPath', () => {
  const environment = [
    { name: 'A', value: 'a' },
    { name: 'UP', value: '..' },
    { name: 'ABS', value: '/etc' },
    { name: 'TICKS', value: '..`' },
  ];
  it.each([
    [{}, ''],
    [{ subPath: 'x/y' }, 'x/y'],
    [{ subPath: 'x..y' }, 'x..y'],
    [{ subPathExpr: '$(A)/x' }, 'a/x'],
    [{ subPath: '$(A)' }, '$(A)'],
    [{ subPathExpr: '$(TICKS)' }, '..`'],
  ])('%j is %j', (fields, want) => {
    expect(resolveSubPath({ name: 'v', mountPath: '/m', ...fields }, environment)).toBe(want);
  });
  it.each([
    [{ subPath: '/etc' }, 'error SubPath `/etc` must not be an absolute path'],
    [{ subPath: 'a/../..' }, "unable to provision SubPath `a/../..`: must not contain '..'"],
    [{ subPathExpr: '$(UP)' }, "unable to provision SubPath `..`: must not contain '..'"],
    [{ subPathExpr: '$(ABS)' }, 'error SubPath `/etc` must not be an absolute path'],
    [{ subPathExpr: '$(NO)/$(A)/$(ALSO)' }, 'missing value for ALSO, NO'],
  ])('%j: %s', (fields, want) => {
    expect(() => resolveSubPath({ name: 'v', mountPath: '/m', ...fields }, environment)).toThrow(new Error(want));
  });
});

it.each([
  [undefined, 'PROPAGATION_PRIVATE'],
  ['None', 'PROPAGATION_PRIVATE'],
  ['HostToContainer', 'PROPAGATION_HOST_TO_CONTAINER'],
  ['Bidirectional', 'PROPAGATION_BIDIRECTIONAL'],
])('propagation %s is %s', (mode, want) => {
  expect(mountPropagation({ name: 'v', mountPath: '/', mountPropagation: mode })).toBe(want);
});

it('refuses other propagation', () => {
  expect(() => mountPropagation({ name: 'v', mountPath: '/', mountPropagation: 'Odd' })).toThrow(
    new Error('invalid MountPropagation mode: "Odd"'),
  );
});

describe('resolveRecursiveReadOnly', () => {
  const prefix = 'failed to resolve recursive read-only mode: volume "v" requested recursive read-only mode, but ';
  it.each([
    { mode: undefined, readOnly: false, propagation: undefined, has: true, want: false },
    { mode: 'Disabled', readOnly: true, propagation: undefined, has: true, want: false },
    { mode: 'IfPossible', readOnly: true, propagation: 'None', has: true, want: true },
    { mode: 'IfPossible', readOnly: true, propagation: 'None', has: false, want: false },
    { mode: 'Enabled', readOnly: true, propagation: undefined, has: true, want: true },
    {
      mode: 'Enabled',
      readOnly: true,
      propagation: undefined,
      has: false,
      want: `${prefix}it is not supported by the runtime`,
    },
    { mode: 'IfPossible', readOnly: false, propagation: undefined, has: true, want: `${prefix}it is not read-only` },
    {
      mode: 'Enabled',
      readOnly: true,
      propagation: 'HostToContainer',
      has: true,
      want: `${prefix}it is not compatible with propagation "HostToContainer"`,
    },
  ])('$mode, readOnly $readOnly, propagation $propagation, support $has: $want', (row) => {
    const mount = {
      name: 'v',
      mountPath: '/',
      readOnly: row.readOnly,
      recursiveReadOnly: row.mode,
      mountPropagation: row.propagation,
    };
    if (typeof row.want === 'string') {
      expect(() => resolveRecursiveReadOnly(mount, row.has)).toThrow(new Error(row.want));
    } else {
      expect(resolveRecursiveReadOnly(mount, row.has)).toBe(row.want);
    }
  });
});

it('a sub path of a volume that never answers costs its container 30 s, and no thread', async () => {
  class HungMounts extends Mounts {
    override modeOf(): Promise<number | undefined> {
      return new Promise(() => {});
    }
    override makeSubPath(): Promise<void> {
      throw new Error('asked for before anybody has looked');
    }
  }
  machine = new HungMounts();
  const made = make([{ name: 'v', mountPath: '/f', subPath: 'dir' }], noMessage).catch((err: unknown) => err);
  await clock.advance(30_000);
  expect(await made).toMatchObject({
    message: 'failed to prepare subPath for volumeMount "v" of container "c"',
    cause: { message: `looking at "${volume}/dir" took longer than 30s` },
  });
});

describe.runIf(isRoot)('sub paths (need root)', () => {
  const target = (): string => join(podDir, 'volume-subpaths/v/c/0');

  it('binds a file or a directory and shows what it names at each start', async () => {
    const mount = { name: 'v', mountPath: '/f', subPathExpr: '$(NAME)/file' };
    const { mounts: made } = await make([mount], noMessage);
    expect(made[0]?.host_path).toBe(target());
    expect(await readFile(target(), 'utf8')).toBe('old');
    await writeFile(join(volume, 'dir/new'), 'new');
    await rename(join(volume, 'dir/new'), join(volume, 'dir/file'));
    await make([mount], noMessage);
    expect(await readFile(target(), 'utf8')).toBe('new');
    await mounts.removeSubPathBinds(join(podDir, 'volume-subpaths/v'), signal);
    expect(await readFile(join(volume, 'dir/file'), 'utf8')).toBe('new');
  });

  it('makes what is missing', async () => {
    await make([{ name: 'v', mountPath: '/f', subPath: 'a/b' }], noMessage);
    await writeFile(join(target(), 'seen'), '');
    expect(existsSync(join(volume, 'a/b/seen'))).toBe(true);
  });

  it.each(['escape', 'escape/secret', 'escape/new', 'dangling'])('never leads out: %s', async (subPath) => {
    await symlink(join(root, 'outside'), join(volume, 'escape'));
    await symlink(join(root, 'outside/none'), join(volume, 'dangling'));
    await expect(make([{ name: 'v', mountPath: '/f', subPath }], noMessage)).rejects.toThrow(
      /^failed to (prepare subPath|create subPath directory) for volumeMount "v" of container "c"$/,
    );
    expect(await readdir(join(root, 'outside'))).toEqual(['secret']);
    expect(await mounts.isMountPoint(target(), signal)).toBe(false);
  });
});
