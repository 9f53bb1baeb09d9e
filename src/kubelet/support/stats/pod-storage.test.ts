import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { testContainer, testPod } from '../../../../test/fixtures/kubelet-pods.ts';
import { FakeClock } from '../../../base/clock.ts';
import { silentLogger } from '../../../base/logger.ts';
import type { PodSpec, Volume } from '../../../objects/generated/core-v1.ts';
import { PodStorage } from './pod-storage.ts';
import type { PodOnDisk } from './storage-figures.ts';

const never = new AbortController().signal;
const minute = 60_000;
const emptyDir: Volume = { name: 'cache', emptyDir: {} };
const limited: Partial<PodSpec> = { volumes: [{ name: 'cache', emptyDir: { sizeLimit: '1Mi' } }] };
const claimed: Volume = { name: 'data', persistentVolumeClaim: { claimName: 'mine' } };

let clock: FakeClock;
let pods: PodOnDisk[];
let walks: string[][];
/** Bytes by path; the others are not there. */
let bytes: Map<string, number>;
let asked: string[];
let answer: () => Promise<number | undefined>;
let measured: string[];
let storage: PodStorage;
let stop: AbortController;
let done: Promise<void>;

function onDisk(uid: string, spec: Partial<PodSpec> = { volumes: [emptyDir] }): PodOnDisk {
  const pod = testPod(spec, { uid, name: uid });
  const volumes = new Map((spec.volumes ?? []).map(({ name }) => [name, { hostPath: `/pods/${uid}/${name}` }]));
  for (const [path, size] of [
    [`/pods/${uid}/cache`, 100],
    [`/logs/${uid}`, 30],
    [`/logs/${uid}/web`, 20],
    [`/pods/${uid}/etc-hosts`, 1],
  ] as const) {
    bytes.set(path, size);
  }
  return { pod, volumes, logDirectory: `/logs/${uid}`, hostsFile: `/pods/${uid}/etc-hosts` };
}

function begin(periodMs = minute, walking: () => Promise<void> = () => Promise.resolve()): void {
  storage = new PodStorage({
    pods: () => pods,
    walk: async (paths) => {
      walks.push([...paths]);
      await walking();
      const usages = paths.flatMap((path) => {
        const size = bytes.get(path);
        return size === undefined ? [] : [[path, { bytes: size, inodes: 1 }] as const];
      });
      return { usages: new Map(usages), failures: new Map() };
    },
    filesystem: () => Promise.resolve({ capacityBytes: 1000, availableBytes: 500, inodes: 50, inodesFree: 40 }),
    askVolume: async (pod, volume) => {
      asked.push(`${pod.metadata.name}/${volume}`);
      const usedBytes = await answer();
      return usedBytes === undefined ? undefined : { ...noFigures, usedBytes };
    },
    onMeasured: (some) => {
      measured.push(...some.map(({ metadata }) => metadata.name));
      return Promise.resolve();
    },
    periodMs,
    random: () => 0.5,
    clock,
    log: silentLogger,
  });
  stop = new AbortController();
  done = storage.run(stop.signal);
}

const noFigures = {
  capacityBytes: undefined,
  availableBytes: undefined,
  usedBytes: undefined,
  inodes: undefined,
  inodesFree: undefined,
  inodesUsed: undefined,
};

beforeEach(() => {
  clock = new FakeClock();
  bytes = new Map();
  pods = [onDisk('a')];
  [walks, asked, measured] = [[], [], []];
  answer = () => Promise.resolve(7);
});
afterEach(async () => {
  stop.abort();
  await done;
});

describe('PodStorage', () => {
  it('does nothing, not even wait, while nobody asks and no pod has a limit', async () => {
    begin();
    for (const { pod } of pods) storage.note(pod);
    await clock.advance(60 * minute);
    expect([walks, clock.sleeping]).toEqual([[], 0]);
  });

  it('who asks gets the figures of all pods, from one walk', async () => {
    pods.push(onDisk('b'));
    begin();
    await storage.ask('all', 1000, never);
    expect(walks).toEqual([
      [
        '/pods/a/cache',
        '/logs/a',
        '/logs/a/web',
        '/pods/a/etc-hosts',
        '/pods/b/cache',
        '/logs/b',
        '/logs/b/web',
        '/pods/b/etc-hosts',
      ],
    ]);
    const atMs = clock.nowMs();
    expect(storage.get('b')).toEqual({
      atMs,
      volumes: [
        {
          name: 'cache',
          claim: undefined,
          isLocalEphemeral: true,
          atMs,
          figures: {
            capacityBytes: 1000,
            availableBytes: 500,
            usedBytes: 100,
            inodes: 50,
            inodesFree: 40,
            inodesUsed: 1,
          },
        },
      ],
      podLogs: { bytes: 30, inodes: 1 },
      containerLogs: new Map([['web', { bytes: 20, inodes: 1 }]]),
      hostsFile: { bytes: 1, inodes: 1 },
    });
  });

  it('goes on once in a period and a part, while somebody asks, and then stops', async () => {
    begin();
    await storage.ask('all', 1000, never);
    await clock.advance(1.5 * minute - 1);
    expect(walks).toHaveLength(1);
    await clock.advance(1);
    expect(walks).toHaveLength(2);
    await storage.ask('all', 1000, never);
    expect(walks).toHaveLength(2); // the figures are new enough
    await clock.advance(60 * minute);
    expect(walks).toHaveLength(5); // 3, 4.5 and 6 minutes after the first
    expect(clock.sleeping).toBe(0);
    await storage.ask('all', 1000, never);
    await clock.advance(0);
    expect(walks).toHaveLength(6);
  });

  it('a pod that is new to who asks is measured at once, and just once when it has nothing', async () => {
    begin();
    await storage.ask('all', 1000, never);
    await clock.advance(minute);
    pods.push(onDisk('b'));
    bytes.clear();
    await storage.ask('all', 1000, never);
    await storage.ask('all', 1000, never);
    await clock.advance(0);
    const ofB = ['/pods/b/cache', '/logs/b', '/logs/b/web', '/pods/b/etc-hosts'];
    expect(walks.slice(1)).toEqual([ofB]); // the others wait for their round
    await clock.advance(0.5 * minute);
    expect(walks.slice(2)).toEqual([['/pods/a/cache', '/logs/a', '/logs/a/web', '/pods/a/etc-hosts', ...ofB]]);
  });

  it('pods with limits are measured though nobody asks, the others are not', async () => {
    pods.push(onDisk('b', limited));
    begin();
    for (const { pod } of pods) storage.note(pod);
    await clock.advance(1.5 * minute);
    expect(walks).toEqual([['/pods/b/cache', '/logs/b', '/logs/b/web', '/pods/b/etc-hosts']]);
    await clock.advance(1.5 * minute);
    expect(measured).toEqual(['b', 'b']);
    storage.forget('b');
    pods.pop();
    await clock.advance(60 * minute);
    expect(walks).toHaveLength(2);
  });

  it('a pod with limits that has no sandbox for a while is measured again with its next one', async () => {
    const one = onDisk('b', limited);
    pods = [one];
    begin();
    storage.note(one.pod);
    await clock.advance(1.5 * minute);
    pods = [];
    await clock.advance(1.5 * minute);
    expect(storage.get('b')).toBeUndefined();
    pods = [one];
    await clock.advance(1.5 * minute);
    expect(measured).toEqual(['b', 'b']);
  });

  it('a scrape of a node without claims begins nothing', async () => {
    begin();
    await storage.ask('claims', 1000, never);
    await clock.advance(0);
    expect([walks, asked, clock.sleeping]).toEqual([[], [], 0]);
  });

  it('a walk that takes long holds up nobody who asks for claims', async () => {
    pods = [onDisk('a', { volumes: [emptyDir, claimed] })];
    const walking = Promise.withResolvers<void>();
    begin(minute, () => walking.promise);
    const asking = storage.ask('all', 1000, never);
    await clock.advance(1000);
    await asking;
    await storage.ask('claims', 1000, never);
    answer = () => Promise.resolve(8);
    await clock.advance(1.5 * minute);
    expect(storage.get('a')?.volumes).toMatchObject([{ name: 'data', figures: { usedBytes: 8 } }]);
    walking.resolve();
    await clock.advance(0);
    expect(storage.get('a')?.volumes.map(({ name }) => name)).toEqual(['cache', 'data']);
  });

  it('what is written just by the kubelet is walked once', async () => {
    const volumes = [emptyDir, { name: 'settings', configMap: { name: 'x' } }];
    pods = [onDisk('a', { volumes })];
    bytes.set('/pods/a/settings', 9);
    begin();
    await storage.ask('all', 1000, never);
    await clock.advance(1.5 * minute);
    expect(walks.map((paths) => paths.filter((path) => path.startsWith('/pods/a/')))).toEqual([
      ['/pods/a/cache', '/pods/a/settings', '/pods/a/etc-hosts'],
      ['/pods/a/cache', '/pods/a/etc-hosts'],
    ]);
    expect(storage.get('a')?.volumes.map(({ name, figures }) => `${name} ${figures.usedBytes}`)).toEqual([
      'cache 100',
      'settings 9',
    ]);
  });

  it('a volume of which others know is asked for, without a walk when nothing else is wanted', async () => {
    pods = [onDisk('a', { volumes: [emptyDir, claimed] })];
    begin();
    await storage.ask('claims', 1000, never);
    expect([walks, asked]).toEqual([[], ['a/data']]);
    expect(storage.get('a')?.volumes).toMatchObject([{ name: 'data', claim: 'mine', figures: { usedBytes: 7 } }]);
    await storage.ask('all', 1000, never);
    expect(storage.get('a')?.volumes.map(({ name }) => name)).toEqual(['cache', 'data']);
    answer = () => Promise.resolve(undefined);
    await clock.advance(1.5 * minute);
    expect(storage.get('a')?.volumes.map(({ name }) => name)).toEqual(['cache']);
  });

  it('a volume that does not answer has no figures, and who asks does not wait for it', async () => {
    pods = [onDisk('a', { volumes: [claimed] }), onDisk('b')];
    answer = () => new Promise(() => {});
    begin();
    const asking = storage.ask('all', 1000, never);
    await clock.advance(1000);
    await asking;
    expect(storage.get('b')?.podLogs).toEqual({ bytes: 30, inodes: 1 });
    await clock.advance(9000);
    expect(storage.get('a')?.volumes).toEqual([]);
  });

  it('a pod that went while it was measured leaves nothing', async () => {
    begin();
    const [gone] = pods;
    pods = [];
    await storage.ask('all', 1000, never);
    pods = gone === undefined ? [] : [gone];
    await storage.ask('all', 1000, never);
    expect(storage.get('a')).toBeDefined();
    pods = [];
    await clock.advance(2 * minute);
    expect(storage.get('a')).toBeUndefined();
  });

  it('a period of 0 or less: nothing is ever measured', async () => {
    pods = [onDisk('a', limited)];
    begin(-1);
    for (const { pod } of pods) storage.note(pod);
    await storage.ask('all', 1000, never);
    await clock.advance(60 * minute);
    expect([walks, storage.get('a')]).toEqual([[], undefined]);
  });
});

it('after a long walk comes a longer rest', async () => {
  begin();
  const slow = new PodStorage({
    pods: () => pods,
    walk: async (paths) => {
      walks.push([...paths]);
      await clock.sleep(minute, never);
      return { usages: new Map(), failures: new Map() };
    },
    filesystem: () => Promise.reject(new Error('none')),
    askVolume: () => Promise.resolve(undefined),
    onMeasured: () => Promise.resolve(),
    periodMs: minute,
    random: () => 0,
    clock,
    log: silentLogger,
  });
  const limitedPod = onDisk('a', {
    containers: [testContainer('web', { resources: { limits: { 'ephemeral-storage': '1Gi' } } })],
  });
  pods = [limitedPod];
  slow.note(limitedPod.pod);
  const running = slow.run(stop.signal);
  await clock.advance(22 * minute - 1);
  expect(walks).toHaveLength(1); // began after 1, ended after 2
  await clock.advance(1);
  expect(walks).toHaveLength(2);
  await clock.advance(minute);
  stop.abort();
  await running;
});
