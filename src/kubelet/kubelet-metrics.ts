/**
 * The page `/metrics`: what the kubelet has counted, and how things are at the moment of the scrape, under upstream's
 * names. Figures of the process itself are gathered from the first scrape on.
 */
import { Gauge, Registry, collectDefaultMetrics } from 'prom-client';
import { kubernetesVersion } from '../base/version.ts';
import type { Pod } from '../objects/generated/core-v1.ts';
import type { PodState } from './dispatch/next-pod-state.ts';
import { type ObservedPod, isStaticPod } from './pod-model.ts';
import type { ClaimFigures, KubeletStats } from './kubelet-stats.ts';
import type { ProcessMeter } from './process-figures.ts';

interface KubeletMetricsNeed {
  nodeName: string;
  cgroupVersion: number;
  /** What has been counted. */
  counts: Registry;
  /** What the runtime has. */
  pods(): readonly ObservedPod[];
  store: { list(): readonly Pod[]; get(uid: string): Pod | undefined; mirrors(): readonly Pod[] };
  workers: { uids(): readonly string[]; state(uid: string): PodState | undefined; isActive(uid: string): boolean };
  resizes: { figures(): { deferred: number; infeasible: number; inProgress: number } };
  stats: Pick<KubeletStats, 'claims' | 'volumeCounts'>;
  /** How many pods wait for one step for too long. */
  fencedPods(): number;
  meter: Pick<ProcessMeter, 'figures' | 'resetDelay'>;
}

type Sample = readonly [labels: Record<string, string>, value: number];

export class KubeletMetrics {
  readonly #need: KubeletMetricsNeed;
  #registry: Registry | undefined;
  #claims: readonly ClaimFigures[] = [];

  constructor(need: KubeletMetricsNeed) {
    this.#need = need;
  }

  async text(signal: AbortSignal): Promise<string> {
    this.#registry ??= this.#makeRegistry();
    this.#claims = await this.#need.stats.claims(signal);
    return await Registry.merge([this.#need.counts, this.#registry]).metrics();
  }

  #makeRegistry(): Registry {
    const registry = new Registry();
    const { nodeName, cgroupVersion, pods, store, workers, resizes, stats, fencedPods, meter } = this.#need;
    collectDefaultMetrics({ register: registry });
    const gauge = (name: string, help: string, labelNames: string[], samples: () => readonly Sample[]): void => {
      new Gauge({
        name,
        help: name.startsWith('gantry') ? help : `[ALPHA] ${help}`,
        labelNames,
        registers: [registry],
        collect() {
          this.reset();
          for (const [labels, value] of samples()) this.set(labels, value);
        },
      });
    };
    const one = (value: number): Sample[] => [[{}, value]];

    gauge('kubelet_node_name', "The node's name. The count is always 1.", ['node'], () => [[{ node: nodeName }, 1]]);
    gauge('kubernetes_build_info', 'The version, as labels', ['major', 'minor', 'git_version'], () => [
      [
        {
          major: kubernetesVersion.major,
          minor: kubernetesVersion.minor,
          git_version: kubernetesVersion.gitVersion,
        },
        1,
      ],
    ]);
    gauge('kubelet_cgroup_version', 'Version of the control groups of the host', [], () => one(cgroupVersion));
    gauge('kubelet_running_pods', 'Number of pods that have a running pod sandbox', [], () =>
      one(pods().filter(({ sandboxes }) => sandboxes.some(({ isReady }) => isReady)).length),
    );
    gauge('kubelet_running_containers', 'Number of containers by their state', ['container_state'], () =>
      counted(pods().flatMap(({ containers }) => containers.map(({ state }) => ({ container_state: state })))),
    );
    gauge('kubelet_desired_pods', 'Number of pods that are to run here', ['static'], () => byKind(store.list()));
    gauge('kubelet_active_pods', 'Number of pods that use the node', ['static'], () =>
      byKind(store.list().filter(({ metadata: { uid = '' } }) => workers.isActive(uid))),
    );
    gauge('kubelet_mirror_pods', 'Number of mirrors that the API has of static pods', [], () =>
      one(store.mirrors().length),
    );
    gauge('kubelet_working_pods', 'Number of pods by what their lane is at', ['lifecycle', 'config', 'static'], () =>
      workingPods(
        workers.uids().flatMap((uid) => workers.state(uid) ?? []),
        (uid) => store.get(uid) !== undefined,
      ),
    );
    gauge('kubelet_managed_ephemeral_containers', 'Number of ephemeral containers in pods of this node', [], () =>
      one(store.list().reduce((sum, { spec }) => sum + (spec.ephemeralContainers?.length ?? 0), 0)),
    );
    gauge('kubelet_pod_pending_resizes', 'Number of pods that wait to be resized', ['reason'], () => [
      [{ reason: 'deferred' }, resizes.figures().deferred],
      [{ reason: 'infeasible' }, resizes.figures().infeasible],
    ]);
    gauge('kubelet_pod_in_progress_resizes', 'Number of pods that are being resized', [], () =>
      one(resizes.figures().inProgress),
    );
    for (const [name, help, field] of volumeSeries) {
      gauge(`kubelet_volume_stats_${name}`, help, ['namespace', 'persistentvolumeclaim'], () =>
        claimSamples(this.#claims, field),
      );
    }
    gauge(
      'volume_manager_total_volumes',
      'Number of volumes that pods use, wanted and mounted',
      ['plugin_name', 'state'],
      () => stats.volumeCounts().map(({ plugin, state, count }): Sample => [{ plugin_name: plugin, state }, count]),
    );
    gauge(
      'gantry_event_loop_delay_seconds',
      'Delay of the event loop since the last scrape, 99th percentile',
      ['quantile'],
      () => {
        const { eventLoopDelayP99Ms } = meter.figures();
        meter.resetDelay();
        return [[{ quantile: '0.99' }, eventLoopDelayP99Ms / 1000]];
      },
    );
    gauge('gantry_wake_ups_per_second', 'Turns of the event loop per second since the last look', [], () =>
      one(meter.figures().wakeUpsPerSecond),
    );
    gauge(
      'gantry_fenced_pods',
      'Number of pods whose lane waits for one step for longer than such a step takes',
      [],
      () => one(fencedPods()),
    );
    return registry;
  }
}

const volumeSeries = [
  ['capacity_bytes', 'Capacity of the volume in bytes', 'capacityBytes'],
  ['available_bytes', 'Bytes of the volume that are available', 'availableBytes'],
  ['used_bytes', 'Bytes of the volume that are used', 'usedBytes'],
  ['inodes', 'Inodes that the volume can have', 'inodes'],
  ['inodes_free', 'Inodes of the volume that are free', 'inodesFree'],
  ['inodes_used', 'Inodes of the volume that are used', 'inodesUsed'],
] as const;

/** A claim that several pods use counts once; a figure that nobody knows has no sample. */
export function claimSamples(claims: readonly ClaimFigures[], field: (typeof volumeSeries)[number][2]): Sample[] {
  const samples = new Map<string, Sample>();
  for (const { namespace, claim, figures } of claims) {
    const value = figures[field];
    const labels = { namespace, persistentvolumeclaim: claim };
    if (value !== undefined) samples.set(`${namespace}/${claim}`, [labels, value]);
  }
  return [...samples.values()];
}

/** Static pods and others: upstream's label of the others is empty. */
function byKind(pods: readonly Pod[]): Sample[] {
  const statics = pods.filter(isStaticPod).length;
  return [
    [{ static: '' }, pods.length - statics],
    [{ static: 'true' }, statics],
  ];
}

const lifecycles = {
  sync: 'sync',
  terminating: 'terminating',
  terminated: 'terminated',
  finished: 'terminated',
} as const;

/** Every combination that there can be, also those that no pod has. */
export function workingPods(states: readonly PodState[], isWanted: (uid: string) => boolean): Sample[] {
  const counts = new Map<string, number>();
  const key = (labels: Record<string, string>): string => JSON.stringify(labels);
  for (const lifecycle of ['sync', 'terminating', 'terminated']) {
    for (const config of ['desired', 'orphan']) {
      for (const kind of ['', 'true']) counts.set(key({ lifecycle, config, static: kind }), 0);
    }
    counts.set(key({ lifecycle, config: 'runtime_only', static: 'unknown' }), 0);
  }
  for (const { pod, phase, isRuntimeOnly } of states) {
    const lifecycle = lifecycles[phase];
    const config = isWanted(pod.metadata.uid ?? '') ? 'desired' : 'orphan';
    const labels = isRuntimeOnly
      ? { lifecycle, config: 'runtime_only', static: 'unknown' }
      : { lifecycle, config, static: isStaticPod(pod) ? 'true' : '' };
    counts.set(key(labels), (counts.get(key(labels)) ?? 0) + 1);
  }
  return [...counts].map(([labels, count]): Sample => [JSON.parse(labels) as Record<string, string>, count]); // as written above
}

function counted(all: ReadonlyArray<Record<string, string>>): Sample[] {
  const counts = new Map<string, { labels: Record<string, string>; count: number }>();
  for (const labels of all) {
    const key = JSON.stringify(labels);
    const before = counts.get(key);
    counts.set(key, { labels, count: (before?.count ?? 0) + 1 });
  }
  return [...counts.values()].map(({ labels, count }): Sample => [labels, count]);
}
