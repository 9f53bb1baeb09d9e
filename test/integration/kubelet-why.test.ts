/** `gantry why pod` on a whole kubelet: it names the cause while the kubelet is there, while it is not, and after. */
import { copyFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { askWhy } from '../../src/commands/why.ts';
import type { WhyAnswer } from '../../src/kubelet/support/timeline/why-answer.ts';
import { type KubeletFixture, apiPod, nodeName, openFixture, webContainer } from './kubelet-fixture.ts';

let t: KubeletFixture;

beforeEach(async () => {
  t = await openFixture();
});
afterEach(async () => {
  await t.close();
});

const never = new AbortController().signal;
const rootDir = (): string => join(t.directory, 'root');
const file = (): string => join(rootDir(), 'timeline', 'pods.jsonl');

async function why(name: string, uid?: string): Promise<WhyAnswer> {
  return (await askWhy({ namespace: 'default', name, uid }, { rootDir: rootDir() }, never)).answer;
}

/** Lets time fly until the answer is of this situation. */
async function untilSituation(name: string, situation: WhyAnswer['situation']): Promise<WhyAnswer> {
  let answer: WhyAnswer | undefined;
  for (let i = 0; i < 200; i++) {
    answer = await why(name).catch(() => undefined); // it may not listen yet
    if (answer?.situation === situation) return answer;
    await t.clock.pass(500);
  }
  throw new Error(`pod "${name}" is not ${situation}: ${JSON.stringify(answer)}`);
}

const phase = (answer: WhyAnswer, wanted: string): WhyAnswer['phases'] =>
  answer.phases.filter(({ phase: kind, subject }) => `${kind} ${subject ?? ''}`.trim() === wanted);

describe('a kubelet that is there', () => {
  it('tells how a pod came, lives and goes, and remembers it when it is gone', async () => {
    t.cri.images.publish('fresh:1');
    const containers = [webContainer({ image: 'fresh:1' })];
    await t.start();
    t.api.addPod(apiPod('web', { containers }), nodeName);
    await t.untilReady('web');
    const ready = await untilSituation('web', 'Ready');
    const names = ready.phases.map(({ phase: kind, subject }) => `${kind} ${subject ?? ''}`.trim());
    const inOrder = [
      'seen',
      'admitted',
      'cgroup',
      'volumes',
      'sandbox',
      'image web',
      'pull fresh:1',
      'create web',
      'start web',
      'ready',
    ];
    expect(names.toSorted()).toEqual(inOrder.toSorted());
    expect(names.filter((name) => name !== 'cgroup' && name !== 'volumes')).toEqual(
      inOrder.filter((name) => name !== 'cgroup' && name !== 'volumes'),
    );
    t.api.deletePod('web', 2);
    await t.untilGone('web');
    const gone = await untilSituation('web', 'Gone');
    expect(gone.cause).toMatch(/^The pod is gone since .*: it was deleted, and ended "web" with code \d+.*\.$/);
    const way = ['deletion', 'stop web', 'exited web', 'stop sandbox', 'unmount', 'uncgroup', 'removed'];
    expect(gone.phases.map(({ phase: kind, subject }) => `${kind} ${subject ?? ''}`.trim())).toEqual(
      expect.arrayContaining(way) as string[],
    );
    expect((await stat(join(rootDir(), 'timeline'))).mode & 0o777).toBe(0o700);
    expect((await stat(join(rootDir(), 'timeline', 'kubelet.sock'))).mode & 0o777).toBe(0o600);
    expect((await stat(file())).mode & 0o777).toBe(0o600);
  });

  it('names what a pod waits for: volumes, images, crashes, probes, the network', async () => {
    t.cri.behave({ pod: 'crashing' }, { exits: { afterMs: 50, code: 3 } });
    t.cri.setExecScript(() => ({ exitCode: 1, stdout: 'not today' }));
    await t.start();
    const volumes = [{ name: 'config', configMap: { name: 'missing' } }];
    const mounts = [{ name: 'config', mountPath: '/config' }];
    t.api.addPod(apiPod('unmounted', { containers: [webContainer({ volumeMounts: mounts })], volumes }), nodeName);
    t.api.addPod(apiPod('unpulled', { containers: [webContainer({ image: 'none:1' })] }), nodeName);
    t.api.addPod(apiPod('crashing'), nodeName);
    const readinessProbe = { exec: { command: ['ready'] }, periodSeconds: 5 };
    t.api.addPod(apiPod('unready', { containers: [webContainer({ readinessProbe })] }), nodeName);
    t.api.addPod(apiPod('refused', { nodeSelector: { zone: 'x' } }), nodeName);
    expect((await untilSituation('unmounted', 'VolumeNotReady')).cause).toContain('configmap "missing" not found');
    const unpulled = await untilSituation('unpulled', 'ImagePull');
    expect(unpulled.cause).toMatch(/^The image of container "web" cannot be pulled: .*none:1/);
    expect(unpulled.next[0]).toMatch(/^pulls again (in|now)/);
    const crashing = await untilSituation('crashing', 'CrashLoop');
    expect(crashing.cause).toContain('with code 3');
    expect(crashing.next[0]).toMatch(/^starts "web" again (in|now)/);
    const unready = await untilSituation('unready', 'ReadinessProbe');
    expect(unready.cause).toContain('not today');
    expect(unready.next[0]).toMatch(/^asks the readiness probe of "web" again (in|now)/);
    const refused = await untilSituation('refused', 'Rejected');
    expect(refused.cause).toContain("didn't match Pod's node affinity/selector");
    t.cri.setNetworkReady(false);
    await t.clock.pass(6000);
    t.api.addPod(apiPod('networkless'), nodeName);
    expect((await untilSituation('networkless', 'NetworkNotReady')).cause).toContain('cni plugin not initialized');
    const unknown = await why('crashign');
    expect([unknown.situation, unknown.similar]).toEqual(['Unknown', ['default/crashing']]);
  });

  it('does not let a crash loop push out how the pod began', async () => {
    t.cri.behave({ pod: 'crashing' }, { exits: { afterMs: 50, code: 3 } });
    await t.start();
    t.api.addPod(apiPod('crashing'), nodeName);
    const restarts = (): boolean => (t.container('crashing', 'web')?.restartCount ?? 0) >= 4;
    await t.until('four restarts', restarts, 600_000);
    const answer = await untilSituation('crashing', 'CrashLoop');
    expect(phase(answer, 'seen')).toHaveLength(1);
    expect(phase(answer, 'sandbox')).toHaveLength(1);
    expect(phase(answer, 'exited web')).toMatchObject([
      { outcome: 'failed', text: 'code 3 (Error)', again: { count: 4 } },
    ]);
    expect(answer.cause).toContain('5 times');
  });

  it('names the call that hangs, on the way up and on the way down', async () => {
    await t.start();
    const run = t.cri.hang('RunPodSandbox');
    t.api.addPod(apiPod('web'), nodeName);
    await run.whenHung;
    expect(await untilSituation('web', 'InProgress')).toMatchObject({
      cause: expect.stringContaining("the runtime's call to make the sandbox and its network runs") as string,
    });
    expect((await untilSituation('web', 'StuckStep')).cause).toContain('has not come back for 3');
    run.release();
    await t.untilReady('web');
    const halt = t.cri.hang('StopContainer');
    t.api.deletePod('web', 1);
    await halt.whenHung;
    expect((await untilSituation('web', 'Terminating')).cause).toContain('was told to end (SIGTERM)');
    expect((await untilSituation('web', 'StuckStep')).cause).toContain(
      'cannot end: the runtime\'s call to stop container "web" has not come back',
    );
    halt.release();
    await untilSituation('web', 'Gone');
  });
});

describe('a kubelet that was killed', () => {
  it('its file tells how things stood; the next one goes on, and marks its start', async () => {
    const first = await t.start();
    t.api.addPod(apiPod('web'), nodeName);
    await t.untilReady('web');
    const hang = t.cri.hang('RunPodSandbox');
    t.api.addPod(apiPod('stuck'), nodeName);
    await hang.whenHung;
    await t.clock.pass(3000);
    await copyFile(file(), `${file()}.killed`); // what a kill leaves: an end that is told is another one
    hang.release();
    await first.stop();
    await copyFile(`${file()}.killed`, file());

    const away = await askWhy({ namespace: 'default', name: 'stuck', uid: undefined }, { rootDir: rootDir() }, never);
    expect(away.silence).toContain('ENOENT');
    expect(away.answer).toMatchObject({ source: 'file', situation: 'InProgress' });
    expect(away.answer.cause).toContain("the runtime's call to make the sandbox and its network runs");
    expect((await why('web')).situation).toBe('Ready');

    await t.start();
    await t.untilReady('stuck');
    const stuck = await untilSituation('stuck', 'Ready');
    expect(phase(stuck, 'seen')).toMatchObject([{ outcome: 'ok' }]);
    expect(phase(stuck, 'seen')[0]?.again).toBeUndefined();
    expect(phase(stuck, 'sandbox').map(({ outcome }) => outcome)).toContain('interrupted');
    expect(stuck.kubeletStarts).toHaveLength(1);
    const web = await untilSituation('web', 'Ready');
    const repeated = web.phases.filter(({ again }) => again !== undefined).map(({ phase: kind }) => kind);
    expect(repeated.toSorted()).toEqual(['cgroup', 'volumes']); // taken over, and nothing else done
    expect(phase(web, 'ready')).toHaveLength(1);
  });

  it('a pod that went while it was away is gone', async () => {
    const first = await t.start();
    t.api.addPod(apiPod('web'), nodeName);
    await t.untilReady('web');
    await t.clock.pass(3000);
    await first.stop();
    t.api.deletePod('web', 0);
    await t.start();
    expect((await untilSituation('web', 'Gone')).kubeletStarts).toHaveLength(1);
  });
});
