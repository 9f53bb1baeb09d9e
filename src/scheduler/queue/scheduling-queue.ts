/**
 * Pods that wait for a node, in three places: active (to be tried, by priority and age), back-off (to be tried after a
 * delay) and unschedulable (to be tried when something changed that may help).
 */
import type { Clock } from '../../base/clock.ts';
import type { Pod } from '../../objects/generated/core-v1.ts';
import { objectKey } from '../../objects/object-key.ts';

/** What happened in the cluster, as far as it may help a pod. */
export type ClusterEvent =
  | 'node-added'
  | 'node-changed'
  | 'pod-added'
  | 'pod-changed'
  | 'pod-deleted'
  | 'namespace-changed'
  /** A claim, a volume, or what tells where there is room for volumes. */
  | 'storage-changed';

/** The filters that can reject a pod. `unsupported` stands for rules that we don't know. */
export type FilterName =
  | 'NodeUnschedulable'
  | 'NodeName'
  | 'TaintToleration'
  | 'NodeAffinity'
  | 'NodePorts'
  | 'NodeResourcesFit'
  | 'VolumeRestrictions'
  | 'NodeVolumeLimits'
  | 'VolumeBinding'
  | 'VolumeZone'
  | 'PodTopologySpread'
  | 'InterPodAffinity'
  | 'Unsupported';

const nodeEvents: readonly ClusterEvent[] = ['node-added', 'node-changed'];
const anyEvent: readonly ClusterEvent[] = [
  'node-added',
  'node-changed',
  'pod-added',
  'pod-changed',
  'pod-deleted',
  'namespace-changed',
];

/** Which events may turn a filter's no into a yes. */
const helpfulEvents: Readonly<Record<FilterName, readonly ClusterEvent[]>> = {
  NodeUnschedulable: nodeEvents,
  NodeName: nodeEvents,
  TaintToleration: nodeEvents,
  NodeAffinity: nodeEvents,
  NodePorts: ['node-added', 'pod-deleted'],
  NodeResourcesFit: ['node-added', 'node-changed', 'pod-deleted', 'pod-changed'],
  VolumeRestrictions: ['pod-deleted', 'storage-changed', 'node-added'],
  NodeVolumeLimits: ['pod-deleted', 'storage-changed', 'node-added'],
  VolumeBinding: ['storage-changed', 'node-added', 'node-changed'],
  VolumeZone: ['storage-changed', 'node-added', 'node-changed'],
  PodTopologySpread: anyEvent,
  InterPodAffinity: anyEvent,
  Unsupported: [],
};

export interface QueuedPod {
  pod: Pod;
  /** Position among pods of the same priority. */
  queuedMs: number;
  /** Tries that ended without a node, and those that ended in an error in a row. */
  unschedulableCount: number;
  errorCount: number;
  /** Count of cluster events when the pod was popped. */
  poppedAt: number;
}

interface Parked extends QueuedPod {
  rejectedBy: ReadonlySet<FilterName>;
  parkedMs: number;
}

interface BackingOff extends QueuedPod {
  readyMs: number;
}

const backoffInitialMs = 1000;
const backoffMaxMs = 10_000;
/** Parked pods are tried again after so long whatever happened. */
const parkedMaxMs = 300_000;

export class SchedulingQueue {
  readonly #clock: Clock;
  readonly #active = new Map<string, QueuedPod>();
  readonly #backoff = new Map<string, BackingOff>();
  readonly #parked = new Map<string, Parked>();
  /** Gated pods: not tried at all until they change. */
  readonly #gated = new Map<string, Pod>();
  readonly #inFlight = new Map<string, QueuedPod>();
  readonly #lastSeen = new Map<ClusterEvent, number>();
  #eventCount = 0;
  #wake: () => void = () => {};

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get sizes(): { active: number; backoff: number; unschedulable: number; gated: number } {
    return {
      active: this.#active.size,
      backoff: this.#backoff.size,
      unschedulable: this.#parked.size,
      gated: this.#gated.size,
    };
  }

  /** A pod that is new, or whose own spec or labels changed: worth a try now. */
  add(pod: Pod): void {
    const key = objectKey(pod);
    if ((pod.spec.schedulingGates ?? []).length > 0) {
      this.remove(pod);
      this.#gated.set(key, pod);
      return;
    }
    const known = this.#active.get(key) ?? this.#backoff.get(key) ?? this.#parked.get(key);
    this.#gated.delete(key);
    this.#backoff.delete(key);
    this.#parked.delete(key);
    this.#active.set(key, {
      pod,
      queuedMs: known?.queuedMs ?? this.#clock.nowMs(),
      unschedulableCount: known?.unschedulableCount ?? 0,
      errorCount: 0,
      poppedAt: 0,
    });
    this.#wake();
  }

  /** A newer state of a pod whose wishes are the same (e.g. only its status changed). */
  refresh(pod: Pod): void {
    const key = objectKey(pod);
    for (const place of [this.#active, this.#backoff, this.#parked]) {
      const entry = place.get(key);
      if (entry !== undefined) entry.pod = pod;
    }
  }

  has(pod: Pod): boolean {
    const key = objectKey(pod);
    return [this.#active, this.#backoff, this.#parked, this.#gated, this.#inFlight].some((place) => place.has(key));
  }

  remove(pod: Pod): void {
    const key = objectKey(pod);
    for (const place of [this.#active, this.#backoff, this.#parked, this.#gated, this.#inFlight]) place.delete(key);
  }

  /** The next pod to try: waits until there is one. Undefined when `signal` aborts. */
  async pop(signal: AbortSignal): Promise<QueuedPod | undefined> {
    for (;;) {
      if (signal.aborted) return undefined;
      const nowMs = this.#clock.nowMs();
      this.#release(nowMs);
      const next = first(this.#active.values()) ?? first([...this.#backoff.values()].filter((p) => p.errorCount === 0));
      if (next !== undefined) {
        const key = objectKey(next.pod);
        this.#active.delete(key);
        this.#backoff.delete(key);
        next.poppedAt = this.#eventCount;
        this.#inFlight.set(key, next);
        return next;
      }
      await this.#untilWoken(nowMs, signal);
    }
  }

  /** The try succeeded, or the pod needs no node any more. */
  done(queued: QueuedPod): void {
    this.#inFlight.delete(objectKey(queued.pod));
  }

  /** The try found no node. A helpful event that came meanwhile counts. */
  park(queued: QueuedPod, rejectedBy: ReadonlySet<FilterName>): void {
    const key = objectKey(queued.pod);
    if (!this.#inFlight.delete(key) || this.#active.has(key)) return; // deleted or changed meanwhile
    const nowMs = this.#clock.nowMs();
    const entry = { ...queued, unschedulableCount: queued.unschedulableCount + 1, errorCount: 0 };
    const missed = [...rejectedBy]
      .flatMap((filter) => helpfulEvents[filter])
      .some((event) => (this.#lastSeen.get(event) ?? 0) > queued.poppedAt);
    if (missed) this.#backOff(entry, entry.unschedulableCount, nowMs);
    else this.#parked.set(key, { ...entry, rejectedBy, parkedMs: nowMs });
  }

  /** The try failed for a reason that has nothing to do with the pod's wishes. */
  retryLater(queued: QueuedPod): void {
    const key = objectKey(queued.pod);
    if (!this.#inFlight.delete(key) || this.#active.has(key)) return; // deleted or changed meanwhile
    const entry = { ...queued, errorCount: queued.errorCount + 1 };
    this.#backOff(entry, entry.errorCount, this.#clock.nowMs());
  }

  /** Something changed in the cluster: pods that it may help leave the unschedulable place. */
  notice(event: ClusterEvent): void {
    this.#lastSeen.set(event, ++this.#eventCount);
    for (const [key, parked] of this.#parked) {
      if (![...parked.rejectedBy].some((filter) => helpfulEvents[filter].includes(event))) continue;
      this.#parked.delete(key);
      this.#moveOn(parked, this.#clock.nowMs());
    }
  }

  #moveOn(parked: Parked, nowMs: number): void {
    const readyMs = parked.parkedMs + backoffMs(parked.unschedulableCount);
    const key = objectKey(parked.pod);
    if (readyMs <= nowMs) this.#active.set(key, parked);
    else this.#backoff.set(key, { ...parked, readyMs });
    this.#wake();
  }

  #backOff(entry: QueuedPod, count: number, nowMs: number): void {
    this.#backoff.set(objectKey(entry.pod), { ...entry, readyMs: nowMs + backoffMs(count) });
    this.#wake();
  }

  #release(nowMs: number): void {
    for (const [key, entry] of this.#backoff) {
      if (entry.readyMs > nowMs) continue;
      this.#backoff.delete(key);
      this.#active.set(key, entry);
    }
    for (const [key, entry] of this.#parked) {
      if (nowMs - entry.parkedMs < parkedMaxMs) continue;
      this.#parked.delete(key);
      this.#moveOn(entry, nowMs);
    }
  }

  async #untilWoken(nowMs: number, signal: AbortSignal): Promise<void> {
    const dueMs = Math.min(
      ...[...this.#backoff.values()].map(({ readyMs }) => readyMs),
      ...[...this.#parked.values()].map(({ parkedMs }) => parkedMs + parkedMaxMs),
    );
    const woken = new AbortController();
    this.#wake = () => woken.abort();
    const either = AbortSignal.any([signal, woken.signal]);
    if (Number.isFinite(dueMs)) await this.#clock.sleep(Math.max(1, dueMs - nowMs), either);
    else if (!either.aborted) {
      await new Promise<void>((resolve) => either.addEventListener('abort', () => resolve(), { once: true }));
    }
  }
}

function backoffMs(count: number): number {
  return Math.min(backoffInitialMs * 2 ** Math.max(0, count - 1), backoffMaxMs);
}

/** Highest priority, then oldest. */
function first<T extends QueuedPod>(pods: Iterable<T>): T | undefined {
  let best: T | undefined;
  for (const pod of pods) {
    if (best === undefined || compare(pod, best) < 0) best = pod;
  }
  return best;
}

function compare(a: QueuedPod, b: QueuedPod): number {
  return (b.pod.spec.priority ?? 0) - (a.pod.spec.priority ?? 0) || a.queuedMs - b.queuedMs;
}
