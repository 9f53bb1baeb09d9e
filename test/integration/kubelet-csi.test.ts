/** The kubelet's side of CSI with a driver that is a process of its own, over real sockets; nothing is mounted. */
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Csi } from '../../src/adapters/csi/csi.ts';
import { Mounts } from '../../src/adapters/mounts/mounts.ts';
import { PluginConnection } from '../../src/adapters/plugin-registration/plugin-registration.ts';
import { systemClock } from '../../src/base/clock.ts';
import { UnavailableError } from '../../src/base/errors.ts';
import { silentLogger } from '../../src/base/logger.ts';
import type { KubeObject, ResourceType } from '../../src/client/api-client.ts';
import { csiNodes, nodes, secrets, volumeAttachments } from '../../src/client/resource-types.ts';
import { NodeCsi } from '../../src/kubelet/support/csi/csi-volumes.ts';
import { Plugins } from '../../src/kubelet/support/plugins/plugins.ts';
import type { CsiVolume } from '../../src/kubelet/volume-model.ts';
import type { NodeCondition, PersistentVolumeSpec, Pod } from '../../src/objects/generated/core-v1.ts';
import type { CSIDriverSpec } from '../../src/objects/generated/storage-v1.ts';
import { awaitUntil } from '../await-until.ts';
import { CsiDriverProcess } from '../fakes/csi-driver-process.ts';
import { FakeApi } from '../fakes/fake-api.ts';
import { nodeName, openFixture } from './kubelet-fixture.ts';

const driverName = 'dir.csi.example';
const never = new AbortController().signal;
const sha = (text: string): string => createHash('sha256').update(text).digest('hex');
const ownGroup = process.getgid?.() ?? 0;

let rootDir: string;
let api: FakeApi;
let csi: NodeCsi;
let driver: CsiDriverProcess;
let spec: CSIDriverSpec | undefined;
let notes: string[];
let stop: AbortController;
let done: Promise<unknown>;

const pod: Pod = {
  metadata: { name: 'web', namespace: 'shop', uid: 'uid-1' },
  spec: { serviceAccountName: 'clerk', securityContext: { fsGroup: ownGroup }, containers: [] },
};

function persistent(more: Partial<PersistentVolumeSpec> = {}, handle = 'vol-1'): CsiVolume {
  const source = {
    driver: driverName,
    volumeHandle: handle,
    fsType: 'ext4',
    volumeAttributes: { colour: 'red' },
    ...more.csi,
  };
  const pv = { metadata: { name: 'pv-1' }, spec: { accessModes: ['ReadWriteOnce'], ...more, csi: source } };
  return { driver: driverName, handle, specName: 'pv-1', source: { pv }, isReadOnly: false, isBlock: false };
}

const inline: CsiVolume = {
  driver: driverName,
  handle: 'csi-inline',
  specName: 'greetings',
  source: {
    inline: { driver: driverName, volumeAttributes: { greeting: 'hello' }, nodePublishSecretRef: { name: 'key' } },
  },
  isReadOnly: true,
  isBlock: false,
};

const registry = (): string => join(rootDir, 'plugins_registry');
const target = (name = 'pv-1'): string => join(rootDir, 'pods/uid-1/volumes/kubernetes.io~csi', name, 'mount');
const staging = (handle = 'vol-1'): string =>
  join(rootDir, 'plugins/kubernetes.io/csi', driverName, sha(handle), 'globalmount');
const published = {
  podUid: 'uid-1',
  specName: 'pv-1',
  driver: driverName,
  handle: 'vol-1',
  isBlock: false,
  isInline: false,
};
const staged = { driver: driverName, handle: 'vol-1', isBlock: false, pvName: undefined };
const failure = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => 'it went well',
    (err: unknown) => err,
  );
const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );
const dataIn = async (directory: string): Promise<unknown> =>
  JSON.parse(await readFile(join(directory, 'vol_data.json'), 'utf8'));
const driverNames = (): string[] | undefined =>
  api.find(csiNodes, undefined, nodeName)?.spec.drivers.map(({ name }) => name);

/** A kubelet's rooms for drivers, as they are plugged together. */
function startRooms(): void {
  stop = new AbortController();
  csi = new NodeCsi({
    rootDir,
    nodeName,
    api: {
      cachedDriver: () => (spec === undefined ? undefined : { metadata: { name: driverName }, spec }),
      driver: async () => (spec === undefined ? undefined : { metadata: { name: driverName }, spec }),
      secret: (namespace, name) => api.get(secrets, { namespace, name }),
      attachment: (name) => api.get(volumeAttachments, { name }),
      readNode: () => api.get(nodes, { name: nodeName }),
      objects: api,
    },
    csi: new Csi({ timeoutMs: 10_000 }),
    mounts: new Mounts(),
    token: async ({ audience = '', serviceAccount }) => ({
      token: `token of ${serviceAccount} for ${audience}`,
      expirationTimestamp: '2030-01-01T00:00:00Z',
    }),
    forgetTokens: (uid) => void notes.push(`forgot tokens of ${uid}`),
    hasLabels: false,
    event: (_, type, reason, message) => void notes.push(`${type} ${reason} ${message}`),
    onDriver: () => {},
    onProblems: () => {},
    clock: systemClock,
    log: silentLogger,
  });
  const plugins = new Plugins({
    rootDir,
    connect: (socket, signal) => PluginConnection.open(socket, systemClock, signal),
    handlers: { CSIPlugin: csi.drivers },
    clock: systemClock,
    log: silentLogger,
  });
  done = Promise.all([csi.run(stop.signal), plugins.run(stop.signal)]);
}

beforeEach(async () => {
  rootDir = await mkdtemp(join(tmpdir(), 'gantry-csi-'));
  await mkdir(registry());
  api = new FakeApi();
  [spec, notes] = [{ attachRequired: false }, []];
  await api.create(nodes, { metadata: { name: nodeName }, spec: {} });
  startRooms();
  driver = await CsiDriverProcess.start(join(rootDir, 'driver'), {
    registry: registry(),
    name: driverName,
    noMounts: true,
  });
  await driver.addVolume('vol-1');
  await awaitUntil('the driver to be registered', () => driverNames()?.includes(driverName));
});

afterEach(async () => {
  await driver.stop();
  stop.abort();
  await done;
  await rm(rootDir, { recursive: true });
});

describe('a driver of the node', () => {
  it('is made known with its limits and its topology, and forgotten when its socket goes', async () => {
    await driver.stop();
    await awaitUntil('the driver to be gone', () => driverNames()?.length === 0);
    expect(api.find(nodes, undefined, nodeName)?.metadata.annotations ?? {}).toEqual({});
    expect(await failure(csi.stage(persistent(), pod, never))).toMatchObject({
      outcome: 'transient',
      message: `kubernetes.io/csi: attacher.MountDevice failed to create newCsiDriverClient: driver name ${driverName} not found in the list of registered CSI drivers`,
    });

    await driver.restart({ nodeId: 'other', maxVolumes: 7, topology: { 'example/rack': 'r1', 'example/hall': 'h1' } });
    await awaitUntil('the driver to be back', () => driverNames()?.length === 1);
    const node = api.find(nodes, undefined, nodeName);
    expect(node?.metadata.annotations).toEqual({ 'csi.volume.kubernetes.io/nodeid': `{"${driverName}":"other"}` });
    expect(node?.metadata.labels).toEqual({ 'example/rack': 'r1', 'example/hall': 'h1' });
    const csiNode = api.find(csiNodes, undefined, nodeName);
    expect(csiNode?.spec.drivers).toEqual([
      { name: driverName, nodeID: 'other', topologyKeys: ['example/hall', 'example/rack'], allocatable: { count: 7 } },
    ]);
    expect(csiNode?.metadata.ownerReferences).toEqual([
      { apiVersion: 'v1', kind: 'Node', name: nodeName, uid: node?.metadata.uid },
    ]);
    const told = { plugin_registered: true, error: '' };
    const words = (): Promise<object[]> => driver.requests('NotifyRegistrationStatus');
    await awaitUntil('the driver to be told', async () => (await words()).length === 2);
    expect(await words()).toEqual([told, told]);
  });

  it('is refused in words that tell it why', async () => {
    const start = (name: string, more: object): Promise<CsiDriverProcess> =>
      CsiDriverProcess.start(join(rootDir, name), { registry: registry(), name, noMounts: true, ...more });
    const others = [
      await start('gpu', { pluginType: 'DevicePlugin' }),
      await start('old', { versions: ['0.3.0'] }),
      await start('nobody', { nodeId: '' }),
      await start('twin', { name: driverName, registrationSocket: join(registry(), 'twin.sock') }),
    ];
    try {
      const words = await Promise.all(
        others.map((one) =>
          awaitUntil('a refusal', async () => (await one.requests('NotifyRegistrationStatus'))[0]?.['error']),
        ),
      );
      const failed =
        'RegisterPlugin error -- plugin validation failed with err: kubernetes.io/csi: RegisterPlugin for CSI driver';
      expect(words).toEqual([
        `RegisterPlugin error -- no handler registered for plugin type: DevicePlugin at socket ${registry()}/gpu.sock`,
        expect.stringContaining(`${failed} "old" failed. None of the versions specified ["0.3.0"] are supported.`),
        'RegisterPlugin error -- plugin registration failed with err: error adding CSI driver node info: driverNodeID must not be empty',
        `${failed} "${driverName}" failed. Another driver with the same name is already registered with a higher supported version: "1.0.0"`,
      ]);
      expect(driverNames()).toEqual([driverName]);
    } finally {
      for (const one of others) await one.stop();
    }
  });
});

describe('a persistent volume', () => {
  it('is staged and published, and taken back, with everything known of it on disk before', async () => {
    spec = { podInfoOnMount: true };
    await api.create(volumeAttachments, {
      metadata: { name: `csi-${sha(`vol-1${driverName}${nodeName}`)}` },
      spec: { attacher: driverName, nodeName, source: { persistentVolumeName: 'pv-1' } },
      status: { attached: true, attachmentMetadata: { device: 'x' } },
    });
    for (const name of ['stage', 'publish']) {
      const data = { password: Buffer.from(`of ${name}`).toString('base64') };
      await api.create(secrets, { metadata: { name, namespace: 'storage' }, data });
    }
    const ref = (name: string): { namespace: string; name: string } => ({ namespace: 'storage', name });
    const volume = persistent({
      mountOptions: ['noatime'],
      csi: {
        driver: driverName,
        volumeHandle: 'vol-1',
        nodeStageSecretRef: ref('stage'),
        nodePublishSecretRef: ref('publish'),
      },
    });
    expect(await csi.needsAttach(volume, never)).toBe(true);
    await csi.checkAttached(volume, never);
    await csi.stage(volume, pod, never);
    expect(await dataIn(dirname(staging()))).toEqual({ driverName, volumeHandle: 'vol-1' });
    expect(await csi.publish(volume, pod, never)).toBe(target());
    expect(await dataIn(dirname(target()))).toEqual({
      attachmentID: `csi-${sha(`vol-1${driverName}${nodeName}`)}`,
      driverName,
      nodeName,
      specVolID: 'pv-1',
      volumeHandle: 'vol-1',
      volumeLifecycleMode: 'Persistent',
    });
    expect((await stat(dirname(target()))).mode & 0o777).toBe(0o750);
    expect((await stat(target())).mode & 0o7777).toBe(0o2775); // the group of the pod may write
    const common = { volume_id: 'vol-1', publish_context: { device: 'x' } };
    const volume_capability = {
      access_mode: { mode: 'SINGLE_NODE_WRITER' },
      access_type: 'mount',
      mount: { fs_type: 'ext4', mount_flags: ['noatime'], volume_mount_group: '' },
    };
    expect(await driver.requests('NodeStageVolume')).toEqual([
      {
        ...common,
        volume_capability,
        staging_target_path: staging(),
        secrets: { password: 'of stage' },
        volume_context: { colour: 'red' },
      },
    ]);
    expect(await driver.requests('NodePublishVolume')).toEqual([
      {
        ...common,
        volume_capability,
        staging_target_path: staging(),
        target_path: target(),
        readonly: false,
        secrets: { password: 'of publish' },
        volume_context: {
          colour: 'red',
          'csi.storage.k8s.io/pod.name': 'web',
          'csi.storage.k8s.io/pod.namespace': 'shop',
          'csi.storage.k8s.io/pod.uid': 'uid-1',
          'csi.storage.k8s.io/serviceAccount.name': 'clerk',
          'csi.storage.k8s.io/ephemeral': 'false',
        },
      },
    ]);
    expect([await csi.findPublished(), await csi.findStaged()]).toEqual([[published], [staged]]);

    await csi.unpublish(published, never);
    await csi.unstage(staged, never);
    expect(await driver.requests('NodeUnpublishVolume')).toEqual([{ volume_id: 'vol-1', target_path: target() }]);
    expect(await driver.requests('NodeUnstageVolume')).toEqual([
      { volume_id: 'vol-1', staging_target_path: staging() },
    ]);
    expect([await exists(dirname(target())), await exists(dirname(staging()))]).toEqual([false, false]);
    await csi.unpublish(published, never); // again: there is nothing left to ask a driver for
    await csi.unstage(staged, never);
    expect((await driver.requests('NodeUnpublishVolume')).length).toBe(1);
  });

  it('waits for its attachment in the words of who attaches', async () => {
    const id = `csi-${sha(`vol-1${driverName}${nodeName}`)}`;
    const why = async (): Promise<unknown> => failure(csi.checkAttached(persistent(), never));
    expect(await why()).toMatchObject({
      message: `volume vol-1 has GET error for volume attachment ${id}: volumeattachments "${id}" not found`,
    });
    const attachment = {
      metadata: { name: id },
      spec: { attacher: driverName, nodeName, source: { persistentVolumeName: 'pv-1' } },
    };
    await api.create(volumeAttachments, attachment);
    expect(await why()).toMatchObject({ message: `volume vol-1 is not attached for volume attachment ${id}` });
    await api.update(volumeAttachments, {
      ...attachment,
      status: { attached: false, attachError: { message: 'too far' } },
    });
    expect(await why()).toMatchObject({ message: 'too far', outcome: 'transient' });
    await api.update(volumeAttachments, { ...attachment, status: { attached: true } });
    expect(await why()).toBe('it went well');
  });

  it('is not staged by a driver that does not stage', async () => {
    await driver.control({ capabilities: ['VOLUME_MOUNT_GROUP'] });
    await csi.stage(persistent(), pod, never);
    await csi.publish(persistent(), pod, never);
    expect(await exists(staging())).toBe(true);
    expect(await driver.requests('NodeStageVolume')).toEqual([]);
    const [request] = await driver.requests('NodePublishVolume');
    expect(request).toMatchObject({
      staging_target_path: '',
      volume_capability: { mount: { volume_mount_group: String(ownGroup) } },
    });
    expect((await stat(target())).mode & 0o2000).toBe(0); // the driver gives files to the group, or nobody
    await csi.unpublish(published, never);
    await csi.unstage(staged, never);
    expect(await driver.requests('NodeUnstageVolume')).toEqual([]);
    expect(await exists(dirname(staging()))).toBe(false);
  });

  it('leaves nothing when the driver says that it did not happen', async () => {
    await driver.control({ fail: { NodeStageVolume: { code: 'INTERNAL', message: 'no disk' } } });
    expect(await failure(csi.stage(persistent(), pod, never))).toMatchObject({
      outcome: 'final',
      code: 'Internal',
      message: 'rpc error: code = Internal desc = no disk',
    });
    expect(await exists(dirname(staging()))).toBe(false);
    await driver.control({ fail: { NodePublishVolume: { code: 'INVALID_ARGUMENT', message: 'no such colour' } } });
    expect(await failure(csi.publish(persistent(), pod, never))).toMatchObject({
      outcome: 'final',
      code: 'InvalidArgument',
    });
    expect(await exists(dirname(target()))).toBe(false);
  });

  it('stays in doubt when the driver may have done it', async () => {
    await driver.control({ failAfter: { NodePublishVolume: { code: 'UNAVAILABLE', message: 'busy' } } });
    expect(await failure(csi.publish(persistent(), pod, never))).toMatchObject({
      outcome: 'uncertain',
      code: 'Unavailable',
    });
    expect(await csi.findPublished()).toEqual([published]);
    await csi.unpublish(published, never);
    expect(await exists(dirname(target()))).toBe(false);
  });

  it('is not taken from a pod by a repeated call that fails, nor by one after a restart', async () => {
    spec = { attachRequired: false, requiresRepublish: true };
    expect(csi.isRepublished(driverName)).toBe(true);
    await csi.publish(persistent(), pod, never);
    await driver.control({ fail: { NodePublishVolume: { code: 'INTERNAL', message: 'not now' } } });
    expect(await failure(csi.publish(persistent(), pod, never))).toMatchObject({
      outcome: 'transient',
      code: 'Internal',
    });
    stop.abort();
    await done;
    startRooms();
    await awaitUntil(
      'the driver to be known again',
      async () => (await driver.requests('NotifyRegistrationStatus')).length > 1,
    );
    expect(await failure(csi.publish(persistent(), pod, never))).toMatchObject({ outcome: 'transient' });
    expect(await readFile(join(target(), 'volume-id'), 'utf8')).toBe('vol-1');
    expect(await csi.findPublished()).toEqual([published]);
  });

  it('survives a driver that ends between staging and publishing', async () => {
    await csi.stage(persistent(), pod, never);
    await driver.control({ exitBefore: 'NodePublishVolume' });
    expect(await failure(csi.publish(persistent(), pod, never))).toMatchObject({ outcome: 'uncertain' });
    await driver.ended();
    expect(await csi.findPublished()).toEqual([published]);
    await driver.control({});
    await driver.restart();
    await awaitUntil(
      'the driver to be back',
      async () => (await failure(csi.publish(persistent(), pod, never))) === 'it went well',
    );
    await csi.unpublish(published, never);
    await csi.unstage(staged, never);
    expect(await exists(dirname(staging()))).toBe(false);
  });

  it('lets go of a driver that hangs, and its directories stay', async () => {
    await driver.control({ hang: ['NodePublishVolume'] });
    const given = new AbortController();
    const result = failure(csi.publish(persistent(), pod, given.signal));
    await awaitUntil('the call', async () => (await driver.requests('NodePublishVolume')).length === 1);
    await csi.stage(persistent({}, 'vol-1'), pod, never); // others are served meanwhile
    given.abort(new Error('enough'));
    expect(await result).toMatchObject({ message: 'enough' });
    expect(await csi.findPublished()).toEqual([published]);
    await driver.control({});
  });

  it('keeps what somebody has put where a driver should mount', async () => {
    await csi.publish(persistent(), pod, never);
    const witness = join(dirname(target()), 'witness');
    await writeFile(witness, 'mine');
    expect(await failure(csi.unpublish(published, never))).toMatchObject({ outcome: 'uncertain' });
    expect(await readFile(witness, 'utf8')).toBe('mine');
    expect(await readdir(dirname(target()))).toEqual(['witness']);
  });

  it('grows, tells its figures, and knows what its driver cannot', async () => {
    const size = 5 * 1024 * 1024;
    await csi.stage(persistent(), pod, never);
    await csi.publish(persistent(), pod, never);
    expect(await csi.expand(persistent(), pod, size, never)).toBe(true);
    expect(await driver.requests('NodeExpandVolume')).toMatchObject([
      { volume_path: target(), staging_target_path: staging(), capacity_range: { required_bytes: String(size) } },
    ]);
    expect(await csi.figures(persistent(), 'uid-1', never)).toMatchObject({
      capacityBytes: size,
      usedBytes: expect.any(Number),
      inodesFree: expect.any(Number),
    });
    await driver.control({ fail: { NodeExpandVolume: { code: 'FAILED_PRECONDITION', message: 'in use' } } });
    expect(await failure(csi.expand(persistent(), pod, size, never))).toMatchObject({ code: 'FailedPrecondition' });
    await driver.control({ capabilities: [] });
    expect(await csi.expand(persistent(), pod, size, never)).toBe(false);
    expect(await csi.figures(persistent(), 'uid-1', never)).toBeUndefined();
  });
});

describe('a volume that a pod describes itself', () => {
  beforeEach(async () => {
    const data = { door: Buffer.from('open').toString('base64') };
    await api.create(secrets, { metadata: { name: 'key', namespace: 'shop' }, data });
  });

  it('is published with the pod’s secret and tokens, and never staged', async () => {
    const tokenRequests = [{ audience: 'vault' }, { audience: '', expirationSeconds: 600 }];
    spec = { podInfoOnMount: true, volumeLifecycleModes: ['Ephemeral'], tokenRequests };
    expect(await csi.needsAttach(inline, never)).toBe(false);
    await csi.stage(inline, pod, never);
    await csi.publish(inline, pod, never);
    const tokens = JSON.stringify({
      '': { token: 'token of clerk for ', expirationTimestamp: '2030-01-01T00:00:00Z' },
      vault: { token: 'token of clerk for vault', expirationTimestamp: '2030-01-01T00:00:00Z' },
    });
    expect(await driver.requests('NodePublishVolume')).toMatchObject([
      {
        volume_id: 'csi-inline',
        staging_target_path: '',
        readonly: true,
        secrets: { door: 'open' },
        volume_context: {
          greeting: 'hello',
          'csi.storage.k8s.io/ephemeral': 'true',
          'csi.storage.k8s.io/serviceAccount.tokens': tokens,
        },
      },
    ]);
    expect(await driver.requests('NodeStageVolume')).toEqual([]);
    spec = { ...spec, serviceAccountTokenInSecrets: true };
    await csi.publish(inline, pod, never);
    const [, second] = await driver.requests('NodePublishVolume');
    expect(second).toMatchObject({ secrets: { door: 'open', 'csi.storage.k8s.io/serviceAccount.tokens': tokens } });
    expect(JSON.stringify(second?.['volume_context'])).not.toContain('token of');
    await csi.unpublish({ ...published, specName: 'greetings', handle: 'csi-inline', isInline: true }, never);
    expect(notes).toContain('forgot tokens of uid-1');
  });

  it.each([
    {
      what: 'its driver is for persistent ones',
      of: { volumeLifecycleModes: ['Persistent'] },
      want: '(only supports ["Persistent"])',
    },
    { what: 'its driver says nothing of itself', of: undefined, want: '(no CSIDriver object)' },
  ])('is refused when $what', async ({ of, want }) => {
    spec = of;
    expect(await failure(csi.publish(inline, pod, never))).toMatchObject({
      outcome: 'transient',
      message: `kubernetes.io/csi: mounter.SetupAt failed to check volume lifecycle mode: volume mode "Ephemeral" not supported by driver ${driverName} ${want}`,
    });
  });

  it('waits for its secret', async () => {
    spec = { volumeLifecycleModes: ['Ephemeral'] };
    await api.delete(secrets, { namespace: 'shop', name: 'key' }, {});
    expect(await failure(csi.publish(inline, pod, never))).toMatchObject({
      outcome: 'transient',
      message:
        'fetching NodePublishSecretRef shop/key failed: kubernetes.io/csi: failed to find the secret key in the namespace shop with error: secrets "key" not found',
    });
    expect(await driver.requests('NodePublishVolume')).toEqual([]);
  });
});

describe('a block volume', () => {
  const block = { ...persistent(), isBlock: true };
  const devices = (): string => join(rootDir, 'plugins/kubernetes.io/csi/volumeDevices');
  const mapped = { ...published, isBlock: true };
  const held = { ...staged, isBlock: true, pvName: 'pv-1' };

  it('is staged and published as a device, and taken back', async () => {
    spec = { attachRequired: false, podInfoOnMount: true, tokenRequests: [{ audience: 'vault' }] };
    await csi.stage(block, pod, never);
    expect(await csi.publish(block, pod, never)).toBe(join(devices(), 'publish/pv-1/uid-1'));
    const volume_capability = { access_mode: { mode: 'SINGLE_NODE_WRITER' }, access_type: 'block', block: {} };
    expect(await driver.requests('NodeStageVolume')).toMatchObject([
      { staging_target_path: join(devices(), 'staging/pv-1'), volume_capability },
    ]);
    const [request] = await driver.requests('NodePublishVolume');
    expect(request).toMatchObject({ staging_target_path: join(devices(), 'staging/pv-1'), volume_capability });
    expect(Object.keys(request?.['volume_context'] ?? {})).not.toContain('csi.storage.k8s.io/serviceAccount.tokens');
    expect([await csi.findPublished(), await csi.findStaged()]).toEqual([[mapped], [held]]);
    await csi.unpublish(mapped, never);
    await csi.unstage(held, never);
    expect((await readdir(devices(), { recursive: true })).toSorted()).toEqual(['publish', 'staging']);
  });
});

describe('a node', () => {
  class NoCsiNodes extends FakeApi {
    takesThem = false;
    override create<T extends KubeObject>(type: ResourceType<T>, object: T): Promise<T> {
      if (type.plural === csiNodes.plural && !this.takesThem) return Promise.reject(new UnavailableError('not now'));
      return super.create(type, object);
    }
  }

  it('is ready when its CSINode is there, and finds its drivers', async () => {
    const t = await openFixture();
    try {
      const withoutThem = new NoCsiNodes();
      await t.start({ api: withoutThem });
      const ready = (): NodeCondition | undefined =>
        withoutThem.find(nodes, undefined, nodeName)?.status?.conditions?.find(({ type }) => type === 'Ready');
      await t.until('the node to tell', () => ready() !== undefined);
      await t.clock.pass(60_000);
      expect(ready()).toMatchObject({ status: 'False', message: 'CSINode is not yet initialized' });
      withoutThem.takesThem = true;
      await t.until('the node to be ready', () => ready()?.status === 'True');
      const own = await CsiDriverProcess.start(join(t.directory, 'driver'), {
        registry: join(t.directory, 'root/plugins_registry'),
        name: 'own',
        noMounts: true,
      });
      t.onClose(() => own.stop());
      const known = (): unknown[] | undefined => withoutThem.find(csiNodes, undefined, nodeName)?.spec.drivers;
      await t.until('the driver to be known', () => known()?.length === 1);
    } finally {
      await t.close();
    }
  });
});
