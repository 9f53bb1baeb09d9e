import { existsSync } from 'node:fs';
import {
  chmod,
  lstat,
  mkdir,
  mkdtemp,
  open,
  readFile,
  readdir,
  readlink,
  realpath,
  rm,
  stat,
  symlink,
  unlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Mounts } from '../../../adapters/mounts/mounts.ts';
import { FakeClock } from '../../../base/clock.ts';
import { NotFoundError, UnavailableError } from '../../../base/errors.ts';
import { silentLogger } from '../../../base/logger.ts';
import type { ConfigMap, Pod, PodSpec, Secret, Volume } from '../../../objects/generated/core-v1.ts';
import { type TokenWish, Volumes, type VolumesNeed } from './volumes.ts';

const isRoot = process.getuid?.() === 0;
if (!isRoot) console.warn('volumes: tests with real mounts are skipped: they need root');

const signal = new AbortController().signal;
const mounts = new Mounts();
const uid = '11111111-2222-3333-4444-555555555555';

let root = '';
let events: string[] = [];
let configMaps = new Map<string, ConfigMap>();
let secrets = new Map<string, Secret>();
let tokenWishes: TokenWish[] = [];
let tokenFailure: Error | undefined;
let current: Pod | undefined;
let clock = new FakeClock();

beforeEach(async () => {
  root = await realpath(await mkdtemp(join(tmpdir(), 'gantry-volumes-')));
  events = [];
  configMaps = new Map([['ns/cm', { metadata: { name: 'cm' }, data: { key: 'value', other: 'x' } }]]);
  secrets = new Map([['ns/s', { metadata: { name: 's' }, data: { pw: Buffer.from('geheim').toString('base64') } }]]);
  tokenWishes = [];
  tokenFailure = undefined;
  current = undefined;
  clock = new FakeClock(Date.UTC(2026, 0, 1));
});

afterEach(async () => {
  for (const target of (await mountsBelow()).toReversed()) await mounts.unmount(target, signal);
  await rm(root, { recursive: true });
});

const mountsBelow = async (): Promise<string[]> =>
  (await mounts.listMounts()).map(({ target }) => target).filter((target) => target.startsWith(`${root}/`));

function find<T>(map: Map<string, T>, namespace: string, name: string): Promise<T> {
  const found = map.get(`${namespace}/${name}`);
  // What a client says: plural, unlike what the pod's event must say.
  if (found === undefined) return Promise.reject(new NotFoundError(`things "${name}" not found`));
  return Promise.resolve(found);
}

function newVolumes(overrides: Partial<VolumesNeed> = {}): Volumes {
  return new Volumes({
    rootDir: root,
    syncFrequencyMs: 60_000,
    clock,
    log: silentLogger,
    mounts,
    event: (_, type, reason, message) => events.push(`${type} ${reason} ${message}`),
    phases: { span: (_, __, work) => work() },
    getPod: () => current,
    getConfigMap: (namespace, name) => find(configMaps, namespace, name),
    getSecret: (namespace, name) => find(secrets, namespace, name),
    requestToken: (wish) => {
      tokenWishes.push(wish);
      if (tokenFailure !== undefined) return Promise.reject(tokenFailure);
      const expirationTimestamp = new Date(clock.nowMs() + wish.expirationSeconds * 1000).toISOString();
      const token = `token-${tokenWishes.length}`;
      return Promise.resolve({ token, expirationTimestamp, expirationSeconds: wish.expirationSeconds });
    },
    getTrustAnchors: ({ name = '' }) => Promise.resolve(`anchors of ${name}`),
    getPodCertificate: (_, volume, index) => ({ privateKey: `key ${volume}\n`, certificateChain: `chain ${index}\n` }),
    podFields: (pod) => ({
      field: (path) => `${path} of ${pod.metadata.name} ${pod.metadata.labels?.['x'] ?? ''}`,
      resource: ({ resource }) => resource,
    }),
    nodeAllocatable: () => ({ memory: '64Mi' }),
    mountWaitMs: 0, // what fails once is told
    nodeName: 'node-1',
    csi: undefined,
    getClaim: (_, name) => Promise.reject(new NotFoundError(`persistentvolumeclaims "${name}" not found`)),
    getVolume: (name) => Promise.reject(new NotFoundError(`persistentvolumes "${name}" not found`)),
    storageEvent: () => {},
    patchClaimStatus: () => Promise.resolve(),
    ownNode: () => undefined,
    readNode: () => Promise.resolve(undefined),
    isComplete: () => true,
    activePods: () => [],
    onInUse: () => {},
    onOperation: () => {},
    ...overrides,
  });
}

function podWith(volumes: Volume[], spec: Partial<PodSpec> = {}): Pod {
  const volumeMounts = volumes.map(({ name }) => ({ name, mountPath: `/mnt/${name}` }));
  current = {
    metadata: { name: 'web', namespace: 'ns', uid },
    spec: { serviceAccountName: 'sa', containers: [{ name: 'c', image: 'i', volumeMounts }], volumes, ...spec },
  };
  return current;
}

const at = (...parts: string[]): string => join(root, 'pods', uid, ...parts);
const inVolume = (plugin: string, name: string, ...parts: string[]): string =>
  at('volumes', `kubernetes.io~${plugin}`, name, ...parts);
const owner = async (path: string): Promise<string> => {
  const { mode, uid: user, gid } = await stat(path);
  return `${(mode & 0o7777).toString(8)} ${user}:${gid}`;
};

async function removeAll(volumes: Volumes): Promise<void> {
  await volumes.unmount(uid, signal);
  await volumes.removePodDir(uid, signal);
  expect(await mountsBelow()).toEqual([]);
  expect(existsSync(at())).toBe(false);
}

describe.runIf(isRoot)('emptyDir (needs root)', () => {
  it('on disk: 0777, content kept across mounts and restarts, gone with the pod', async () => {
    const pod = podWith([{ name: 'data', emptyDir: {} }]);
    const volumes = newVolumes();
    await volumes.ensurePodDirs(uid);
    const mounted = await volumes.mount(pod, signal);
    expect(mounted.get('data')).toEqual({ hostPath: inVolume('empty-dir', 'data'), readOnly: false });
    expect(await owner(inVolume('empty-dir', 'data'))).toBe('777 0:0');
    expect(existsSync(at('plugins/kubernetes.io~empty-dir/data/ready'))).toBe(true);
    expect(await owner(at())).toBe('750 0:0');
    await writeFile(inVolume('empty-dir', 'data', 'f'), 'kept');
    await chmod(inVolume('empty-dir', 'data'), 0o700);
    await volumes.mount(pod, signal);
    await newVolumes().mount(pod, signal);
    expect(await readFile(inVolume('empty-dir', 'data', 'f'), 'utf8')).toBe('kept');
    expect(await owner(inVolume('empty-dir', 'data'))).toBe('700 0:0');
    expect(await volumes.orphans()).toEqual([uid]);
    await removeAll(newVolumes());
    expect(await volumes.orphans()).toEqual([]);
  });

  it('in memory: a tmpfs of the asked size, adopted after a restart, made anew after a reboot', async () => {
    const pod = podWith([{ name: 'mem', emptyDir: { medium: 'Memory', sizeLimit: '10Mi' } }]);
    await newVolumes().mount(pod, signal);
    const target = inVolume('empty-dir', 'mem');
    const entry = (await mounts.listMounts()).find((mount) => mount.target === target);
    expect(entry?.fsType).toBe('tmpfs');
    expect(entry?.superOptions).toContain('size=10240k');
    expect(await owner(target)).toBe('1777 0:0');
    await writeFile(join(target, 'f'), 'kept');
    await newVolumes().mount(pod, signal);
    expect(await mountsBelow()).toEqual([target]);
    expect(await readFile(join(target, 'f'), 'utf8')).toBe('kept');
    await mounts.unmount(target, signal); // what a reboot does
    await newVolumes().mount(pod, signal);
    expect(await mountsBelow()).toEqual([target]);
    expect(await readdir(target)).toEqual([]);
    await removeAll(newVolumes());
  });

  it.each([
    { medium: '', want: '2777 0:4321' },
    { medium: 'Memory', want: '3777 0:4321' },
  ])('belongs to the fsGroup (medium "$medium")', async ({ medium, want }) => {
    const pod = podWith([{ name: 'data', emptyDir: { medium } }], { securityContext: { fsGroup: 4321 } });
    const volumes = newVolumes();
    await volumes.mount(pod, signal);
    expect(await owner(inVolume('empty-dir', 'data'))).toBe(want);
    await removeAll(volumes);
  });

  it('taking down stops at a foreign mount and deletes nothing behind it', async () => {
    const pod = podWith([{ name: 'data', emptyDir: {} }]);
    const volumes = newVolumes();
    await volumes.mount(pod, signal);
    await mkdir(join(root, 'precious'));
    await writeFile(join(root, 'precious/f'), 'data');
    await mkdir(inVolume('empty-dir', 'data', 'sub'));
    await mounts.bind(join(root, 'precious'), inVolume('empty-dir', 'data', 'sub'), signal);
    await expect(volumes.unmount(uid, signal)).rejects.toThrow('UnmountVolume.TearDown failed for volume "data"');
    await expect(volumes.removePodDir(uid, signal)).rejects.toThrow('it is a mount point');
    expect(await readFile(join(root, 'precious/f'), 'utf8')).toBe('data');
    await mounts.unmount(inVolume('empty-dir', 'data', 'sub'), signal);
    await removeAll(volumes);
    expect(await readFile(join(root, 'precious/f'), 'utf8')).toBe('data');
  });

  it('a busy tmpfs fails to come down, and comes down later', async () => {
    const pod = podWith([{ name: 'mem', emptyDir: { medium: 'Memory' } }]);
    const volumes = newVolumes();
    await volumes.mount(pod, signal);
    const file = await open(inVolume('empty-dir', 'mem', 'f'), 'w');
    await expect(volumes.unmount(uid, signal)).rejects.toMatchObject({ cause: { code: 'EBUSY' } });
    await expect(volumes.removePodDir(uid, signal)).rejects.toThrow('it is a mount point');
    await file.close();
    await removeAll(volumes);
  });

  it('does not delete what a link in the volume leads to', async () => {
    const volumes = newVolumes();
    await volumes.mount(podWith([{ name: 'data', emptyDir: {} }]), signal);
    await writeFile(join(root, 'precious'), 'data');
    await symlink(root, inVolume('empty-dir', 'data', 'up'));
    await removeAll(volumes);
    expect(await readFile(join(root, 'precious'), 'utf8')).toBe('data');
  });
});

describe.runIf(isRoot)('configMap, secret, downwardAPI, projected (need root)', () => {
  it('configMap lies on disk, secret in memory, both read-only', async () => {
    const pod = podWith([
      { name: 'cfg', configMap: { name: 'cm', defaultMode: 0o444 } },
      { name: 'sec', secret: { secretName: 's', defaultMode: 0o400 } },
    ]);
    const volumes = newVolumes();
    const mounted = await volumes.mount(pod, signal);
    expect(mounted.get('cfg')?.readOnly).toBe(true);
    expect(await mountsBelow()).toEqual([inVolume('secret', 'sec')]);
    expect(await readFile(inVolume('configmap', 'cfg', 'key'), 'utf8')).toBe('value');
    expect(await readFile(inVolume('secret', 'sec', 'pw'), 'utf8')).toBe('geheim');
    expect(await owner(inVolume('configmap', 'cfg', 'key'))).toBe('444 0:0');
    expect(await owner(inVolume('secret', 'sec', 'pw'))).toBe('400 0:0');
    expect(existsSync(at('plugins/kubernetes.io~empty-dir/wrapped_sec/ready'))).toBe(true);
    await removeAll(volumes);
  });

  it('fsGroup: the group reads, directories pass it on', async () => {
    const pod = podWith([{ name: 'sec', secret: { secretName: 's', defaultMode: 0o400 } }], {
      securityContext: { fsGroup: 4321 },
    });
    const volumes = newVolumes();
    await volumes.mount(pod, signal);
    const directory = inVolume('secret', 'sec');
    expect(await owner(join(directory, 'pw'))).toBe('440 0:4321');
    expect(await owner(directory)).toBe('3777 0:4321');
    expect(await owner(join(directory, await readlink(join(directory, '..data'))))).toBe('2755 0:4321');
    await removeAll(volumes);
  });

  const sources = [
    { serviceAccountToken: { path: 'token', expirationSeconds: 3607 } },
    { configMap: { name: 'cm', items: [{ key: 'key', path: 'ca.crt' }] } },
    { downwardAPI: { items: [{ path: 'namespace', fieldRef: { fieldPath: 'metadata.namespace' } }] } },
  ];

  it('the volume that every pod has: token, certificate and namespace', async () => {
    const pod = podWith([{ name: 'kube-api-access-x', projected: { sources, defaultMode: 0o644 } }]);
    const volumes = newVolumes();
    await volumes.mount(pod, signal);
    await volumes.mount(pod, signal);
    const directory = inVolume('projected', 'kube-api-access-x');
    expect(await readFile(join(directory, 'token'), 'utf8')).toBe('token-1');
    expect(await readFile(join(directory, 'ca.crt'), 'utf8')).toBe('value');
    expect(await readFile(join(directory, 'namespace'), 'utf8')).toBe('metadata.namespace of web ');
    expect(await owner(join(directory, 'token'))).toBe('644 0:0');
    expect(tokenWishes).toEqual([
      {
        namespace: 'ns',
        serviceAccount: 'sa',
        audience: undefined,
        expirationSeconds: 3607,
        podName: 'web',
        podUid: uid,
      },
    ]);
    await removeAll(volumes);
  });

  it.each([
    { runAsUser: 1000, fsGroup: undefined, want: '600 1000:0' },
    { runAsUser: undefined, fsGroup: 10000, want: '640 0:10000' },
    { runAsUser: 1000, fsGroup: 10000, want: '640 1000:10000' },
    { runAsUser: undefined, fsGroup: undefined, want: '644 0:0' },
  ])('token of user $runAsUser and group $fsGroup: $want', async ({ runAsUser, fsGroup, want }) => {
    const pod = podWith([{ name: 'tok', projected: { sources } }], { securityContext: { runAsUser, fsGroup } });
    const volumes = newVolumes();
    await volumes.mount(pod, signal);
    expect(await owner(inVolume('projected', 'tok', 'token'))).toBe(want);
    await removeAll(volumes);
  });

  it.each([
    { runAsUser: 1000, fsGroup: 10000, want: '640 1000:10000' },
    { runAsUser: undefined, fsGroup: undefined, want: '644 0:0' },
  ])('trust anchors and certificates, as closed as tokens: $want', async ({ runAsUser, fsGroup, want }) => {
    const pod = podWith(
      [
        {
          name: 'v',
          projected: {
            sources: [
              { clusterTrustBundle: { name: 'roots', path: 'roots.pem' } },
              {
                podCertificate: {
                  signerName: 's',
                  keyType: 'ED25519',
                  credentialBundlePath: 'both.pem',
                  keyPath: 'own/key.pem',
                  certificateChainPath: 'own/chain.pem',
                },
              },
              {
                podCertificate: { signerName: 's', keyType: 'ED25519', credentialBundlePath: 'other.pem', keyPath: '' },
              },
            ],
          },
        },
      ],
      { securityContext: { runAsUser, fsGroup } },
    );
    const volumes = newVolumes();
    await volumes.mount(pod, signal);
    const directory = inVolume('projected', 'v');
    const files = {
      'roots.pem': 'anchors of roots',
      'both.pem': 'key v\nchain 1\n',
      'own/key.pem': 'key v\n',
      'own/chain.pem': 'chain 1\n',
      'other.pem': 'key v\nchain 2\n',
    };
    for (const [path, text] of Object.entries(files)) {
      expect([path, await readFile(join(directory, path), 'utf8')]).toEqual([path, text]);
      expect(await owner(join(directory, path))).toBe(want);
    }
    expect((await readdir(directory)).filter((name) => !name.startsWith('..')).toSorted()).toEqual([
      'both.pem',
      'other.pem',
      'own',
      'roots.pem',
    ]);
    await removeAll(volumes);
  });

  it('makes directories for mounts inside it', async () => {
    const pod = podWith(
      [
        { name: 'cfg', configMap: { name: 'cm' } },
        { name: 'data', emptyDir: {} },
      ],
      {
        containers: [
          {
            name: 'c',
            image: 'i',
            volumeMounts: [
              { name: 'cfg', mountPath: '/etc/app' },
              { name: 'data', mountPath: '/etc/app/data/x' },
            ],
          },
        ],
      },
    );
    const volumes = newVolumes();
    await volumes.mount(pod, signal);
    expect(await owner(inVolume('configmap', 'cfg', 'data/x'))).toBe('755 0:0');
    await removeAll(volumes);
  });

  it.each([
    { name: 'configMap', volume: { configMap: { name: 'no' } }, want: 'configmap "no" not found' },
    { name: 'secret', volume: { secret: { secretName: 'no' } }, want: 'secret "no" not found' },
    {
      name: 'key',
      volume: { configMap: { name: 'cm', items: [{ key: 'no', path: 'p' }] } },
      want: 'configmap references non-existent config key: no',
    },
    {
      name: 'two parts of a projection',
      volume: { projected: { sources: [{ configMap: { name: 'no' } }, { secret: { name: 'no' } }] } },
      want: '[configmap "no" not found, secret "no" not found]',
    },
    {
      name: 'path that climbs',
      volume: { configMap: { name: 'cm', items: [{ key: 'key', path: '../../../../x' }] } },
      want: "invalid path: must not contain '..': ../../../../x",
    },
    {
      name: 'absolute path',
      volume: { secret: { secretName: 's', items: [{ key: 'pw', path: '/etc/cron.d/x' }] } },
      want: 'invalid path: must be relative path: /etc/cron.d/x',
    },
  ])('a bad or missing $name: event, error, nothing left', async ({ volume, want }) => {
    const volumes = newVolumes();
    const pod = podWith([
      { name: 'v', ...volume },
      { name: 'ok', emptyDir: {} },
    ]);
    await expect(volumes.mount(pod, signal)).rejects.toThrow(
      'Unable to attach or mount volumes: unmounted volumes=[v], unattached volumes=[], failed to process volumes=[]',
    );
    expect(events).toEqual([`Warning FailedMount MountVolume.SetUp failed for volume "v" : ${want}`]);
    expect(await mountsBelow()).toEqual([]);
    expect(existsSync(inVolume('empty-dir', 'ok'))).toBe(true);
    await removeAll(volumes);
  });

  it('starts as soon as what was missing is there', async () => {
    const volumes = newVolumes();
    const pod = podWith([{ name: 'v', configMap: { name: 'late' } }]);
    await expect(volumes.mount(pod, signal)).rejects.toThrow('Unable to attach or mount volumes');
    configMaps.set('ns/late', { metadata: { name: 'late' }, data: { k: 'v' } });
    volumes.markObject('ConfigMap', 'ns', 'late');
    await volumes.mount(pod, signal);
    expect(await readFile(inVolume('configmap', 'v', 'k'), 'utf8')).toBe('v');
    await removeAll(volumes);
  });

  it('an optional object that is missing is an empty volume', async () => {
    const volumes = newVolumes();
    await volumes.mount(podWith([{ name: 'v', secret: { secretName: 'no', optional: true } }]), signal);
    expect((await readdir(inVolume('secret', 'v'))).filter((name) => !name.startsWith('..'))).toEqual([]);
    await removeAll(volumes);
  });

  it('says why no token came', async () => {
    tokenFailure = new UnavailableError('serviceaccounts "sa" not found');
    const volumes = newVolumes();
    await expect(volumes.mount(podWith([{ name: 't', projected: { sources } }]), signal)).rejects.toThrow();
    expect(events).toEqual([
      'Warning FailedMount MountVolume.SetUp failed for volume "t" : failed to fetch token: serviceaccounts "sa" not found',
    ]);
    await removeAll(volumes);
  });
});

describe.runIf(isRoot)('keeping content fresh (needs root)', () => {
  const running = async (volumes: Volumes, work: () => Promise<void>): Promise<void> => {
    const stop = new AbortController();
    const run = volumes.run(stop.signal);
    try {
      await work();
    } finally {
      stop.abort();
      await run;
    }
  };

  it('follows a change of an object, its end, and a change of the pod', async () => {
    const volumes = newVolumes();
    const pod = podWith([
      { name: 'cfg', configMap: { name: 'cm', optional: true } },
      { name: 'self', downwardAPI: { items: [{ path: 'me', fieldRef: { fieldPath: 'metadata.name' } }] } },
    ]);
    await volumes.mount(pod, signal);
    await running(volumes, async () => {
      configMaps.set('ns/cm', { metadata: { name: 'cm' }, data: { key: 'new' } });
      volumes.markObject('ConfigMap', 'ns', 'cm');
      await expect.poll(() => readFile(inVolume('configmap', 'cfg', 'key'), 'utf8')).toBe('new');
      expect(existsSync(inVolume('configmap', 'cfg', 'other'))).toBe(false);
      configMaps.delete('ns/cm');
      volumes.markObject('ConfigMap', 'ns', 'cm');
      await expect.poll(() => existsSync(inVolume('configmap', 'cfg', 'key'))).toBe(false);
      current = { ...pod, metadata: { ...pod.metadata, labels: { x: 'labelled' } } };
      volumes.markPod(uid);
      await expect
        .poll(() => readFile(inVolume('downward-api', 'self', 'me'), 'utf8'))
        .toBe('metadata.name of web labelled');
    });
    await removeAll(volumes);
  });

  it('a required object that goes away leaves the old content, and an event', async () => {
    const volumes = newVolumes();
    await volumes.mount(podWith([{ name: 'cfg', configMap: { name: 'cm' } }]), signal);
    await running(volumes, async () => {
      configMaps.delete('ns/cm');
      volumes.markObject('ConfigMap', 'ns', 'cm');
      await expect.poll(() => events.length).toBe(1);
    });
    expect(events[0]).toBe('Warning FailedMount MountVolume.SetUp failed for volume "cfg" : configmap "cm" not found');
    expect(await readFile(inVolume('configmap', 'cfg', 'key'), 'utf8')).toBe('value');
    await removeAll(volumes);
  });

  it('a set that does not fit leaves the old one as it is, and nothing of itself', async () => {
    const volumes = newVolumes({ nodeAllocatable: () => ({ memory: '1Mi' }) });
    await volumes.mount(podWith([{ name: 'sec', secret: { secretName: 's' } }]), signal);
    const before = (await readdir(inVolume('secret', 'sec'))).toSorted();
    await running(volumes, async () => {
      secrets.set('ns/s', {
        metadata: { name: 's' },
        data: { pw: Buffer.alloc(2 * 1024 ** 2, 'x').toString('base64') },
      });
      volumes.markObject('Secret', 'ns', 's');
      await expect.poll(() => events.length).toBe(1);
    });
    expect(events[0]).toMatch(/^Warning FailedMount MountVolume.SetUp failed for volume "sec" : ENOSPC: /);
    expect(await readFile(inVolume('secret', 'sec', 'pw'), 'utf8')).toBe('geheim');
    expect((await readdir(inVolume('secret', 'sec'))).toSorted()).toEqual(before);
    await removeAll(volumes);
  });

  it('renews a token after four fifths of its life, keeps the old one while the API is away', async () => {
    const volumes = newVolumes();
    const sources = [{ serviceAccountToken: { path: 'token', expirationSeconds: 600 } }];
    await volumes.mount(podWith([{ name: 't', projected: { sources } }]), signal);
    const token = (): Promise<string> => readFile(inVolume('projected', 't', 'token'), 'utf8');
    await running(volumes, async () => {
      await clock.advance(450_000);
      expect(tokenWishes).toHaveLength(1);
      tokenFailure = new UnavailableError('connection refused');
      await clock.advance(60_000);
      await expect.poll(() => tokenWishes.length).toBe(2);
      expect(await token()).toBe('token-1');
      tokenFailure = undefined;
      await clock.advance(60_000);
      await expect.poll(token).toBe('token-3');
    });
    expect(events).toEqual([]);
    await removeAll(volumes);
  });

  it('makes nothing anew of a pod whose unmount fails', async () => {
    class Stuck extends Mounts {
      override removeSubPathBinds(): Promise<void> {
        return Promise.reject(new Error('EBUSY'));
      }
    }
    const volumes = newVolumes({ mounts: new Stuck() });
    await volumes.mount(podWith([{ name: 'cfg', configMap: { name: 'cm' } }]), signal);
    await mkdir(join(root, 'pods', uid, 'volume-subpaths', 'other'), { recursive: true });
    await running(volumes, async () => {
      await expect(volumes.unmount(uid, signal)).rejects.toThrow('error cleaning subPath mounts for volume "other"');
      expect(existsSync(inVolume('configmap', 'cfg'))).toBe(false);
      await clock.advance(60_000);
      volumes.markObject('ConfigMap', 'ns', 'cm');
      volumes.markPod(uid);
    });
    expect(existsSync(inVolume('configmap', 'cfg'))).toBe(false);
    await removeAll(newVolumes());
  });

  it('mends at the next period what somebody broke on disk, and leaves an equal set alone', async () => {
    const volumes = newVolumes();
    await volumes.mount(podWith([{ name: 'cfg', configMap: { name: 'cm' } }]), signal);
    const set = await readlink(inVolume('configmap', 'cfg', '..data'));
    await unlink(inVolume('configmap', 'cfg', 'key'));
    await running(volumes, async () => {
      await clock.advance(60_000);
      await expect.poll(() => existsSync(inVolume('configmap', 'cfg', 'key'))).toBe(true);
    });
    expect(await readlink(inVolume('configmap', 'cfg', '..data'))).toBe(set);
    await removeAll(volumes);
  });
});

describe('hostPath', () => {
  it.each([
    { type: '', path: 'nothing', want: undefined },
    { type: 'Directory', path: 'dir', want: undefined },
    { type: 'Directory', path: 'link-to-dir', want: undefined },
    { type: 'Directory', path: 'file', want: 'hostPath type check failed: PATH is not a directory' },
    { type: 'Directory', path: 'nothing', want: 'hostPath type check failed: PATH is not a directory' },
    { type: 'DirectoryOrCreate', path: 'new/deep', want: undefined },
    { type: 'DirectoryOrCreate', path: 'file', want: 'hostPath type check failed: PATH is not a directory' },
    { type: 'File', path: 'file', want: undefined },
    { type: 'File', path: 'dir', want: 'hostPath type check failed: PATH is not a file' },
    { type: 'File', path: 'file/below', want: 'hostPath type check failed: PATH is not a file' },
    { type: 'FileOrCreate', path: 'new-file', want: undefined },
    { type: 'FileOrCreate', path: 'no/new-file', want: 'no such file or directory' },
    { type: 'Socket', path: 'file', want: 'hostPath type check failed: PATH is not a socket file' },
    { type: 'CharDevice', path: 'file', want: 'hostPath type check failed: PATH is not a character device' },
    { type: 'BlockDevice', path: 'file', want: 'hostPath type check failed: PATH is not a block device' },
    { type: 'CharDevice', path: '/dev/null', want: undefined },
    { type: 'Odd', path: 'file', want: 'Odd is an invalid volume type' },
    { type: '', path: 'dir/../../x', want: "invalid HostPath `PATH`: must not contain '..'" },
  ])('type "$type" of $path: $want', async ({ type, path, want }) => {
    await mkdir(join(root, 'dir'));
    await writeFile(join(root, 'file'), '');
    await symlink('dir', join(root, 'link-to-dir'));
    const full = path.startsWith('/') ? path : `${root}/${path}`;
    const volumes = newVolumes();
    const pod = podWith([{ name: 'v', hostPath: { path: full, type } }]);
    if (want === undefined) {
      expect((await volumes.mount(pod, signal)).get('v')).toEqual({ hostPath: full, readOnly: false });
      if (type.endsWith('OrCreate')) {
        expect((await lstat(full)).mode & 0o777).toBe(type === 'FileOrCreate' ? 0o644 : 0o755);
      }
      expect(events).toEqual([]);
    } else {
      await expect(volumes.mount(pod, signal)).rejects.toThrow('unmounted volumes=[v]');
      expect(events[0]).toContain('Warning FailedMount MountVolume.SetUp failed for volume "v" : ');
      expect(events[0]).toContain(want.replace('PATH', full));
    }
    await volumes.unmount(uid, signal);
    expect(existsSync(join(root, 'file'))).toBe(true);
  });
});

describe('a path that never answers', () => {
  class HungMounts extends Mounts {
    override modeOf(): Promise<number | undefined> {
      return new Promise(() => {});
    }
  }
  const hung = [{ name: 'v', hostPath: { path: '/dead/nfs', type: 'Directory' } }];

  it('costs its pod 30 s and an event, and no other pod anything', async () => {
    const volumes = newVolumes({ mounts: new HungMounts() });
    const first = volumes.mount(podWith(hung), signal).catch((err: unknown) => err);
    const other: Pod = { ...podWith([{ name: 'data', emptyDir: {} }]), metadata: { name: 'b', uid: 'other' } };
    expect((await volumes.mount(other, signal)).size).toBe(1);
    await volumes.unmount('other', signal);
    await clock.advance(30_000);
    expect(String(await first)).toContain('unmounted volumes=[v]');
    expect(events).toEqual([
      'Warning FailedMount MountVolume.SetUp failed for volume "v" : Looking at hostPath "/dead/nfs" took longer than 30s',
    ]);
  });

  it('is given up at once when the pod is deleted', async () => {
    const volumes = newVolumes({ mounts: new HungMounts() });
    const deleted = new AbortController();
    const mounting = volumes.mount(podWith(hung), deleted.signal).catch((err: unknown) => err);
    const unmounting = volumes.unmount(uid, signal);
    deleted.abort(new Error('deleted'));
    expect(String(await mounting)).toBe('Error: deleted');
    await unmounting;
    expect(events).toEqual([]);
  });
});

describe('pods and their directories', () => {
  it('files of somebody else among them stop nobody, and stay', async () => {
    await mkdir(join(root, 'pods', uid, 'volumes'), { recursive: true });
    const stray = [join(root, 'pods', 'stray'), join(root, 'pods', uid, 'volumes', 'kubernetes.io~csi')];
    for (const path of stray) await writeFile(path, 'mine');
    const volumes = newVolumes();
    await volumes.node.reconstruct(signal);
    await volumes.unmount(uid, signal);
    await expect(volumes.unmount('stray', signal)).rejects.toThrow();
    for (const one of ['stray', uid]) await expect(volumes.removePodDir(one, signal)).rejects.toThrow();
    for (const path of stray) expect(await readFile(path, 'utf8')).toBe('mine');
  });

  it('refuses uids and names that are no names', async () => {
    const volumes = newVolumes();
    await expect(volumes.unmount('../../etc', signal)).rejects.toThrow(TypeError);
    await expect(volumes.removePodDir('..', signal)).rejects.toThrow(TypeError);
    await expect(volumes.ensurePodDirs('a/b')).rejects.toThrow('error making pod data directories');
    const pod = podWith([{ name: '../../x', emptyDir: {} }]);
    await expect(volumes.mount(pod, signal)).rejects.toThrow('unmounted volumes=[../../x]');
    expect(await readdir(root)).toEqual([]);
  });

  it('refuses by name what it cannot serve', async () => {
    const volumes = newVolumes();
    const pod = podWith([{ name: 'v', iscsi: { targetPortal: 'p', iqn: 'i', lun: 0 } }]);
    expect(volumes.refused(pod)).toBe('volume "v" is of type iscsi, which this node does not support');
    await expect(volumes.mount(pod, signal)).rejects.toThrow('unmounted volumes=[v]');
  });

  it("keeps another kubelet's volume that holds data", async () => {
    const volumes = newVolumes();
    await mkdir(at('volumes/kubernetes.io~csi/pv/mount'), { recursive: true });
    await writeFile(at('volumes/kubernetes.io~csi/pv/vol_data.json'), '{}');
    await expect(volumes.unmount(uid, signal)).rejects.toThrow('UnmountVolume.TearDown failed for volume "pv"');
    await expect(volumes.removePodDir(uid, signal)).rejects.toThrow('it holds a file');
    await unlink(at('volumes/kubernetes.io~csi/pv/vol_data.json'));
    await removeAll(volumes);
  });

  it('taking down what was never there succeeds', async () => {
    await removeAll(newVolumes());
  });

  it('does not start to mount after its signal, and lets others in', async () => {
    const volumes = newVolumes();
    const pod = podWith([{ name: 'data', emptyDir: {} }]);
    await expect(volumes.mount(pod, AbortSignal.abort(new Error('deleted')))).rejects.toThrow('deleted');
    expect(events).toEqual([]);
    await removeAll(volumes);
  });
});

it.runIf(isRoot)('many pods with many volumes at once (needs root)', async () => {
  const volumes = newVolumes();
  const volumesOf = Array.from({ length: 12 }, (_, i) => [
    { name: `cfg-${i}`, configMap: { name: 'cm' } },
    { name: `sec-${i}`, secret: { secretName: 's' } },
  ]).flat();
  const pods = Array.from({ length: 8 }, (_, i): Pod => {
    const pod = podWith(volumesOf);
    return { ...pod, metadata: { ...pod.metadata, uid: `pod-${i}` } };
  });
  const all = await Promise.all(pods.map((pod) => volumes.mount(pod, signal)));
  expect(all.map((mounted) => mounted.size)).toEqual(pods.map(() => 24));
  expect(await mountsBelow()).toHaveLength(96);
  await Promise.all(
    pods.map(async ({ metadata }) => {
      await volumes.unmount(metadata.uid ?? '', signal);
      await volumes.removePodDir(metadata.uid ?? '', signal);
    }),
  );
  expect(await mountsBelow()).toEqual([]);
  expect(await volumes.orphans()).toEqual([]);
});
