/** Components that die and come back: nobody who watches the pods or the runtime can tell. */
import { expect, it, onTestFinished } from 'vitest';
import { labImages } from '../../src/lab/images/lab-images.ts';
import type { Container, Node, Pod, PodSpec } from '../../src/objects/generated/core-v1.ts';
import { describeAsRoot } from './support/as-root.ts';
import { eventually, useLab } from './support/lab.ts';
import { comparable, PodWatch } from './support/pod-watch.ts';
import {
  applyObjects,
  awaitEvent,
  awaitPhase,
  awaitPod,
  awaitReady,
  conditionOf,
  containerOf,
  Follower,
  getPod,
  inPod,
  patienceMs,
  podOf,
  shell,
  untilAsked,
} from './support/pods.ts';
import type { List } from './support/pods.ts';

/** The control plane's node and the node whose pods are watched. */
const [control, worker] = [0, 1];
/** Lease and status silence before a node counts as lost (50 s), how often that is looked at, and patience. */
const nodeLostMs = 150_000;

const probe = (script: string): NonNullable<Container['readinessProbe']> => ({
  exec: { command: ['sh', '-c', script] },
  periodSeconds: 1,
  failureThreshold: 1,
});

describeAsRoot('a restart', () => {
  const lab = useLab({ nodes: 2 });
  const pinned = (name: string, content: string | Container[], spec: Partial<PodSpec> = {}): Pod =>
    podOf(name, content, { nodeName: lab.nodeName(worker), ...spec });

  /** Pods of many sorts, each in a state that lasts. */
  async function settledPods(): Promise<string[]> {
    const everyProbe = {
      startupProbe: probe('true'),
      livenessProbe: probe('true'),
      readinessProbe: probe('true'),
    };
    const runs = [{ name: 'runs', mountPath: '/runs' }];
    await applyObjects(
      lab,
      pinned('probed', [shell(untilAsked, everyProbe)], { initContainers: [shell('true', { name: 'init' })] }),
      pinned('web', [
        {
          name: 'main',
          image: labImages.web,
          readinessProbe: { httpGet: { path: '/', port: 8080 }, periodSeconds: 1 },
        },
      ]),
      pinned(
        'restarted',
        [
          shell(`echo run >> /runs/list; [ "$(wc -l < /runs/list)" -ge 2 ] || exit 5; ${untilAsked}`, {
            volumeMounts: runs,
          }),
        ],
        { volumes: [{ name: 'runs', emptyDir: {} }] },
      ),
      pinned('unready', [shell(untilAsked, { readinessProbe: probe('false') })]),
      pinned('helped', untilAsked, {
        initContainers: [{ ...shell(untilAsked, { name: 'sidecar', ...everyProbe }), restartPolicy: 'Always' }],
      }),
      pinned('done', 'echo bye > /dev/termination-log; exit 0', { restartPolicy: 'Never' }),
      pinned('failed', 'exit 3', { restartPolicy: 'Never' }),
      pinned('ticking', "trap 'exit 0' TERM; i=0; while :; do echo tick $((i += 1)); sleep 0.1; done"),
    );
    await Promise.all(['probed', 'web', 'helped', 'ticking'].map((name) => awaitReady(lab, name)));
    await awaitPod(
      lab,
      'restarted',
      'second run',
      (pod) => containerOf(pod)?.restartCount === 1 && containerOf(pod)?.ready === true,
    );
    await awaitEvent(lab, 'unready', 'Unhealthy', 'Readiness probe failed');
    await Promise.all([awaitPhase(lab, 'done', 'Succeeded'), awaitPhase(lab, 'failed', 'Failed')]);
    return ['probed', 'web', 'restarted', 'unready', 'helped', 'done', 'failed', 'ticking'];
  }

  const getPods = async (names: readonly string[]): Promise<Pod[]> =>
    Promise.all(names.map((name) => getPod(lab, name)));

  /** What runs, with process ids, as containerd sees it. */
  /** The list says UNKNOWN of a task whose shim did not answer in time, as on a busy machine: then it is asked again. */
  const tasks = (): Promise<string[]> =>
    eventually('every shim answers', patienceMs, async () => {
      const text = await lab.onNode(worker, 'ctr', '--namespace', 'k8s.io', 'tasks', 'list');
      const lines = text
        .split('\n')
        .slice(1)
        .filter((line) => line !== '');
      return lines.some((line) => line.endsWith('UNKNOWN')) ? undefined : lines.toSorted();
    });

  const taskOf = async (pod: Pod): Promise<string> => {
    const id = containerOf(pod)?.containerID?.split('//')[1] ?? 'none';
    return (await tasks()).find((line) => line.startsWith(id))?.split(/\s+/)[1] ?? '';
  };

  /** A pod from nothing to Ready: whatever was away is at work again. */
  let pulses = 0;
  async function pulse(): Promise<void> {
    const name = `pulse-${++pulses}`;
    await eventually(`${name} is taken`, patienceMs, () => applyObjects(lab, pinned(name, untilAsked)));
    await awaitReady(lab, name);
    await eventually(`${name} is deleted`, patienceMs, () => lab.kubectl('delete', 'pod', name, '--ignore-not-found'));
  }

  let names: string[] = [];
  const steady = async (): Promise<string[]> => (names = names.length === 0 ? await settledPods() : names);

  it.each([
    { title: 'the agent, killed', index: worker, component: 'agent', signal: 'SIGKILL' },
    { title: 'the agent, asked to end', index: worker, component: 'agent', signal: 'SIGTERM' },
    { title: 'containerd, asked to end', index: worker, component: 'containerd', signal: 'SIGTERM' },
    { title: 'containerd, killed', index: worker, component: 'containerd', signal: 'SIGKILL' },
    { title: 'the API server, killed', index: control, component: 'kube-apiserver', signal: 'SIGKILL' },
    { title: 'etcd, killed', index: control, component: 'etcd', signal: 'SIGKILL' },
  ] as const)('of $title changes nothing about the pods', async ({ index, component, signal }) => {
    const pods = await getPods(await steady());
    const tasksBefore = await tasks();
    const watch = new PodWatch(lab, pods);
    const logs = Follower.kubectl(lab, 'logs', '--follow', '--tail=1', 'ticking');
    onTestFinished(async () => {
      await Promise.all([watch.close(), logs.close()]);
    });
    watch.start();
    await eventually('the watch has begun', patienceMs, () =>
      Promise.resolve(watch.eventCount >= pods.length || undefined),
    );
    const [, tick = ''] = await logs.until(/tick (\d+)\n/);

    await lab.stop(index, component, signal);
    await lab.start(index, component);
    await pulse();

    expect(await tasks()).toEqual(tasksBefore);
    expect((await getPods(names)).map((pod) => comparable(pod))).toEqual(pods.map((pod) => comparable(pod)));
    expect(watch.changes).toEqual([]);
    // who follows the logs goes on, or hears that it is over; no line is lost
    const whole = await lab.kubectl('logs', 'ticking');
    if (logs.exitCode === undefined && component === 'containerd') await logs.until(`tick ${Number(tick) + 20}\n`);
    const heard = [...logs.output.matchAll(/^tick (\d+)$/gm)].map(([, count]) => Number(count));
    expect(heard).toEqual(heard.map((_, place) => Number(tick) + place));
    const said = [...whole.matchAll(/^tick (\d+)$/gm)].map(([, count]) => Number(count));
    expect(said).toEqual(said.map((_, place) => place + 1));
    expect(await inPod(lab, 'web', 'hostname')).toBe('web\n');
  });

  it('of the agent: a container that ended meanwhile is started again once, a pod deleted meanwhile goes', async () => {
    await applyObjects(lab, pinned('hit', untilAsked), pinned('unwanted', untilAsked));
    const [hit] = await Promise.all([awaitReady(lab, 'hit'), awaitReady(lab, 'unwanted')]);
    const pid = await taskOf(hit);
    expect(pid).toMatch(/^\d+$/);
    await lab.stop(worker, 'agent', 'SIGKILL');
    await lab.onNode(worker, 'kill', '-9', pid);
    await lab.kubectl('delete', 'pod', 'unwanted', '--wait=false');
    await lab.start(worker, 'agent');
    const again = await awaitPod(
      lab,
      'hit',
      'restart',
      (pod) => containerOf(pod)?.restartCount === 1 && containerOf(pod)?.ready === true,
    );
    expect(containerOf(again)?.lastState?.terminated).toMatchObject({
      exitCode: 137,
      containerID: containerOf(hit)?.containerID,
    });
    expect(again.status?.podIP).toBe(hit.status?.podIP);
    await lab.kubectl('wait', '--for=delete', 'pod/unwanted', '--timeout=90s');
    await pulse();
    expect(containerOf(await getPod(lab, 'hit'))?.restartCount).toBe(1);
    await lab.kubectl('delete', 'pod', 'hit');
  });

  it('a node whose agent is away is NotReady after the grace period, and Ready with the same pods when it is back', async () => {
    const pods = await getPods(await steady());
    const tasksBefore = await tasks();
    const name = lab.nodeName(worker);
    const getNode = (): Promise<Node> => lab.kubectlJson<Node>('get', 'node', name);
    const taints = ({ spec }: Node): string[] =>
      (spec?.taints ?? []).map(({ key, effect }) => `${key}:${effect}`).toSorted();
    const ready = ({ status }: Node): object | undefined => status?.conditions?.find(({ type }) => type === 'Ready');
    expect(taints(await getNode())).toEqual([]);

    await lab.stop(worker, 'agent');
    const lost = await eventually('the node is lost', nodeLostMs, async () => {
      const node = await getNode();
      return taints(node).length === 2 ? node : undefined;
    });
    expect(ready(lost)).toMatchObject({
      status: 'Unknown',
      reason: 'NodeStatusUnknown',
      message: 'Kubelet stopped posting node status.',
    });
    expect(taints(lost)).toEqual([
      'node.kubernetes.io/unreachable:NoExecute',
      'node.kubernetes.io/unreachable:NoSchedule',
    ]);
    expect(await lab.kubectl('get', 'node', name, '--no-headers')).toMatch(/ NotReady /);
    await awaitEvent(lab, name, 'NodeNotReady', `Node ${name} status is now: NodeNotReady`);
    await awaitPod(lab, 'web', 'unreadiness', (pod) => conditionOf(pod, 'Ready') === 'False');

    await lab.start(worker, 'agent');
    const back = await eventually('the node is back', patienceMs, async () => {
      const node = await getNode();
      return taints(node).length === 0 ? node : undefined;
    });
    expect(ready(back)).toMatchObject({ status: 'True', reason: 'KubeletReady' });
    await Promise.all(['probed', 'web', 'helped', 'ticking'].map((one) => awaitReady(lab, one)));
    expect(await tasks()).toEqual(tasksBefore);
    const lives = (list: readonly Pod[]): unknown =>
      list.map(({ status }) => [
        status?.phase,
        status?.podIP,
        status?.startTime,
        status?.initContainerStatuses,
        status?.containerStatuses,
      ]);
    expect(lives(await getPods(names))).toEqual(lives(pods));
    expect((await lab.kubectlJson<List<Node>>('get', 'nodes')).items.map(taints)).toEqual([[], []]);
  });
});
