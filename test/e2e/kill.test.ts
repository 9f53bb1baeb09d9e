/**
 * The agent killed with SIGKILL in the middle of calls to the real containerd: before it hears of them, and when it has
 * done them and the agent does not know. Pods are held at different steps at once, so that one kill meets them all.
 */
import { existsSync } from 'node:fs';
import { readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { Cri } from '../../src/adapters/cri/cri.ts';
import { findByEnvironment } from '../../src/adapters/process-table/process-table.ts';
import { clusterVariable } from '../../src/lab/lab-node.ts';
import type { Pod } from '../../src/objects/generated/core-v1.ts';
import { CriMiddleman } from '../fakes/cri-middleman.ts';
import { FaultGate, type Held, type Moment } from '../fakes/fault-gate.ts';
import { describeAsRoot } from './support/as-root.ts';
import { type TestLab, eventually, useLab } from './support/lab.ts';
import {
  Follower,
  applyObjects,
  awaitGone,
  awaitReady,
  conditionOf,
  containerOf,
  getPod,
  patienceMs,
  podOf,
  shell,
  untilAsked,
} from './support/pods.ts';

const never = new AbortController().signal;
const node = 0;

/** What the preStop hook says. */
const farewell = 'echo farewell';

interface Kill {
  method: string;
  moment: Moment;
  /** Of the container in question; of any when undefined. */
  container?: string;
  /** In the request. */
  words?: string;
}
const startKills: Kill[] = [
  { method: 'RunPodSandbox', moment: 'before' },
  { method: 'RunPodSandbox', moment: 'after' },
  { method: 'PodSandboxStatus', moment: 'before' },
  { method: 'CreateContainer', moment: 'after', container: 'init' },
  { method: 'StartContainer', moment: 'after', container: 'init' },
  { method: 'CreateContainer', moment: 'before', container: 'main' },
  { method: 'CreateContainer', moment: 'after', container: 'main' },
  { method: 'StartContainer', moment: 'after', container: 'main' },
  { method: 'ContainerStatus', moment: 'before', container: 'main' },
  { method: 'ExecSync', moment: 'after', container: 'main' },
];
const endKills: Kill[] = [
  { method: 'ExecSync', moment: 'after', container: 'main', words: farewell },
  { method: 'StopContainer', moment: 'before', container: 'main' },
  { method: 'StopContainer', moment: 'after', container: 'main' },
  { method: 'StopPodSandbox', moment: 'before' },
  { method: 'StopPodSandbox', moment: 'after' },
];
const cleanUpKills: Kill[] = [
  { method: 'RemoveContainer', moment: 'after' },
  { method: 'RemovePodSandbox', moment: 'before' },
  { method: 'RemovePodSandbox', moment: 'after' },
];
const namesOf = (kills: readonly Kill[], kind: string): string[] => kills.map((one) => nameOf(one, kind));
const nameOf = ({ method, moment, container = '' }: Kill, kind: string): string =>
  [kind, method.toLowerCase(), container, moment].filter((part) => part !== '').join('-');

/** The lab's containerd behind a gate, at the path at which the agent looks for it. */
class GatedRuntime {
  readonly #directory: string;
  readonly cri: Cri;
  gate = new FaultGate();
  #middleman: CriMiddleman | undefined;

  private constructor(directory: string) {
    this.#directory = directory;
    this.cri = new Cri({ endpoint: `unix://${join(directory, 'real.sock')}`, requestTimeoutMs: 20_000 });
  }

  /** @param root the node's file system as the host sees it */
  static async open(root: string): Promise<GatedRuntime> {
    const runtime = new GatedRuntime(join(root, 'run', 'containerd'));
    await rename(join(runtime.#directory, 'containerd.sock'), join(runtime.#directory, 'real.sock'));
    await runtime.renew();
    return runtime;
  }

  /** What was held is dead; a new gate stands open. */
  async renew(): Promise<void> {
    this.gate.shut();
    await this.#middleman?.close();
    this.gate = new FaultGate();
    const [real, front] = ['real.sock', 'containerd.sock'].map((name) => join(this.#directory, name));
    this.#middleman = await CriMiddleman.open(`unix://${real}`, front ?? '', this.gate);
  }

  async close(): Promise<void> {
    this.cri.close();
    await this.#middleman?.close();
    await rename(join(this.#directory, 'real.sock'), join(this.#directory, 'containerd.sock'));
  }
}

/** The root of the node's file system: that of its containerd. */
async function rootOf(lab: TestLab): Promise<string> {
  for (const { pid, value } of await findByEnvironment(clusterVariable)) {
    if (value !== lab.directory) continue;
    if ((await readFile(`/proc/${pid}/comm`, 'utf8')).trim() === 'containerd') return `/proc/${pid}/root`;
  }
  throw new Error('the lab runs no containerd');
}

const wholePod = (name: string): Pod =>
  podOf(
    name,
    [
      shell(untilAsked, {
        readinessProbe: { exec: { command: ['true'] }, periodSeconds: 1 },
        lifecycle: { preStop: { exec: { command: ['sh', '-c', farewell] } } },
        volumeMounts: [
          { name: 'memory', mountPath: '/memory' },
          { name: 'ca', mountPath: '/ca' },
        ],
      }),
    ],
    {
      terminationGracePeriodSeconds: 5,
      initContainers: [shell('true', { name: 'init' })],
      volumes: [
        { name: 'memory', emptyDir: { medium: 'Memory' } },
        { name: 'ca', configMap: { name: 'kube-root-ca.crt' } },
      ],
    },
  );

/** What may never be told about a pod, in words. */
function flips(output: string): string[] {
  const order = ['Pending', 'Running', 'Succeeded', 'Failed'];
  const last = new Map<string, { phase: number; isReady: boolean }>();
  const found: string[] = [];
  for (const line of output.split('\n')) {
    if (!line.startsWith('{"type":"') || !line.endsWith('}')) continue;
    const { object } = JSON.parse(line) as { object: Pod };
    const name = object.metadata.name ?? '';
    const phase = order.indexOf(object.status?.phase ?? 'Pending');
    const isReady = conditionOf(object, 'Ready') === 'True';
    const before = last.get(name);
    if (before !== undefined && phase < before.phase) found.push(`${name}: ${order[before.phase]} → ${order[phase]}`);
    const isEnding = object.metadata.deletionTimestamp !== undefined;
    if (before?.isReady === true && !isReady && !isEnding) found.push(`${name} is not ready any more`);
    last.set(name, { phase, isReady });
  }
  return found;
}

describeAsRoot('the agent, killed in the middle of a call', () => {
  const lab = useLab();

  it('pods start once, end once, and leave nothing', async () => {
    const root = await rootOf(lab);
    await lab.stop(node, 'agent');
    const runtime = await GatedRuntime.open(root);
    onTestFinished(() => runtime.close());
    await lab.start(node, 'agent');
    const watch = Follower.kubectl(lab, 'get', '--raw', '/api/v1/namespaces/default/pods?watch=true');
    onTestFinished(() => watch.close());

    const names = new Map<string, string>();
    const uidOf = (name: string): string => [...names].find(([, other]) => other === name)?.[0] ?? 'unknown';
    const hold = ({ method, moment, container, words = '' }: Kill, name: string): Held =>
      runtime.gate.hold((step) => {
        const { name: newName } =
          (step.request as { config?: { metadata?: { name?: string } } }).config?.metadata ?? {};
        if (step.method === 'RunPodSandbox' && step.podUid !== undefined) names.set(step.podUid, newName ?? '');
        return (
          step.method === method &&
          names.get(step.podUid ?? '') === name &&
          (container === undefined || step.container === container) &&
          JSON.stringify(step.request).includes(words)
        );
      }, moment);
    const killAt = async (holds: ReadonlyArray<{ name: string; held: Held }>): Promise<void> => {
      for (const { name, held } of holds) {
        await eventually(`${name} to be held`, patienceMs, () => Promise.resolve(held.count > 0 || undefined));
      }
      await lab.stop(node, 'agent', 'SIGKILL');
      await runtime.renew();
      await lab.start(node, 'agent');
    };
    const holdAll = (kills: readonly Kill[], kind: string): Array<{ name: string; held: Held }> =>
      kills.map((one) => ({ name: nameOf(one, kind), held: hold(one, nameOf(one, kind)) }));
    const [starting, ending, cleaned] = [namesOf(startKills, 's'), namesOf(endKills, 'e'), namesOf(cleanUpKills, 'c')];

    const atStart = holdAll(startKills, 's');
    await applyObjects(lab, ...[...starting, ...ending, ...cleaned].map(wholePod));
    await killAt(atStart);
    for (const name of [...starting, ...ending, ...cleaned])
      names.set((await awaitReady(lab, name)).metadata.uid ?? '', name);
    for (const [i, name] of starting.entries()) {
      const pod = await getPod(lab, name);
      const isReplaced = (container: string): boolean =>
        startKills[i]?.method === 'CreateContainer' &&
        startKills[i].moment === 'after' &&
        startKills[i].container === container;
      for (const container of ['init', 'main']) {
        expect(containerOf(pod, container)?.restartCount, `${name} ${container}`).toBe(isReplaced(container) ? 1 : 0);
        expect(containerOf(pod, container)?.lastState, `${name} ${container}`).toEqual({});
      }
      await eventually(`${name} to run once`, patienceMs, async () => {
        const containers = await runtime.cri.listContainers({ podUid: uidOf(name) }, never);
        return !containers.some(({ state }) => state === 'created') || undefined;
      });
      const containers = await runtime.cri.listContainers({ podUid: uidOf(name) }, never);
      expect(containers.map(({ state }) => state).toSorted(), name).toEqual(['exited', 'running']);
      const sandboxes = await runtime.cri.listPodSandboxes({ podUid: uidOf(name) }, never);
      expect(
        sandboxes.filter(({ isReady }) => isReady),
        name,
      ).toHaveLength(1);
    }

    const atEnd = holdAll(endKills, 'e');
    await lab.kubectl('delete', 'pod', '--wait=false', ...ending);
    await killAt(atEnd);
    const atCleanUp = holdAll(cleanUpKills, 'c');
    await lab.kubectl('delete', 'pod', '--wait=false', ...cleaned);
    await killAt(atCleanUp);
    await lab.kubectl('delete', 'pod', '--wait=false', ...starting);
    for (const name of [...starting, ...ending, ...cleaned]) await awaitGone(lab, name);
    for (const uid of names.keys()) {
      await eventually(`everything of ${names.get(uid)} to be gone`, patienceMs, async () => {
        const left = [
          ...(await runtime.cri.listPodSandboxes({ podUid: uid }, never)),
          ...(await runtime.cri.listContainers({ podUid: uid }, never)),
        ];
        return (left.length === 0 && !existsSync(join(root, 'var/lib/kubelet/pods', uid))) || undefined;
      });
    }
    await eventually('the control groups to be gone', patienceMs, async () => {
      const groups = await lab.onNode(node, 'find', '/sys/fs/cgroup', '-name', 'pod*');
      return ![...names.keys()].some((uid) => groups.includes(uid)) || undefined;
    });
    const mounts = await readFile(join(root, '..', 'mountinfo'), 'utf8');
    expect(mounts.split('\n').filter((line) => [...names.keys()].some((uid) => line.includes(uid)))).toEqual([]);
    expect(flips(watch.output)).toEqual([]);
  });
});
