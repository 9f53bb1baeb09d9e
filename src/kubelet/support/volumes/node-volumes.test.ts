import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readlink, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../../../base/clock.ts';
import { describeError } from '../../../base/errors.ts';
import { silentLogger } from '../../../base/logger.ts';
import type { Node, PersistentVolume, Pod, Volume } from '../../../objects/generated/core-v1.ts';
import type { CsiVolume, CsiVolumes, PublishedVolume, StagedVolume } from '../../volume-model.ts';
import type { FoundPlace } from './find-places.ts';
import type { NodeVolumesNeed } from './node-volumes-need.ts';
import { NodeVolumes } from './node-volumes.ts';
import { type PodVolume, VolumeError } from './persistent-model.ts';

const never = new AbortController().signal;
const driver = 'd.example';

/** A driver that keeps what it was asked for, and can be told to fail or to hang. */
class FakeCsi implements CsiVolumes {
  readonly calls: string[] = [];
  readonly staged = new Map<string, StagedVolume>();
  readonly published = new Map<string, PublishedVolume>();
  isAttachRequired = false;
  hasNoRoom = false;
  /** Where block volumes are. */
  device = '';
  failures: Error[] = [];
  failsAt: string | undefined;
  hang: Promise<void> | undefined;

  needsAttach(): Promise<boolean> {
    return Promise.resolve(this.isAttachRequired);
  }
  isRepublished(): boolean {
    return false;
  }
  async checkAttached({ handle }: CsiVolume): Promise<void> {
    await this.#do(`check ${handle}`);
  }
  isOverLimit(): Promise<boolean> {
    return Promise.resolve(this.hasNoRoom);
  }
  async stage({ handle, isBlock, specName }: CsiVolume): Promise<void> {
    await this.#do(`stage ${handle}`);
    this.staged.set(handle, { driver, handle, isBlock, pvName: specName });
  }
  async unstage({ handle }: StagedVolume): Promise<void> {
    await this.#do(`unstage ${handle}`);
    this.staged.delete(handle);
  }
  async publish({ handle, specName, isBlock }: CsiVolume, { metadata }: Pod): Promise<string> {
    const podUid = metadata.uid ?? '';
    await this.#do(`publish ${handle} ${podUid}`);
    this.published.set(podUid, { podUid, specName, driver, handle, isBlock, isInline: false });
    return isBlock ? this.device : `/target/${podUid}`;
  }
  async unpublish({ handle, podUid }: PublishedVolume): Promise<void> {
    await this.#do(`unpublish ${handle} ${podUid}`);
    this.published.delete(podUid);
  }
  async expand({ handle }: CsiVolume, _: Pod, bytes: number): Promise<boolean> {
    await this.#do(`expand ${handle} ${bytes}`);
    return true;
  }
  figures(): Promise<undefined> {
    return Promise.resolve(undefined);
  }
  findPublished(): Promise<PublishedVolume[]> {
    return Promise.resolve([...this.published.values()]);
  }
  findStaged(): Promise<StagedVolume[]> {
    return Promise.resolve([...this.staged.values()].map((one) => ({ ...one, pvName: undefined })));
  }

  async #do(call: string): Promise<void> {
    this.calls.push(call);
    if (call.startsWith(`${this.failsAt} `)) throw new VolumeError(`no ${call}`, 'transient');
    const hang = this.hang;
    this.hang = undefined;
    await hang;
    const failure = this.failures.shift();
    if (failure !== undefined) throw failure;
  }
}

let root = '';
let clock = new FakeClock();
let csi = new FakeCsi();
let node: Node = { metadata: { name: 'n', uid: 'n' }, spec: {} };
let events: string[] = [];
let claimPatches: unknown[] = [];
let active: Pod[] = [];
let isComplete = true;
let pv: PersistentVolume = { metadata: { name: 'pv' } };
let claimStatus: object = {};

beforeEach(async () => {
  root = await realpath(await mkdtemp(join(tmpdir(), 'gantry-node-volumes-')));
  clock = new FakeClock();
  csi = new FakeCsi();
  node = { metadata: { name: 'n', uid: 'n' }, spec: {} };
  events = [];
  claimPatches = [];
  active = [];
  isComplete = true;
  pv = { metadata: { name: 'pv' }, spec: { csi: { driver, volumeHandle: 'h' }, claimRef: { uid: 'c' } } };
  claimStatus = { phase: 'Bound' };
});
afterEach(() => rm(root, { recursive: true }));

function newVolumes(overrides: Partial<NodeVolumesNeed> = {}): NodeVolumes {
  return new NodeVolumes({
    rootDir: root,
    nodeName: 'n',
    syncFrequencyMs: 60_000,
    mounts: baseMounts(),
    csi,
    event: (_, type, reason, message) => events.push(`${type} ${reason} ${message}`),
    storageEvent: ({ kind }, type, reason, message) => events.push(`${kind}: ${type} ${reason} ${message}`),
    patchClaimStatus: (_, status) => Promise.resolve(void claimPatches.push(status)),
    phases: { span: (_, __, work) => work() },
    getClaim: (namespace, name) =>
      Promise.resolve({ metadata: { name, namespace, uid: 'c' }, spec: { volumeName: 'pv' }, status: claimStatus }),
    getVolume: () => Promise.resolve(pv),
    ownNode: () => node,
    readNode: () => Promise.resolve(node),
    isComplete: () => isComplete,
    activePods: () => active,
    onInUse: () => {},
    onOperation: () => {},
    clock,
    log: silentLogger,
    ...overrides,
  });
}

const failAt = (step: string): void => void (csi.failsAt = step);
const volume: Volume = { name: 'data', persistentVolumeClaim: { claimName: 'c' } };
const podOf = (uid: string): Pod => ({
  metadata: { name: uid, namespace: 'ns', uid },
  spec: {
    containers: [{ name: 'm', image: 'i', volumeMounts: [{ name: 'data', mountPath: '/d' }] }],
    volumes: [volume],
  },
});

async function resolved(volumes: NodeVolumes, pod: Pod): Promise<PodVolume> {
  const found = (await volumes.resolve(pod, [volume], never)).get('data');
  if (found === undefined || found instanceof Error) throw new Error('not resolved', { cause: found });
  return found;
}
const mount = async (volumes: NodeVolumes, uid: string): Promise<unknown> =>
  await volumes.mount(podOf(uid), await resolved(volumes, podOf(uid)), never);
const place = (uid: string): FoundPlace => ({ uid, kind: 'csi', isBlock: false, specName: 'pv' });
async function unmount(volumes: NodeVolumes, uid: string): Promise<void> {
  volumes.leave(uid);
  await volumes.unmount(place(uid), never);
}
/** Lets what goes on by itself come to its end. */
const settled = async (): Promise<void> => {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
};
const textOf = (work: Promise<unknown>): Promise<string> => work.then(() => 'mounted', describeError);

describe('a volume of several pods', () => {
  it('is staged before the first, unstaged after the last', async () => {
    const volumes = newVolumes();
    expect(await mount(volumes, 'a')).toMatchObject({
      hostPath: '/target/a',
      readOnly: false,
      specName: 'pv',
      isBlock: false,
      gid: undefined,
      plugin: 'kubernetes.io/csi:d.example',
    });
    await mount(volumes, 'b');
    await mount(volumes, 'b'); // again: published again, as after a restart
    await unmount(volumes, 'a');
    await settled();
    expect(csi.calls).toEqual(['stage h', 'publish h a', 'publish h b', 'publish h b', 'unpublish h a']);
    await unmount(volumes, 'b');
    await settled();
    expect(csi.calls.slice(5)).toEqual(['unpublish h b', 'unstage h']);
    expect(events).toEqual([]);
  });

  it('is worked on by one hand: what hangs for one pod holds up the volume, and no other volume', async () => {
    const volumes = newVolumes();
    const { promise, resolve } = Promise.withResolvers<void>();
    csi.hang = promise;
    const first = mount(volumes, 'a');
    const second = mount(volumes, 'b');
    await settled();
    expect(csi.calls).toEqual(['stage h']);
    pv = { metadata: { name: 'pv2' }, spec: { csi: { driver, volumeHandle: 'other' }, claimRef: { uid: 'c' } } };
    await mount(volumes, 'c');
    resolve();
    await Promise.all([first, second]);
    expect(csi.calls).toEqual(['stage h', 'stage other', 'publish other c', 'publish h a', 'publish h b']);
  });

  it('stays staged while one comes as the other goes', async () => {
    const volumes = newVolumes();
    await mount(volumes, 'a');
    await resolved(volumes, podOf('b'));
    await unmount(volumes, 'a');
    await settled();
    await mount(volumes, 'b');
    expect(csi.calls).toEqual(['stage h', 'publish h a', 'unpublish h a', 'publish h b']);
  });

  it('stays staged while something else is mounted from it', async () => {
    const entry = {
      id: 1,
      device: '0:9',
      root: '/',
      options: [],
      propagation: [],
      fsType: 'x',
      source: 's',
      superOptions: [],
    };
    const mounts = [
      { ...entry, target: stagingPath() },
      { ...entry, target: '/somewhere' },
    ];
    const volumes = newVolumes({ mounts: { ...baseMounts(), listMounts: () => Promise.resolve(mounts) } });
    await mount(volumes, 'a');
    await unmount(volumes, 'a');
    await settled();
    expect(csi.calls).not.toContain('unstage h');
    mounts.pop();
    await clock.advance(500);
    await settled();
    expect(csi.calls).toContain('unstage h');
  });
});

const baseMounts = (): NodeVolumesNeed['mounts'] => ({
  bind: () => Promise.resolve(),
  bindWithOptions: () => Promise.resolve(),
  changeGroup: () => Promise.resolve({ failures: 0, firstFailure: undefined }),
  formatAndMount: () => Promise.resolve(),
  isMountPoint: () => Promise.resolve(false),
  listMounts: () => Promise.resolve([]),
  modeOf: () => Promise.resolve(0o40755),
  mountFileSystem: () => Promise.resolve(),
  ownerOf: () => Promise.resolve({ mode: 0, gid: 0 }),
  unmountFileSystem: () => Promise.resolve(),
});

const stagingPath = (): string =>
  join(root, 'plugins/kubernetes.io/csi', driver, createHash('sha256').update('h').digest('hex'), 'globalmount');

describe('what fails', () => {
  it.each([
    ['stage', 'MountVolume.MountDevice failed for volume "pv" : no'],
    ['publish', 'MountVolume.SetUp failed for volume "pv" : no'],
  ])('%s: is said once, and waits before it is tried again', async (step, words) => {
    const volumes = newVolumes();
    if (step === 'publish') await mount(volumes, 'other'); // it is staged then
    csi.failures = [new VolumeError('no', 'transient')];
    expect(await textOf(mount(volumes, 'a'))).toBe(words);
    expect(events).toEqual([`Warning FailedMount ${words}`]);
    const again = mount(volumes, 'a');
    await settled();
    const before = csi.calls.length;
    await clock.advance(500);
    await again;
    expect(csi.calls.length).toBeGreaterThan(before);
  });

  it('a disk of another kind than asked for is told on the PersistentVolume, too', async () => {
    const volumes = newVolumes();
    const mismatch = Object.assign(new Error('it already contains ext4'), { name: 'FileSystemMismatchError' });
    csi.failures = [new Error('mounting', { cause: mismatch })];
    await textOf(mount(volumes, 'a'));
    expect(events).toEqual([
      'Warning FailedMount MountVolume.MountDevice failed for volume "pv" : mounting: it already contains ext4',
      'PersistentVolume: Warning FailedMountOnFilesystemMismatch it already contains ext4',
    ]);
  });

  it('what may have happened is undone when the pod goes; what did not is not', async () => {
    const volumes = newVolumes();
    await mount(volumes, 'other');
    csi.failures = [new VolumeError('timed out', 'uncertain')];
    await textOf(mount(volumes, 'a'));
    expect(await volumes.placesOf('a')).toEqual([place('a')]);
    await unmount(volumes, 'a');
    expect(csi.calls.at(-1)).toBe('unpublish h a');
    csi.failures = [new Error('never')];
    await textOf(mount(volumes, 'b'));
    expect(await volumes.placesOf('b')).toEqual([]);
  });

  it('an unmount that fails is tried again, and holds the volume', async () => {
    const volumes = newVolumes();
    await mount(volumes, 'a');
    csi.failures = [new Error('busy')];
    expect(await textOf(unmount(volumes, 'a'))).toBe('busy');
    await settled();
    expect(csi.calls).not.toContain('unstage h');
    const again = unmount(volumes, 'a');
    await settled();
    await clock.advance(500);
    await again;
    await settled();
    expect(csi.calls.at(-1)).toBe('unstage h');
  });

  it('a pod that ends while its volume hangs is told so after two minutes, and tried again', async () => {
    const volumes = newVolumes();
    csi.hang = new Promise(() => {});
    const leaves = new AbortController();
    const one = await resolved(volumes, podOf('a'));
    const mounting = textOf(volumes.mount(podOf('a'), one, leaves.signal));
    await settled();
    leaves.abort(new Error('deleted'));
    expect(await mounting).toBe('deleted');
    csi.published.set('a', { podUid: 'a', specName: 'pv', driver, handle: 'h', isBlock: false, isInline: false });
    await volumes.reconstruct(never); // as if it had come so far
    const unmounting = textOf(unmount(volumes, 'a'));
    await settled();
    await clock.advance(123_000);
    expect(await unmounting).toBe('taking down volume "pv" took longer than 123s');
  });
});

it('a pod that ends while its volume is staged gets none: what is staged goes again', async () => {
  const volumes = newVolumes();
  const staging = Promise.withResolvers<void>();
  csi.hang = staging.promise;
  const leaves = new AbortController();
  const mounting = textOf(volumes.mount(podOf('a'), await resolved(volumes, podOf('a')), leaves.signal));
  await settled();
  leaves.abort(new Error('deleted'));
  await mounting;
  volumes.leave('a');
  expect(await volumes.placesOf('a')).toEqual([]); // so its end is told now
  staging.resolve();
  await settled();
  volumes.tidy();
  await settled();
  expect(csi.calls).toEqual(['stage h', 'unstage h']);
  expect(events).toEqual([]);
});

describe('attaching', () => {
  const name = `kubernetes.io/csi/${driver}^h`;
  it('is not forgotten of a volume that is tidied away while its driver is asked about it', async () => {
    const asked = Promise.withResolvers<boolean>();
    csi.needsAttach = () => asked.promise;
    const volumes = newVolumes();
    const mounting = mount(volumes, 'a');
    await settled();
    volumes.tidy();
    await settled();
    asked.resolve(true);
    await settled();
    expect([volumes.unattached('a'), csi.calls]).toEqual([['data'], []]);
    node = { ...node, status: { volumesInUse: [name], volumesAttached: [{ name, devicePath: '' }] } };
    volumes.nodeChanged();
    await mounting;
  });

  it('the node says first that it will use the volume, then waits until it is there', async () => {
    let told = 0;
    csi.isAttachRequired = true;
    const volumes = newVolumes({ onInUse: () => told++ });
    const mounting = mount(volumes, 'a');
    await settled();
    expect(volumes.inUse()).toEqual([name]);
    expect(volumes.unattached('a')).toEqual(['data']);
    expect([told, csi.calls]).toEqual([1, []]);
    node = { ...node, status: { volumesInUse: [name] } };
    volumes.nodeChanged();
    await settled();
    expect(csi.calls).toEqual([]);
    node = { ...node, status: { volumesInUse: [name], volumesAttached: [{ name, devicePath: '' }] } };
    volumes.nodeChanged();
    await mounting;
    expect(csi.calls).toEqual(['check h', 'stage h', 'publish h a']);
    expect(volumes.unattached('a')).toEqual([]);
    await unmount(volumes, 'a');
    expect(volumes.inUse()).toEqual([name]); // until it is unstaged
    await settled();
    expect(volumes.inUse()).toEqual([]);
  });

  it.each([
    ['one that the node has no room for is over its limit', true, true],
    ['one that just takes long is not', false, false],
  ])('%s', async (_, hasNoRoom, want) => {
    csi.isAttachRequired = true;
    csi.hasNoRoom = hasNoRoom;
    const volumes = newVolumes();
    const one = await resolved(volumes, podOf('a'));
    const isOver = (): Promise<boolean> => volumes.isOverLimit('a', new Map([['data', one]]), never);
    expect(await isOver()).toBe(false); // nobody waits
    const stop = new AbortController();
    const mounting = textOf(volumes.mount(podOf('a'), one, stop.signal));
    await settled();
    stop.abort(new Error('enough'));
    expect(await mounting).toBe('enough');
    expect(await isOver()).toBe(want);
    expect(await volumes.isOverLimit('a', new Map([['data', new Error('gone')]]), never)).toBe(false);
  });

  it('nothing is said before all pods are known, and what was found stays attached', async () => {
    csi.staged.set('h', { driver, handle: 'h', isBlock: false, pvName: 'pv' });
    isComplete = false;
    const volumes = newVolumes();
    await volumes.reconstruct(never);
    expect(volumes.inUse()).toBeUndefined();
    isComplete = true;
    node = { ...node, status: { volumesAttached: [{ name, devicePath: '' }] } };
    expect(volumes.inUse()).toEqual([name]);
  });
});

function grow(): void {
  pv = { ...pv, spec: { ...pv.spec, capacity: { storage: '2Gi' } } };
  claimStatus = {
    phase: 'Bound',
    capacity: { storage: '1Gi' },
    allocatedResources: { storage: '2Gi' },
    allocatedResourceStatuses: { storage: 'NodeResizePending' },
  };
}

describe('a block volume', () => {
  const blockPod: Pod = {
    ...podOf('a'),
    spec: {
      containers: [{ name: 'm', image: 'i', volumeDevices: [{ name: 'data', devicePath: '/dev/x' }] }],
      volumes: [volume],
    },
  };
  const mountBlock = async (volumes: NodeVolumes): Promise<unknown> =>
    await volumes.mount(blockPod, await resolved(volumes, blockPod), never);

  beforeEach(async () => {
    pv = { ...pv, spec: { ...pv.spec, volumeMode: 'Block', accessModes: ['ReadWriteOnce'] } };
    csi.device = join(root, 'device');
    await writeFile(csi.device, '');
  });

  it('is told of twice when it is there, and not again', async () => {
    const volumes = newVolumes();
    const link = join(root, 'pods/a/volumeDevices/kubernetes.io~csi/pv');
    expect(await mountBlock(volumes)).toMatchObject({ hostPath: link, isBlock: true });
    expect(await readlink(link)).toBe(csi.device);
    const told = 'Normal SuccessfulMountVolume MapVolume.MapPodDevice succeeded for volume "pv"';
    expect(events).toEqual([
      `${told} globalMapPath "${join(root, 'plugins/kubernetes.io/csi/volumeDevices/pv/dev')}"`,
      `${told} volumeMapPath "${dirname(link)}"`,
    ]);
    await mountBlock(volumes);
    expect(events).toHaveLength(2);
  });

  const affinity = {
    required: { nodeSelectorTerms: [{ matchExpressions: [{ key: 'zone', operator: 'In', values: ['z'] }] }] },
  };
  it.each<[string, string, () => void]>([
    [
      'on the wrong node',
      'FailedMount MapVolume.NodeAffinity check failed',
      () => (pv.spec = { ...pv.spec, nodeAffinity: affinity }),
    ],
    ['not attached', 'FailedMapVolume MapVolume.WaitForAttach failed', () => failAt('check')],
    ['not staged', 'FailedMapVolume MapVolume.SetUpDevice failed', () => failAt('stage')],
    ['not published', 'FailedMapVolume MapVolume.MapPodDevice failed', () => failAt('publish')],
    ['without its device', 'FailedMapVolume MapVolume.MapBlockVolume failed', () => (csi.device = join(root, 'none'))],
    [
      'not expanded',
      'FailedMapVolume MapVolume.MarkVolumeAsMounted failed while expanding volume',
      () => failAt('expand'),
    ],
  ])('%s: %s', async (_, words, breakIt) => {
    csi.isAttachRequired = true;
    const name = 'kubernetes.io/csi/d.example^h';
    node = { ...node, status: { volumesInUse: [name], volumesAttached: [{ name, devicePath: '' }] } };
    grow();
    breakIt();
    const volumes = newVolumes();
    const text = await textOf(mountBlock(volumes));
    expect(events.at(-1)).toBe(`Warning ${words.split(' ')[0]} ${text}`);
    expect(text).toMatch(new RegExp(`^${words.split(' ').slice(1).join(' ')} for volume "pv" : `));
    expect(events.filter((event) => event.includes('Successful'))).toEqual([]);
  });
});

describe('after a restart', () => {
  beforeEach(() => {
    csi.staged.set('h', { driver, handle: 'h', isBlock: false, pvName: 'pv' });
    csi.published.set('a', { podUid: 'a', specName: 'pv', driver, handle: 'h', isBlock: false, isInline: false });
  });

  it('a wanted volume is staged and published again, and stays through a failure', async () => {
    const volumes = newVolumes();
    await volumes.reconstruct(never);
    csi.failures = [new Error('no')];
    await textOf(mount(volumes, 'a'));
    volumes.tidy();
    await settled();
    expect(csi.calls).toEqual(['stage h']);
    expect(await volumes.placesOf('a')).toEqual([place('a')]);
  });

  it('nothing is taken down before all pods are known and each was looked at', async () => {
    csi.published.clear(); // staged, and no pod has it
    const volumes = newVolumes();
    await volumes.reconstruct(never);
    isComplete = false;
    volumes.tidy();
    await settled();
    expect(csi.calls).toEqual([]);
    isComplete = true;
    active = [podOf('later')];
    volumes.tidy();
    await settled();
    expect(csi.calls).toEqual([]);
    active = [];
    volumes.tidy();
    await settled();
    expect(csi.calls).toEqual(['unstage h']);
  });

  it('a pod that is gone is taken down without the API', async () => {
    const volumes = newVolumes({ getClaim: () => Promise.reject(new Error('away')) });
    await volumes.reconstruct(never);
    await mkdir(join(root, 'pods/a/volumes/kubernetes.io~csi/pv'), { recursive: true });
    expect(await volumes.placesOf('a')).toEqual([place('a')]);
    expect(volumes.uids()).toEqual(['a']);
    await unmount(volumes, 'a');
    await settled();
    expect(csi.calls).toEqual(['unpublish h a', 'unstage h']);
    expect(volumes.uids()).toEqual([]);
  });
});

describe('a volume that has grown', () => {
  beforeEach(grow);

  it('is expanded once, and claim and pod are told', async () => {
    const volumes = newVolumes();
    await mount(volumes, 'a');
    await mount(volumes, 'a');
    expect(csi.calls.filter((call) => call.startsWith('expand'))).toEqual([`expand h ${2 * 2 ** 30}`]);
    const message = 'MountVolume.NodeExpandVolume succeeded for volume "pv" n';
    expect(events).toEqual([
      `Normal FileSystemResizeSuccessful ${message}`,
      `PersistentVolumeClaim: Normal FileSystemResizeSuccessful ${message}`,
    ]);
    expect(claimPatches).toHaveLength(2);
  });

  it('a running pod’s is found at a refresh', async () => {
    const grown = claimStatus;
    claimStatus = { phase: 'Bound', capacity: { storage: '2Gi' } };
    const volumes = newVolumes();
    await mount(volumes, 'a');
    claimStatus = grown;
    await volumes.refresh(podOf('a'), [volume], never);
    expect(csi.calls.at(-1)).toBe(`expand h ${2 * 2 ** 30}`);
  });

  it.each([
    ['FailedPrecondition', undefined, []],
    [
      'OutOfRange',
      'MountVolume.Setup failed while expanding volume for volume "pv" : no',
      [{ allocatedResourceStatuses: { storage: 'NodeResizeInfeasible' } }],
    ],
    [
      'Internal',
      'MountVolume.Setup failed while expanding volume for volume "pv" : no',
      [{ conditions: [{ type: 'NodeResizeError' }] }],
    ],
    ['Unavailable', 'MountVolume.Setup failed while expanding volume for volume "pv" : no', []],
  ])('a driver that answers %s', async (code, failure, patches) => {
    const volumes = newVolumes();
    csi.expand = () => Promise.reject(Object.assign(new VolumeError('no', 'final'), { code }));
    const text = await textOf(mount(volumes, 'a'));
    if (failure === undefined) expect(text).toBe('mounted');
    else expect(text).toContain(failure);
    expect(claimPatches.slice(1)).toMatchObject(patches);
  });
});
