/**
 * Times pods through the API as a watcher sees them: create → Ready, delete → gone; and what the agent uses meanwhile
 * and at rest. Runs inside the test node, where the API server listens; prints one line of JSON.
 *
 *     node test/bench/measure-pods.ts '{"kubeconfig": …}'
 */
import { Cri } from '../../src/adapters/cri/cri.ts';
import { systemClock } from '../../src/base/clock.ts';
import { isConflict } from '../../src/base/errors.ts';
import type { ApiClient } from '../../src/client/api-client.ts';
import { HttpApiClient } from '../../src/client/http-api-client.ts';
import { loadKubeconfig } from '../../src/client/kubeconfig.ts';
import { configMaps, pods, secrets, serviceAccounts } from '../../src/client/resource-types.ts';
import type { Pod } from '../../src/objects/generated/core-v1.ts';
import { awaitUntil } from '../await-until.ts';
import { type UsageBetween, readUsage, usageBetween } from './process-usage.ts';
import { benchConfigMap, benchSecret, benchVolumes } from './volume-pods.ts';

export interface MeasureOptions {
  kubeconfig: string;
  runtimeEndpoint: string;
  nodeName: string;
  image: string;
  counts: readonly number[];
  rounds: number;
  /** As it is numbered inside the node. */
  agentPid: number;
  restSeconds: number;
  /** Of each pod. */
  volumes: number;
}

export interface RoundResult {
  /** ms from the create call of each pod until it was seen Ready. */
  readyMs: number[];
  /** ms from the delete call of each pod until it was seen gone. */
  goneMs: number[];
  /** Of the agent, from the first create call until the last pod was Ready. */
  start: UsageBetween;
}

export interface MeasureResult {
  rounds: Array<{ count: number; results: RoundResult[] }>;
  /** At rest, without and with the most pods of a round. */
  rest: Array<{ count: number; usage: UsageBetween }>;
}

/** Not counted: a program that has run for a minute is what matters, not one whose code is still being compiled. */
const warmUpRounds = 3;
const idleTimeoutMs = 30_000;
const never = new AbortController().signal;
const namespace = 'default';
const roundTimeoutMs = 120_000;
/** Status updates, probes of the runtime and the like after a round are no rest. */
const settleMs = 3_000;

class PodWatcher {
  readonly #seen = new Map<string, { readyMs?: number; goneMs?: number }>();
  readonly #stop = new AbortController();

  /** Watches until `stop`; rejects when the watch breaks. Sees every change after `resourceVersion`. */
  async run(api: ApiClient, resourceVersion: string | undefined): Promise<void> {
    for await (const event of api.watch(pods, { namespace, resourceVersion }, this.#stop.signal)) {
      if (event.type === 'BOOKMARK') continue;
      const name = event.object.metadata.name ?? '';
      const seen = this.#seen.get(name) ?? {};
      this.#seen.set(name, seen);
      if (event.type === 'DELETED') seen.goneMs ??= systemClock.monotonicMs();
      else if (isReady(event.object)) seen.readyMs ??= systemClock.monotonicMs();
    }
    if (!this.#stop.signal.aborted) throw new Error('the watch of pods has ended early');
  }

  when(name: string, what: 'readyMs' | 'goneMs'): number | undefined {
    return this.#seen.get(name)?.[what];
  }

  stop(): void {
    this.#stop.abort();
  }
}

function isReady(pod: Pod): boolean {
  return pod.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') ?? false;
}

function podObject(name: string, options: MeasureOptions): Pod {
  const { nodeName, image } = options;
  const { volumes, volumeMounts } = benchVolumes(options.volumes);
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace, labels: { app: 'bench' } },
    spec: {
      nodeName,
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      terminationGracePeriodSeconds: 1,
      volumes,
      containers: [{ name: 'pause', image, imagePullPolicy: 'IfNotPresent', volumeMounts }],
    },
  };
}

async function startPods(
  api: ApiClient,
  watcher: PodWatcher,
  names: readonly string[],
  options: MeasureOptions,
): Promise<number[]> {
  const calledMs = await Promise.all(
    names.map(async (name) => {
      const atMs = systemClock.monotonicMs();
      await api.create(pods, podObject(name, options), never);
      return atMs;
    }),
  );
  const all = await awaitUntil(`${names.length} pods to be Ready`, () => allSeen(watcher, names, 'readyMs'), {
    timeoutMs: roundTimeoutMs,
    periodMs: 20,
  });
  return all.map((atMs, i) => atMs - (calledMs[i] ?? Number.NaN));
}

async function deletePods(api: ApiClient, watcher: PodWatcher, names: readonly string[]): Promise<number[]> {
  const calledMs = await Promise.all(
    names.map(async (name) => {
      const atMs = systemClock.monotonicMs();
      await api.delete(pods, { namespace, name }, { gracePeriodSeconds: 1 }, never);
      return atMs;
    }),
  );
  const all = await awaitUntil(`${names.length} pods to be gone`, () => allSeen(watcher, names, 'goneMs'), {
    timeoutMs: roundTimeoutMs,
    periodMs: 20,
  });
  return all.map((atMs, i) => atMs - (calledMs[i] ?? Number.NaN));
}

function allSeen(watcher: PodWatcher, names: readonly string[], what: 'readyMs' | 'goneMs'): number[] | undefined {
  const times = names.map((name) => watcher.when(name, what)).filter((time) => time !== undefined);
  return times.length === names.length ? times : undefined;
}

async function rest(pid: number, seconds: number): Promise<UsageBetween> {
  await systemClock.sleep(settleMs, never);
  const from = await readUsage(pid);
  await systemClock.sleep(seconds * 1000, never);
  return usageBetween(from, await readUsage(pid));
}

async function measure(options: MeasureOptions): Promise<MeasureResult> {
  const api = new HttpApiClient({
    access: await loadKubeconfig(options.kubeconfig),
    clock: systemClock,
    userAgentName: 'gantry-bench',
  });
  const watcher = new PodWatcher();
  await ensureServiceAccount(api);
  if (options.volumes > 0) {
    await api.create(configMaps, benchConfigMap(namespace), never);
    await api.create(secrets, benchSecret(namespace), never);
  }
  const { metadata } = await api.list(pods, { namespace }, never);
  try {
    const broken = Promise.withResolvers<never>();
    watcher.run(api, metadata.resourceVersion).catch(broken.reject);
    return await Promise.race([measureAll(api, watcher, options), broken.promise]);
  } finally {
    watcher.stop();
    api.close();
  }
}

/** Every pod needs one, and no controller makes it here. */
async function ensureServiceAccount(api: ApiClient): Promise<void> {
  const account = { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { namespace, name: 'default' } };
  await awaitUntil('the default service account', async () => {
    await api.create(serviceAccounts, account, never).catch((err: unknown) => {
      if (!isConflict(err)) throw err;
    });
    return true;
  });
}

async function measureAll(api: ApiClient, watcher: PodWatcher, options: MeasureOptions): Promise<MeasureResult> {
  const { agentPid, counts, rounds, restSeconds } = options;
  const result: MeasureResult = { rounds: [], rest: [] };
  const cri = new Cri({ endpoint: options.runtimeEndpoint, requestTimeoutMs: 30_000 });
  const round = async (label: string, count: number, meanwhile?: () => Promise<void>): Promise<RoundResult> => {
    const names = Array.from({ length: count }, (_, i) => `bench-${label}-${i}`);
    await runtimeIsIdle(cri);
    const before = await readUsage(agentPid);
    const readyMs = await startPods(api, watcher, names, options);
    const start = usageBetween(before, await readUsage(agentPid));
    await meanwhile?.();
    const goneMs = await deletePods(api, watcher, names);
    return { readyMs, goneMs, start };
  };
  for (let i = 0; i < warmUpRounds; i++) await round(`warm-up-${i}`, 1);
  if (restSeconds > 0) result.rest.push({ count: 0, usage: await rest(agentPid, restSeconds) });
  for (const count of counts) {
    const results: RoundResult[] = [];
    for (let i = 0; i < rounds; i++) results.push(await round(`${count}-${i}`, count));
    result.rounds.push({ count, results });
  }
  const most = Math.max(...counts);
  if (restSeconds > 0) {
    await round('rest', most, async () => {
      result.rest.push({ count: most, usage: await rest(agentPid, restSeconds) });
    });
  }
  cri.close();
  return result;
}

/** A pod is gone from the API before its sandbox is gone from the runtime; the floor was taken on an idle one. */
async function runtimeIsIdle(cri: Cri): Promise<void> {
  await awaitUntil(
    'the sandboxes of earlier pods to be gone',
    async () => (await cri.listPodSandboxes({ state: 'SANDBOX_READY' }, never)).length === 0,
    { timeoutMs: idleTimeoutMs, periodMs: 100 },
  );
  await systemClock.sleep(500, never); // removals that have been asked for
}

if (import.meta.main) {
  // given by pod-start.bench.ts
  const options = JSON.parse(process.argv[2] ?? '') as MeasureOptions;
  console.log(JSON.stringify(await measure(options)));
}
