import { constants, existsSync } from 'node:fs';
import { mkdir, mkdtemp, realpath, rm, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../../../base/clock.ts';
import { silentLogger } from '../../../base/logger.ts';
import type { PersistentVolumeSpec, Pod, PodSecurityContext } from '../../../objects/generated/core-v1.ts';
import { isGiven } from './give-to-pod.ts';
import { LocalVolumes } from './local-volumes.ts';
import { type PodVolume, outcomeOf } from './persistent-model.ts';
import { VolumePaths } from './volume-paths.ts';

const signal = new AbortController().signal;
let root = '';
let path = '';
let calls: string[] = [];
let events: string[] = [];
/** Target → options. */
let mounted = new Map<string, string[]>();
let mode: number | undefined = constants.S_IFDIR;
let owner = { mode: 0o755, gid: 0 };
let bindFailure: Error | undefined;
let clock = new FakeClock();
/** What a walk of all files does. */
let walk: (onEach: () => void) => Promise<void> = () => Promise.resolve();

beforeEach(async () => {
  root = await realpath(await mkdtemp(join(tmpdir(), 'gantry-local-')));
  path = join(root, 'data');
  await mkdir(path);
  calls = [];
  events = [];
  mounted = new Map();
  mode = constants.S_IFDIR;
  owner = { mode: 0o755, gid: 0 };
  bindFailure = undefined;
  clock = new FakeClock();
  walk = () => Promise.resolve();
});
afterEach(() => rm(root, { recursive: true }));

const short = (text: string): string => text.replaceAll(root, '');

function newLocal(): LocalVolumes {
  const entry = { id: 1, device: '', root: '/', propagation: [], fsType: '', source: '', superOptions: [] };
  return new LocalVolumes({
    rootDir: root,
    paths: new VolumePaths(root),
    mounts: {
      bind: (_, to) => Promise.resolve(void mounted.set(to, [])),
      bindWithOptions: ({ source, target, options }) => {
        calls.push(short(`bind ${source} ${options.join()}`));
        if (bindFailure !== undefined) return Promise.reject(bindFailure);
        mounted.set(target, [...options]);
        return Promise.resolve();
      },
      changeGroup: async (directory, { gid, onEach = () => {} }) => {
        calls.push(short(`give ${directory} ${gid}`));
        await walk(onEach);
        return { failures: 0, firstFailure: undefined };
      },
      formatAndMount: ({ target, fsType }) => {
        calls.push(short(`format ${target} ${fsType}`));
        mounted.set(target, []);
        return Promise.resolve();
      },
      isMountPoint: (target) => Promise.resolve(mounted.has(target)),
      listMounts: () => Promise.resolve([...mounted].map(([target, options]) => ({ ...entry, target, options }))),
      modeOf: () => Promise.resolve(mode),
      mountFileSystem: () => Promise.resolve(),
      ownerOf: () => Promise.resolve(owner),
      unmountFileSystem: (target) => {
        if (mounted.delete(target)) calls.push(short(`unmount ${target}`));
        return Promise.resolve();
      },
    },
    event: (_, type, reason, message) => events.push(`${type} ${reason} ${message}`),
    clock,
    log: silentLogger,
  });
}

const podOf = (securityContext: PodSecurityContext = {}): Pod => ({
  metadata: { name: 'p', uid: 'u' },
  spec: { containers: [], securityContext },
});
const volumeOf = (spec: PersistentVolumeSpec = {}, more: Partial<PodVolume> = {}): PodVolume => ({
  kind: 'local-volume',
  name: 'v',
  specName: 'pv',
  pv: { metadata: { name: 'pv' }, spec: { local: { path }, ...spec } },
  claim: undefined,
  volume: { name: 'v' },
  isBlock: false,
  isReadOnly: false,
  uniqueName: 'kubernetes.io/local-volume/pv',
  ...more,
});
const target = (): string => join(root, 'pods/u/volumes/kubernetes.io~local-volume/pv');
const publish = async (volume: PodVolume, pod = podOf(), otherPods: string[] = []): Promise<string> => {
  const local = newLocal();
  const path = await local.publish(volume, pod, { otherPods }, signal);
  return volume.isBlock ? await local.map(volume, pod, path, signal) : path;
};

describe('a directory', () => {
  it('is given to its group, then bound; once it is bound it is left alone', async () => {
    const pod = podOf({ fsGroup: 7 });
    const volume = volumeOf({ mountOptions: ['noatime', 'nodev'] });
    expect(await publish(volume, pod)).toBe(target());
    expect(calls).toEqual(['give /data 7', 'bind /data noatime,nodev']);
    await publish(volume, pod);
    expect(calls).toHaveLength(2);
  });

  it.each<[string, PodSecurityContext, Partial<PodVolume>, string[], string[]]>([
    ['no group', {}, {}, [], ['bind /data ']],
    ['read-only', { fsGroup: 7 }, { isReadOnly: true }, [], ['bind /data ro']],
    ['another pod has it', { fsGroup: 7 }, {}, ['other'], ['bind /data ']],
    ['given before', { fsGroup: 7, fsGroupChangePolicy: 'OnRootMismatch' }, {}, [], ['bind /data ']],
    [
      'given before, policy Always',
      { fsGroup: 7, fsGroupChangePolicy: 'Always' },
      {},
      [],
      ['give /data 7', 'bind /data '],
    ],
  ])('%s', async (_, security, more, otherPods, want) => {
    owner = { mode: 0o2775, gid: 7 };
    await publish(volumeOf({}, more), podOf(security), otherPods);
    expect(calls).toEqual(want);
    expect(events).toEqual([]);
  });

  it('that another pod has with another group is told', async () => {
    owner = { mode: 0o2775, gid: 8 };
    await publish(volumeOf(), podOf({ fsGroup: 7 }), ['other']);
    expect(events).toEqual([
      'Warning AlreadyMountedVolume The requested fsGroup is 7, but the volume pv has GID 8. The volume may not be shareable.',
    ]);
  });

  it('whose bind lacks its options, as after a death in between, gets them', async () => {
    await mkdir(target(), { recursive: true });
    mounted.set(target(), ['rw']);
    await publish(volumeOf({}, { isReadOnly: true }), podOf({ fsGroup: 7 }));
    expect(calls).toEqual(['bind /data ro']);
    expect(mounted.size).toBe(1);
  });

  it('that takes long to be given is told of, and how far it is', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    walk = (onEach) => [0, 1, 2].forEach(onEach) ?? promise;
    const publishing = publish(volumeOf(), podOf({ fsGroup: 7 }));
    while (calls.length === 0) await clock.advance(0);
    await clock.advance(90_000);
    const about =
      'Warning VolumePermissionChangeInProgress Setting volume ownership for u/volumes/kubernetes.io~local-volume/pv';
    expect(events).toEqual([
      expect.stringContaining(`${about} is taking longer than expected, consider using OnRootMismatch - https://`),
      `${about}, processed 3 files.`,
    ]);
    resolve();
    await publishing;
    await clock.advance(90_000);
    expect(events).toHaveLength(2);
  });

  it('that cannot be bound leaves nothing', async () => {
    bindFailure = new Error('no');
    await expect(publish(volumeOf())).rejects.toThrow('no');
    bindFailure = undefined;
    await newLocal().unpublish({ uid: 'u', isBlock: false, specName: 'pv' }, signal);
    expect(mounted.size).toBe(0);
  });
});

it('a device is mounted once, bound for each pod, and both are undone', async () => {
  mode = constants.S_IFBLK;
  const volume = volumeOf({ local: { path, fsType: 'xfs' } });
  const local = newLocal();
  await local.stage(volume, podOf(), signal);
  await local.stage(volume, podOf(), signal);
  await local.publish(volume, podOf(), { otherPods: [] }, signal);
  const global = '/plugins/kubernetes.io/local-volume/mounts/pv';
  expect(calls).toEqual([`format ${global} xfs`, `bind ${global} `]);
  expect(await local.findStaged(signal)).toEqual([{ uniqueName: volume.uniqueName, specName: 'pv', isBlock: false }]);
  await local.unpublish({ uid: 'u', isBlock: false, specName: 'pv' }, signal);
  await local.unstage(volume, signal);
  expect(calls.slice(2)).toEqual([`unmount ${short(target())}`, `unmount ${global}`]);
  expect(await local.findStaged(signal)).toEqual([]);
});

describe('a device as it is', () => {
  const map = (): string => join(root, 'plugins/kubernetes.io~local-volume/volumeDevices/pv');
  const place = { uid: 'u', isBlock: true, specName: 'pv' };
  beforeEach(() => {
    mode = constants.S_IFBLK;
  });

  it('is found by its bind alone: somebody died before its link was there, or after it was gone', async () => {
    await publish(volumeOf({}, { isBlock: true }));
    await unlink(join(root, 'pods/u/volumeDevices/kubernetes.io~local-volume/pv'));
    const local = newLocal();
    expect(await local.findPublished([])).toEqual([{ ...place, uniqueName: 'kubernetes.io/local-volume/pv' }]);
    expect(await local.findPublished([place])).toHaveLength(1);
    await expect(local.unstage(volumeOf({}, { isBlock: true }), signal)).rejects.toThrow('still referenced');
    await local.unpublish(place, signal);
    await local.unstage(volumeOf({}, { isBlock: true }), signal);
    expect([mounted.size, existsSync(map())]).toEqual([0, false]);
  });

  it('that is bound and cannot be linked may be there', async () => {
    await mkdir(join(root, 'pods/u'), { recursive: true });
    await writeFile(join(root, 'pods/u/volumeDevices'), 'in the way');
    const failure: unknown = await publish(volumeOf({}, { isBlock: true })).catch((err: unknown) => err);
    expect(outcomeOf(failure)).toBe('uncertain');
    expect(mounted.has(join(map(), 'u'))).toBe(true);
  });
});

it.each<[string, number | undefined, PersistentVolumeSpec, string]>([
  ['nothing', undefined, {}, 'path "PATH" does not exist'],
  ['a file', constants.S_IFREG, {}, 'only directory and block device are supported'],
  ['a path that climbs', constants.S_IFDIR, { local: { path: '/a/../b' } }, 'invalid path: /a/../b'],
  ['a relative path', constants.S_IFDIR, { local: { path: 'a' } }, 'invalid path: a'],
])('%s is refused', async (_, found, spec, want) => {
  mode = found;
  await expect(publish(volumeOf(spec))).rejects.toThrow(want.replace('PATH', path));
  expect(calls).toEqual([]);
});

it.each<[number, number, boolean, boolean]>([
  [0o2770, 7, false, true],
  [0o2775, 7, false, true],
  [0o770, 7, false, false],
  [0o2770, 8, false, false],
  [0o2550, 7, false, false],
  [0o2550, 7, true, true],
])('mode %i of group %i (read-only: %s) is given to 7: %s', (bits, gid, isReadOnly, want) => {
  expect(isGiven({ mode: bits, gid }, 7, isReadOnly)).toBe(want);
});
