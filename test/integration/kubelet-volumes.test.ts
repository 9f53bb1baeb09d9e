/**
 * Volumes that outlive pods, and a kubelet that is killed at every step of mounting and unmounting them: its successor
 * finds what there is, brings it to its end, and never touches what lies in a volume.
 */
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { askWhy } from '../../src/commands/why.ts';
import { persistentVolumeClaims, persistentVolumes } from '../../src/client/resource-types.ts';
import type { Pod } from '../../src/objects/generated/core-v1.ts';
import { FaultGate, type GateStep, type Moment } from '../fakes/fault-gate.ts';
import { MountTable } from '../fakes/table-mounts.ts';
import { type KubeletFixture, apiPod, nodeName, openFixture, webContainer } from './kubelet-fixture.ts';
import { MortalKubelet } from './mortal-kubelet.ts';

const never = new AbortController().signal;

type Closer = (close: () => Promise<void>) => void;

interface World {
  t: KubeletFixture;
  table: MountTable;
  start(): Promise<MortalKubelet>;
}

/** A claim for a directory and one for a disk, on a node where both lie. */
async function open(onTestFinished: Closer): Promise<World> {
  const t = await openFixture();
  onTestFinished(() => t.close());
  const table = new MountTable();
  const sources = { directory: '/srv/directory', device: '/dev/disk' } as const;
  for (const kind of ['directory', 'device'] as const) {
    const path = sources[kind];
    table.paths.set(path, kind);
    const claim = await t.api.create(persistentVolumeClaims, {
      metadata: { name: kind, namespace: 'default' },
      spec: { volumeName: `pv-${kind}` },
      status: { phase: 'Bound' },
    });
    await t.api.create(persistentVolumes, {
      metadata: { name: `pv-${kind}` },
      spec: { local: { path }, claimRef: { uid: claim.metadata.uid } },
    });
  }
  return { t, table, start: () => MortalKubelet.start(t, {}, new FaultGate(), table) };
}

const podWith = (name: string): Pod =>
  apiPod(name, {
    terminationGracePeriodSeconds: 1,
    containers: [
      webContainer({
        volumeMounts: [
          { name: 'directory', mountPath: '/directory' },
          { name: 'disk', mountPath: '/disk' },
        ],
      }),
    ],
    volumes: [
      { name: 'directory', persistentVolumeClaim: { claimName: 'directory' } },
      { name: 'disk', persistentVolumeClaim: { claimName: 'device' } },
    ],
  });

const podMounts = (table: MountTable, uid: string): string[] =>
  [...table.mounted.keys()].filter((target) => target.includes(uid));

/** `bind pv-directory`, `unmount pv-device of all` … */
function nameOf({ method, podUid, request }: GateStep): string {
  const path = String(request);
  const last = path.slice(path.lastIndexOf('/') + 1);
  return method === 'look' ? `look at ${last}` : `${method} ${last}${podUid === undefined ? ' of all' : ''}`;
}

async function untilGone({ t, table }: World, names: readonly string[], uids: readonly string[]): Promise<void> {
  for (const name of names) await t.untilGone(name, 400_000);
  await t.until('every mount to be gone', () => table.mounted.size === 0, 400_000);
  const directories = (): boolean => uids.every((uid) => !existsSync(join(t.directory, 'root/pods', uid)));
  await t.until('the directories to be gone', directories, 400_000);
  const left = join(t.directory, 'root/plugins/kubernetes.io/local-volume/mounts');
  await t.until('their places to be gone', () => !existsSync(left) || readdirSync(left).length === 0, 400_000);
  expect(table.deleted).toEqual([]);
}

const startSteps = [
  'look at directory',
  'look at disk',
  'bind pv-directory',
  'format pv-device of all',
  'bind pv-device',
];
const endSteps = [
  'unmount pv-directory',
  'unmount pv-device',
  'unmount pv-device of all',
  'unmount pv-directory of all',
];

describe('the volumes of a pod', () => {
  it('have the steps at which the kubelet is killed below, and no other', async ({ onTestFinished }) => {
    const world = await open(onTestFinished);
    const { t, table } = world;
    const kubelet = await world.start();
    const uid = t.api.addPod(podWith('web'), nodeName).metadata.uid ?? '';
    await t.untilReady('web');
    const names = (): string[] => [
      ...new Set(kubelet.gate.steps.filter(({ request }) => typeof request === 'string').map((step) => nameOf(step))),
    ];
    expect(names().toSorted()).toEqual(startSteps.toSorted());
    expect(podMounts(table, uid)).toHaveLength(2);
    t.api.deletePod('web', 1);
    await untilGone(world, ['web'], [uid]);
    expect(names().toSorted()).toEqual([...startSteps, ...endSteps].toSorted());
    expect(table.formatted).toEqual(['/dev/disk']);
  });
});

const moments = (steps: readonly string[]): Array<{ step: string; moment: Moment }> =>
  steps.flatMap((step) => (['before', 'after'] as const).map((moment) => ({ step, moment })));

describe('kill -9 while volumes are mounted', () => {
  it.concurrent.for(moments(startSteps))(
    '$moment $step: each is mounted once',
    async ({ step, moment }, { onTestFinished }) => {
      const world = await open(onTestFinished);
      const { t, table } = world;
      const victim = await world.start();
      const held = victim.gate.hold((one) => typeof one.request === 'string' && nameOf(one) === step, moment);
      const uid = t.api.addPod(podWith('web'), nodeName).metadata.uid ?? '';
      await t.until(`${step} to be held`, () => held.count > 0);
      await victim.kill();
      await world.start();
      await t.untilReady('web');
      expect(podMounts(table, uid)).toHaveLength(2);
      expect(table.mounted.size).toBe(3);
      t.api.deletePod('web', 1);
      await untilGone(world, ['web'], [uid]);
    },
  );

  it.concurrent.for(moments(startSteps))(
    '$moment $step, and the pod goes meanwhile: nothing is left',
    async ({ step, moment }, { onTestFinished }) => {
      const world = await open(onTestFinished);
      const { t } = world;
      const victim = await world.start();
      const held = victim.gate.hold((one) => typeof one.request === 'string' && nameOf(one) === step, moment);
      const uid = t.api.addPod(podWith('web'), nodeName).metadata.uid ?? '';
      await t.until(`${step} to be held`, () => held.count > 0);
      await victim.kill();
      t.api.deletePod('web', 0);
      await t.api.delete(persistentVolumeClaims, { namespace: 'default', name: 'device' }, {}); // nobody needs it for that
      await world.start();
      await untilGone(world, ['web'], [uid]);
    },
  );
});

describe('kill -9 while volumes are unmounted', () => {
  it.concurrent.for(moments(endSteps))(
    '$moment $step: nothing is left',
    async ({ step, moment }, { onTestFinished }) => {
      const world = await open(onTestFinished);
      const { t } = world;
      const victim = await world.start();
      const uid = t.api.addPod(podWith('web'), nodeName).metadata.uid ?? '';
      await t.untilReady('web');
      const held = victim.gate.hold((one) => typeof one.request === 'string' && nameOf(one) === step, moment);
      t.api.deletePod('web', 1);
      await t.until(`${step} to be held`, () => held.count > 0, 200_000);
      await victim.kill();
      await world.start();
      await untilGone(world, ['web'], [uid]);
    },
  );
});

describe('a restart', () => {
  it('finds running pods’ volumes, unmounts none of them, and takes down those of pods that are gone', async ({
    onTestFinished,
  }) => {
    const world = await open(onTestFinished);
    const { t, table } = world;
    const first = await world.start();
    const [stays, goes] = ['stays', 'goes'].map((name) => t.api.addPod(podWith(name), nodeName).metadata.uid ?? '');
    await t.untilReady('stays');
    await t.untilReady('goes');
    await first.kill();
    t.api.deletePod('goes', 0);
    const second = await world.start();
    await t.until(
      'the volumes of the pod that went to be down',
      () => podMounts(table, goes ?? '').length === 0,
      200_000,
    );
    await t.clock.pass(30_000);
    expect(podMounts(table, stays ?? '')).toHaveLength(2);
    expect(table.mounted.size).toBe(3);
    const unmounts = second.gate.steps.filter(({ method }) => method === 'unmount');
    expect(unmounts.every(({ podUid }) => podUid === goes)).toBe(true);
    expect(second.gate.steps.filter(({ method }) => method === 'bind' || method === 'format')).toEqual([]);
  });

  it('after a reboot everything is mounted again', async ({ onTestFinished }) => {
    const world = await open(onTestFinished);
    const { t, table } = world;
    const first = await world.start();
    const uid = t.api.addPod(podWith('web'), nodeName).metadata.uid ?? '';
    await t.untilReady('web');
    await first.kill();
    await table.reboot();
    for (const { id } of t.cri.runtime.sandboxes.values()) t.cri.killSandbox(id);
    await world.start();
    await t.until('everything to be mounted', () => table.mounted.size === 3, 200_000);
    await t.untilReady('web');
    expect(podMounts(table, uid)).toHaveLength(2);
  });
});

describe('a mount that never comes back', () => {
  it('costs its pod and those of its volume the start, and is told; it goes on when it comes', async ({
    onTestFinished,
  }) => {
    const world = await open(onTestFinished);
    const { t, table } = world;
    const kubelet = await world.start();
    const held = kubelet.gate.hold(({ method }) => method === 'bind', 'before');
    const [uid = '', other = ''] = ['first', 'second'].map(
      (name) => t.api.addPod(podWith(name), nodeName).metadata.uid,
    );
    t.api.addPod(apiPod('free'), nodeName);
    await t.untilReady('free');
    await t.until('a bind to hang', () => held.count > 0);
    const situation = async (name: string): Promise<string> => {
      const { answer } = await askWhy(
        { namespace: 'default', name, uid: undefined },
        { rootDir: join(t.directory, 'root') },
        never,
      );
      return `${answer.situation}: ${answer.cause}`;
    };
    await t.clock.pass(40_000);
    expect(await situation('first')).toMatch(
      /^StuckStep: Setting up volume "(directory|disk)" has not come back for 4\ds; only this pod waits for it\.$/,
    );
    await t.clock.pass(100_000); // the time of the pod's turn is over, and the command is given up and tried again
    // one of the two is at it, the other one waits for the volume
    const told = await t.until('what is told of it', () => {
      const texts = ['first', 'second'].flatMap((name) => t.api.eventsOf(name));
      return texts.find((text) => text.startsWith('FailedMount'));
    });
    expect(told).toMatch(
      /^FailedMount: MountVolume.SetUp failed for volume "pv-(directory|device)" : binding \S+ took longer than 120s$/,
    );
    held.release();
    await t.until(
      'both pods to run',
      () => podMounts(table, uid).length + podMounts(table, other).length === 4,
      400_000,
    );
    await t.untilReady('first');
    await t.untilReady('second');
  });

  it('lets its pod be deleted as soon as it ends', async ({ onTestFinished }) => {
    const world = await open(onTestFinished);
    const { t } = world;
    const kubelet = await world.start();
    const held = kubelet.gate.hold(({ method }) => method === 'bind', 'after');
    const uid = t.api.addPod(podWith('web'), nodeName).metadata.uid ?? '';
    await t.until('a bind to hang', () => held.count > 0);
    t.api.deletePod('web', 1);
    held.release();
    await untilGone(world, ['web'], [uid]);
  });

  it('an unmount that hangs keeps its pod, and is told; other pods go', async ({ onTestFinished }) => {
    const world = await open(onTestFinished);
    const { t, table } = world;
    const kubelet = await world.start();
    const uids = ['stuck', 'goes'].map((name) => t.api.addPod(podWith(name), nodeName).metadata.uid ?? '');
    await t.untilReady('stuck');
    await t.untilReady('goes');
    const held = kubelet.gate.hold(({ method, podUid }) => method === 'unmount' && podUid === uids[0], 'before');
    t.api.deletePod('stuck', 1);
    t.api.deletePod('goes', 1);
    await t.until('the unmount to hang', () => held.count > 0, 100_000);
    await t.clock.pass(60_000);
    expect(t.api.pod('stuck')?.metadata.deletionTimestamp).toBeDefined();
    expect(podMounts(table, uids[0] ?? '')).not.toEqual([]);
    held.release();
    await untilGone(world, ['stuck', 'goes'], uids);
  });
});

it('a pod whose directory cannot be made says so once, in upstream’s words', async ({ onTestFinished }) => {
  const { t, start } = await open(onTestFinished);
  const uid = 'in-the-way';
  mkdirSync(join(t.directory, 'root/pods'), { recursive: true });
  writeFileSync(join(t.directory, 'root/pods', uid), '');
  await start();
  const pod = apiPod('web');
  t.api.addPod({ ...pod, metadata: { ...pod.metadata, uid } }, nodeName);
  const told = await t.until('what is told of it', () =>
    t.api.eventsOf('web').find((one) => one.startsWith('Failed:')),
  );
  expect(told).toMatch(/^Failed: error making pod data directories: E[A-Z]+: /);
});
