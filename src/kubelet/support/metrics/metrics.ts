/**
 * What the kubelet counts about its own work since it began, under upstream's names and labels and in its buckets.
 *
 * Owns the series; the rooms say what happened through the few words they need. Says nothing of how things are now:
 * that is looked up when somebody scrapes (`kubelet-metrics.ts`).
 */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { imageSizeRange } from './image-size-range.ts';

/** Seconds: buckets that upstream takes where nothing better is known. */
const usualBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const runtimeBuckets = Array.from({ length: 14 }, (_, i) => 0.005 * 2.5 ** i);
const podStartBuckets = [
  0.5, 1, 2, 3, 4, 5, 6, 8, 10, 20, 30, 45, 60, 120, 180, 240, 300, 360, 480, 600, 900, 1200, 1800, 2700, 3600,
];
const pullBuckets = [1, 5, 10, 20, 30, 60, 120, 180, 240, 300, 360, 480, 600, 900, 1200, 1800, 2700, 3600];
/** Milliseconds. */
const resizeBuckets = [10, 50, 100, 500, 1000, 2000, 5000, 10_000, 20_000, 30_000, 60_000, 120_000, 300_000, 600_000];

const ownResources = new Set(['cpu', 'memory', 'ephemeral-storage', 'pods']);

const containerTypes = {
  regular: 'container',
  sidecar: 'init_container',
  init: 'init_container',
  ephemeral: 'ephemeral_container',
} as const;
type ContainerKind = keyof typeof containerTypes;

const requestLabelNames: Array<keyof RequestLabels> = ['method', 'path', 'server_type', 'long_running'];
type RequestLabels = Record<'method' | 'path' | 'server_type' | 'long_running', string>;

export interface ResizeWish {
  resource: 'cpu' | 'memory';
  requirement: 'requests' | 'limits';
  operation: 'add' | 'remove' | 'increase' | 'decrease';
}

export interface EndedVolumeOperation {
  plugin: string;
  /** Upstream's name of it. */
  operation: string;
  durationMs: number;
  hasFailed: boolean;
}

export class Counts {
  readonly registry = new Registry();
  readonly #volumeSeconds = new Histogram({
    name: 'storage_operation_duration_seconds',
    help: '[ALPHA] Time of operations on volumes',
    buckets: [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 25, 50, 120, 300, 600],
    labelNames: ['volume_plugin', 'operation_name', 'status', 'migrated'],
    registers: [this.registry],
  });
  readonly #calls = this.#counter('runtime_operations_total', 'Calls of the container runtime by operation', [
    'operation_type',
  ]);
  readonly #callFailures = this.#counter('runtime_operations_errors_total', 'Failed calls of the container runtime', [
    'operation_type',
  ]);
  readonly #callSeconds = this.#histogram(
    'runtime_operations_duration_seconds',
    'Time of calls of the container runtime',
    runtimeBuckets,
    ['operation_type'],
  );
  readonly #sandboxSeconds = this.#histogram(
    'run_podsandbox_duration_seconds',
    'Time in which sandboxes were made',
    usualBuckets,
    ['runtime_handler'],
  );
  readonly #sandboxFailures = this.#counter('run_podsandbox_errors_total', 'Sandboxes that could not be made', [
    'runtime_handler',
  ]);
  readonly #pods = this.#counter('started_pods_total', 'Pods that were to get a sandbox');
  readonly #podFailures = this.#counter('started_pods_errors_total', 'Pods that got no sandbox');
  readonly #namespacedPods = this.#counter(
    'started_user_namespaced_pods_total',
    'Pods with a user namespace that were to get a sandbox',
  );
  readonly #namespacedPodFailures = this.#counter(
    'started_user_namespaced_pods_errors_total',
    'Pods with a user namespace that got no sandbox',
  );
  readonly #containers = this.#counter('started_containers_total', 'Containers that were to start', ['container_type']);
  readonly #containerFailures = this.#counter('started_containers_errors_total', 'Containers that did not start', [
    'container_type',
    'code',
  ]);
  readonly #containersEnded = this.#counter('terminated_containers_total', 'Containers that have ended', [
    'container_type',
    'exit_code',
    'reason',
  ]);
  readonly #preemptions = this.#counter('preemptions', 'Pods that made room for critical ones', ['preemption_signal']);
  readonly #containersPerPod = this.#histogram('containers_per_pod_count', 'Containers of a pod', [1, 2, 4, 8, 16]);
  readonly #turnDelaySeconds = this.#histogram(
    'pod_worker_start_duration_seconds',
    'Time from the first sight of a pod to its first turn',
    usualBuckets,
  );
  readonly #statusSeconds = this.#histogram(
    'pod_status_sync_duration_seconds',
    'Time from a change of a pod’s status until the API has it',
    [0.01, 0.05, 0.1, 0.5, 1, 5, 10, 20, 30, 45, 60],
  );
  readonly #relistAt = this.#gauge('pleg_last_seen_seconds', 'When the runtime was last listed');
  readonly #requests = this.#counter('http_requests_total', 'Requests to the HTTPS door', requestLabelNames);
  readonly #requestSeconds = this.#histogram(
    'http_requests_duration_seconds',
    'Time of requests, and of the streams that they became',
    usualBuckets,
    requestLabelNames,
  );
  readonly #requestsOpen = this.#gauge('http_inflight_requests', 'Requests that have not ended', requestLabelNames);
  readonly #rejections = this.#counter('admission_rejections_total', 'Pods that the node did not take', ['reason']);
  readonly #podStartSeconds = this.#histogram(
    'pod_start_duration_seconds',
    'Time from the first sight of a pod until it runs',
    podStartBuckets,
  );
  readonly #imageWishes = this.#counter(
    'image_manager_ensure_image_requests_total',
    'How often an image had to be there',
    ['pull_policy', 'present_locally', 'pull_required'],
  );
  readonly #pullSeconds = this.#histogram(
    'image_pull_duration_seconds',
    'Time of pulls, waiting included',
    pullBuckets,
    ['image_size_in_bytes'],
  );
  readonly #imagesRemoved = this.#counter('image_garbage_collected_total', 'Unused images that were removed', [
    'reason',
  ]);
  readonly #imageVolumes = this.#counter('image_volume_requested_total', 'Images that containers were to mount');
  readonly #imageVolumesMounted = this.#counter(
    'image_volume_mounted_succeed_total',
    'Images that containers were to mount, without an error about them',
  );
  readonly #imageVolumesFailed = this.#counter(
    'image_volume_mounted_errors_total',
    'Images that the runtime could not mount',
  );
  readonly #resizeWishes = this.#counter(
    'container_requested_resizes_total',
    'Changes of what running containers ask for',
    ['resource', 'requirement', 'operation'],
  );
  readonly #resizeMilliseconds = this.#histogram(
    'pod_resize_duration_milliseconds',
    'Time in which what pods were given was set',
    resizeBuckets,
    ['success'],
  );
  readonly #resizesRefused = this.#counter('pod_infeasible_resizes_total', 'Resizes that this node can never grant', [
    'reason_detail',
  ]);
  readonly #resizesLate = this.#counter(
    'pod_deferred_accepted_resizes_total',
    'Resizes that were granted after a wait',
    ['retry_trigger'],
  );
  readonly #turnSeconds = this.#histogram('pod_worker_duration_seconds', "Time of pods' turns", usualBuckets, [
    'operation_type',
  ]);
  readonly #relistSeconds = this.#histogram(
    'pleg_relist_duration_seconds',
    'Time in which the runtime was listed and what had changed was looked at',
    usualBuckets,
  );
  readonly #relistGapSeconds = this.#histogram(
    'pleg_relist_interval_seconds',
    'Time from one listing of the runtime to the next',
    usualBuckets,
  );

  /** @param method of CRI, e.g. `RunPodSandbox` */
  runtimeCalled(method: string, durationMs: number, hasFailed: boolean): void {
    const labels = { operation_type: operationType(method) };
    this.#calls.inc(labels);
    this.#callSeconds.observe(labels, durationMs / 1000);
    if (hasFailed) this.#callFailures.inc(labels);
  }

  sandboxMade(handler: string, durationMs: number, hasFailed: boolean): void {
    const labels = { runtime_handler: handler };
    this.#sandboxSeconds.observe(labels, durationMs / 1000);
    if (hasFailed) this.#sandboxFailures.inc(labels);
  }

  podStarts(hasUserNamespace: boolean): void {
    this.#pods.inc();
    if (hasUserNamespace) this.#namespacedPods.inc();
  }

  podFailed(hasUserNamespace: boolean): void {
    this.#podFailures.inc();
    if (hasUserNamespace) this.#namespacedPodFailures.inc();
  }

  containerStarts(kind: ContainerKind): void {
    this.#containers.inc({ container_type: containerTypes[kind] });
  }

  /** @param reason as in the container's waiting state */
  containerFailed(kind: ContainerKind, reason: string): void {
    this.#containerFailures.inc({ container_type: containerTypes[kind], code: reason });
  }

  containerEnded(kind: ContainerKind, exitCode: number, reason: string): void {
    this.#containersEnded.inc({ container_type: containerTypes[kind], exit_code: String(exitCode), reason });
  }

  /** @param resource what the critical pod lacked */
  podPreempted(resource: string): void {
    this.#preemptions.inc({ preemption_signal: resource });
  }

  firstTurn(containers: number, sinceSeenMs: number | undefined): void {
    this.#containersPerPod.observe(containers);
    if (sinceSeenMs !== undefined) this.#turnDelaySeconds.observe(sinceSeenMs / 1000);
  }

  statusWritten(sinceChangeMs: number): void {
    this.#statusSeconds.observe(sinceChangeMs / 1000);
  }

  podRejected(reason: string): void {
    // names of resources are anybody's: they would be series without end
    const isOther = reason.startsWith('OutOf') && !ownResources.has(reason.slice('OutOf'.length));
    this.#rejections.inc({ reason: isOther ? 'OutOfExtendedResources' : reason });
  }

  podRuns(sinceSeenMs: number): void {
    this.#podStartSeconds.observe(sinceSeenMs / 1000);
  }

  /** Undefined: nobody knows. */
  imageWanted(policy: string, isPresent: boolean | undefined, needsPull: boolean | undefined): void {
    this.#imageWishes.inc({
      pull_policy: policy.toLowerCase(),
      present_locally: String(isPresent ?? 'unknown'),
      pull_required: String(needsPull ?? 'unknown'),
    });
  }

  imagePulled(wholeMs: number, sizeBytes: number): void {
    this.#pullSeconds.observe({ image_size_in_bytes: imageSizeRange(sizeBytes) }, wholeMs / 1000);
  }

  volumeOperation({ plugin, operation, durationMs, hasFailed }: EndedVolumeOperation): void {
    const status = hasFailed ? 'fail-unknown' : 'success';
    const labels = { volume_plugin: plugin, operation_name: operation, status, migrated: 'false' };
    this.#volumeSeconds.observe(labels, durationMs / 1000);
  }

  imageRemoved(reason: 'age' | 'space'): void {
    this.#imagesRemoved.inc({ reason });
  }

  imagesMounted(count: number, hasFailed: boolean): void {
    if (count === 0) return;
    this.#imageVolumes.inc({}, count);
    (hasFailed ? this.#imageVolumesFailed : this.#imageVolumesMounted).inc({}, count);
  }

  resizeWanted({ resource, requirement, operation }: ResizeWish): void {
    this.#resizeWishes.inc({ resource, requirement, operation });
  }

  resized(durationMs: number, hasSucceeded: boolean): void {
    this.#resizeMilliseconds.observe({ success: String(hasSucceeded) }, durationMs);
  }

  resizeRefused(detail: string): void {
    this.#resizesRefused.inc({ reason_detail: detail });
  }

  resizeGrantedLate(trigger: string): void {
    this.#resizesLate.inc({ retry_trigger: trigger });
  }

  /** Does a turn's work, and counts it when it has ended, however it did. */
  async turn<T>(
    operation: 'create' | 'sync' | 'kill',
    clock: { monotonicMs(): number },
    work: () => Promise<T>,
  ): Promise<T> {
    const beganMs = clock.monotonicMs();
    try {
      return await work();
    } finally {
      this.#turnSeconds.observe({ operation_type: operation }, (clock.monotonicMs() - beganMs) / 1000);
    }
  }

  /** @param gapMs since the listing before; undefined for the first */
  relisted(durationMs: number, gapMs: number | undefined, nowMs: number): void {
    this.#relistAt.set(nowMs / 1000);
    this.#relistSeconds.observe(durationMs / 1000);
    if (gapMs !== undefined) this.#relistGapSeconds.observe(gapMs / 1000);
  }

  /** @returns to be called when the request has ended, however it did */
  request(labels: RequestLabels, clock: { monotonicMs(): number }): () => void {
    const beganMs = clock.monotonicMs();
    this.#requests.inc(labels);
    this.#requestsOpen.inc(labels);
    return () => {
      this.#requestsOpen.dec(labels);
      this.#requestSeconds.observe(labels, (clock.monotonicMs() - beganMs) / 1000);
    };
  }

  #gauge<L extends string>(name: string, help: string, labelNames: L[] = []): Gauge<L> {
    return new Gauge({ name: `kubelet_${name}`, help: `[ALPHA] ${help}`, labelNames, registers: [this.registry] });
  }

  #counter<L extends string>(name: string, help: string, labelNames: L[] = []): Counter<L> {
    return new Counter({ name: `kubelet_${name}`, help: `[ALPHA] ${help}`, labelNames, registers: [this.registry] });
  }

  #histogram<L extends string>(name: string, help: string, buckets: number[], labelNames: L[] = []): Histogram<L> {
    const registers = [this.registry];
    return new Histogram({ name: `kubelet_${name}`, help: `[ALPHA] ${help}`, buckets, labelNames, registers });
  }
}

/** Operations whose upstream name is not the method's own words. */
const otherNames: Readonly<Record<string, string>> = {
  RunPodSandbox: 'run_podsandbox',
  StopPodSandbox: 'stop_podsandbox',
  RemovePodSandbox: 'remove_podsandbox',
  PodSandboxStatus: 'podsandbox_status',
  ListPodSandbox: 'list_podsandbox',
  UpdatePodSandboxResources: 'update_podsandbox_resources',
  UpdateContainerResources: 'update_container',
};

/** `ListContainers` → `list_containers`. */
const operationType = (method: string): string =>
  otherNames[method] ?? method.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`).slice(1);
