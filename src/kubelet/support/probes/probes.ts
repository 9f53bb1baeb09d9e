/**
 * Liveness, readiness and startup probes. Owns one worker per (pod, container, kind) and the latest result of each
 * container instance.
 *
 * Promises: a result is told through `onResult` when it changes, not at each attempt; every failed attempt makes an
 * event. A container that ran before this process has no result until it was asked, so that what the API says of it
 * can stay. A slow or hung probe holds up nobody but itself. When `run` has settled, nothing is left running.
 *
 * Needs: pod statuses as last reported, the runtime's `ExecSync`, a place for events.
 */
import type { Clock } from '../../../base/clock.ts';
import type { Logger } from '../../../base/logger.ts';
import { waitIsOver } from '../../../base/quiet-abort.ts';
import { aborted } from '../../../base/run-together.ts';
import type { Pod, PodStatus } from '../../../objects/generated/core-v1.ts';
import {
  type ProbeResult,
  type ProbeResults,
  containerFieldPath,
  podContainers,
  podKey,
  uidOf,
} from '../../pod-model.ts';
import { type ProbeKind, type ProbeTarget, bareContainerId } from './next-probe-step.ts';
import type { ProbeEvent } from './probe-events.ts';
import { type ProbeOutcome } from './probe-outcome.ts';
import { ProbeMetrics } from './probe-metrics.ts';
import { ProbeWorker } from './probe-worker.ts';
import type { ExecSync } from './prober-exec.ts';

export type { ProbeEvent, ProbeKind, ProbeOutcome, ProbeTarget };

export interface ProbeResultChange {
  podUid: string;
  container: string;
  containerId: string;
  kind: ProbeKind;
  result: ProbeResult;
}

export interface ProbesNeed {
  /** As last reported; undefined before the first status and after the pod's end. */
  podStatus(podUid: string): PodStatus | undefined;
  execSync: ExecSync;
  onResult(change: ProbeResultChange): void;
  /** `fieldPath` names the container in the event's reference: `spec.containers{web}`. */
  event(pod: Pod, fieldPath: string, event: ProbeEvent): void;
  /** Told of each attempt. */
  onAttempt?(target: ProbeTarget, outcome: ProbeOutcome): void;
  /** Wall clock at the start of this process. */
  kubeletStartedMs: number;
  /** For tests; `Math.random` otherwise. */
  random?: () => number;
  clock: Clock;
  log: Logger;
}

const kinds: readonly ProbeKind[] = ['liveness', 'readiness', 'startup'];
const specOf = { liveness: 'livenessProbe', readiness: 'readinessProbe', startup: 'startupProbe' } as const;

interface Running {
  worker: ProbeWorker;
  stop: AbortController;
  /** Stopped, or the container will not run again; kept so that `addPod` does not begin anew. */
  isOver: boolean;
}

export class Probes implements ProbeResults {
  readonly #need: ProbesNeed;
  readonly #metrics: ProbeMetrics;
  /** By pod uid, then `container/kind`. */
  readonly #workers = new Map<string, Map<string, Running>>();
  readonly #results: Record<ProbeKind, Map<string, ProbeResult>> = {
    liveness: new Map(),
    readiness: new Map(),
    startup: new Map(),
  };
  readonly #ending = new Set<Promise<void>>();
  #runSignal: AbortSignal | undefined;

  constructor(need: ProbesNeed) {
    this.#need = need;
    this.#metrics = new ProbeMetrics(need.kubeletStartedMs);
  }

  /** Starts what the pod's containers ask for; for a pod that is known, notes its newest version. */
  addPod(pod: Pod): void {
    const uid = uidOf(pod);
    const workers = this.#workers.get(uid) ?? new Map<string, Running>();
    for (const { kind: containerKind, spec: container } of podContainers(pod)) {
      if (containerKind !== 'regular' && containerKind !== 'sidecar') continue;
      for (const kind of kinds) {
        const spec = container[specOf[kind]];
        if (spec === undefined) continue;
        const key = `${container.name}/${kind}`;
        const known = workers.get(key);
        if (known !== undefined) {
          known.worker.update(pod);
          continue;
        }
        const worker = this.#makeWorker({ pod, container, isSidecar: containerKind === 'sidecar', kind, spec });
        const running = { worker, stop: new AbortController(), isOver: false };
        workers.set(key, running);
        this.#start(running);
      }
    }
    if (workers.size > 0) this.#workers.set(uid, workers);
  }

  /** Ends the pod's probes and forgets their results. */
  removePod(podUid: string): void {
    for (const running of this.#workers.get(podUid)?.values() ?? []) {
      this.#stop(running);
      const { containerId, target } = running.worker;
      if (containerId !== undefined) this.#results[target.kind].delete(containerId);
    }
    this.#workers.delete(podUid);
  }

  /** For a pod that is being stopped: only readiness is still asked, and sidecars, which run on. The last results stay. */
  stopLivenessAndStartup(podUid: string): void {
    for (const running of this.#workers.get(podUid)?.values() ?? []) {
      const { isSidecar, kind } = running.worker.target;
      if (kind !== 'readiness' && !isSidecar) this.#stop(running);
    }
  }

  /** Ids may have the form `containerd://abc` or `abc`, here and below. */
  liveness(containerId: string): ProbeResult | undefined {
    return this.#result('liveness', containerId);
  }

  readiness(containerId: string): ProbeResult | undefined {
    return this.#result('readiness', containerId);
  }

  startup(containerId: string): ProbeResult | undefined {
    return this.#result('startup', containerId);
  }

  /**
   * To be called when a new status of the pod is stored: what has started and is not ready is asked at once, against
   * that status, instead of when its period is over.
   */
  statusChanged(podUid: string): void {
    const workers = this.#workers.get(podUid);
    const status = workers === undefined ? undefined : this.#need.podStatus(podUid);
    for (const { name, started, ready } of [
      ...(status?.containerStatuses ?? []),
      ...(status?.initContainerStatuses ?? []),
    ]) {
      if (started === true && !ready) workers?.get(`${name}/readiness`)?.worker.trigger();
    }
  }

  /** The page `/metrics/probes`. */
  metrics(): Promise<string> {
    return this.#metrics.text();
  }

  /** Probes run while this runs. */
  async run(signal: AbortSignal): Promise<void> {
    this.#runSignal = signal;
    for (const workers of this.#workers.values()) {
      for (const running of workers.values()) this.#start(running);
    }
    await aborted(signal);
    for (const workers of this.#workers.values()) {
      for (const { stop } of workers.values()) stop.abort(waitIsOver);
    }
    await Promise.all(this.#ending);
    this.#runSignal = undefined;
  }

  #start(running: Running): void {
    if (this.#runSignal === undefined || this.#runSignal.aborted || running.isOver) return; // `run` starts it
    const end = running.worker.run(running.stop.signal).finally(() => {
      this.#ending.delete(end);
      this.#stop(running);
    });
    this.#ending.add(end);
  }

  #stop(running: Running): void {
    running.isOver = true;
    running.stop.abort(waitIsOver);
    this.#metrics.remove(running.worker.target);
  }

  #result(kind: ProbeKind, containerId: string): ProbeResult | undefined {
    return this.#results[kind].get(bareContainerId(containerId) ?? '');
  }

  #makeWorker(target: ProbeTarget): ProbeWorker {
    const { podStatus, execSync, kubeletStartedMs, random = Math.random, clock, log } = this.#need;
    return new ProbeWorker(target, {
      podStatus,
      execSync,
      kubeletStartedMs,
      random,
      publish: ({ pod, container, kind }, containerId, result) => {
        if (this.#results[kind].get(containerId) === result) return;
        this.#results[kind].set(containerId, result);
        this.#need.onResult({ podUid: uidOf(pod), container: container.name, containerId, kind, result });
      },
      forget: ({ kind }, containerId) => this.#results[kind].delete(containerId),
      event: ({ pod, container, isSidecar }, event) =>
        this.#need.event(pod, containerFieldPath(isSidecar ? 'sidecar' : 'regular', container.name), event),
      onAttempt: (of, outcome, durationMs) => {
        this.#metrics.observe(of, outcome, durationMs);
        this.#need.onAttempt?.(of, outcome);
      },
      clock,
      log: log.child({ pod: podKey(target.pod), uid: uidOf(target.pod), container: target.container.name }),
    });
  }
}
