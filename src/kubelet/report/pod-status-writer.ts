/**
 * Tells the API how pods are: owns the newest status of each pod and brings the API's copy to it, one pod at a time,
 * several pods side by side. Also takes the last step of a pod's life: the delete that lets the object go.
 *
 * Promises: a status is never overtaken by an older one; what could not be written is written when the API is back;
 * a pod is deleted only when nothing of it is left here and the API shows it finished.
 */
import type { ApiClient } from '../../client/api-client.ts';
import { pods } from '../../client/resource-types.ts';
import { Backoff } from '../../base/backoff.ts';
import type { Clock } from '../../base/clock.ts';
import { isConflict, isNotFound } from '../../base/errors.ts';
import { KeyedRunner } from '../../base/keyed-runner.ts';
import type { Logger } from '../../base/logger.ts';
import type { Pod, PodStatus } from '../../objects/generated/core-v1.ts';
import { isMirrorPod, isTerminalPhase, podKey, uidOf } from '../pod-model.ts';
import { diffPodStatus, releaseStatus } from './diff-pod-status.ts';

interface PodStatusWriterNeed {
  /** Undefined without an API server: statuses are kept for those who ask here. */
  api: Pick<ApiClient, 'patch' | 'delete'> | undefined;
  /** The API's copy of a pod; of a static pod, its mirror. Undefined when the API has none. */
  apiCopy(uid: string): Pod | undefined;
  couldHaveRunningContainers(uid: string): boolean;
  /** Nothing is left of the pod on this node. */
  isFinished(uid: string): boolean;
  /** The API has a status that had changed so long ago. */
  onWritten?(sinceChangeMs: number): void;
  clock: Clock;
  log: Logger;
}

/** Starting a pod of which the image is there takes about as long, and so does cleaning up after one that has ended. */
const holdMs = 250;

export class PodStatusWriter {
  readonly #need: PodStatusWriterNeed;
  readonly #statuses = new Map<string, PodStatus>();
  /** What the API answered to our last write, until the watch has caught up. */
  readonly #answers = new Map<string, Pod>();
  /** When the status changed that the API does not have yet, by uid; monotonic. */
  readonly #changedMs = new Map<string, number>();
  /** Pods that start or end, whose status is told in a moment. */
  readonly #held = new Set<string>();
  /** Pods that wait for another try. */
  readonly #retrying = new Set<string>();
  readonly #backoff = new Backoff({ initialMs: 200, maxMs: 10_000, jitter: 0.5 });
  readonly #runner: KeyedRunner;
  #signal: AbortSignal = AbortSignal.abort();

  constructor(need: PodStatusWriterNeed) {
    this.#need = need;
    this.#runner = new KeyedRunner((uid) => this.#write(uid));
  }

  get(uid: string): PodStatus | undefined {
    return this.#statuses.get(uid);
  }

  set(uid: string, status: PodStatus): void {
    const isFirst = !this.#statuses.has(uid);
    this.#statuses.set(uid, status);
    if (!this.#changedMs.has(uid)) this.#changedMs.set(uid, this.#need.clock.monotonicMs());
    // an end that may not be told yet is told with the rest, when it may
    const isEarly = isTerminalPhase(status.phase) && this.#need.couldHaveRunningContainers(uid);
    if ((status.phase === 'Pending' && !isFirst) || isEarly) this.#markSoon(uid);
    else this.mark(uid);
  }

  /** A pod that is about to start or to be over says so, but not each step of the way: most are before the hold is over. */
  #markSoon(uid: string): void {
    if (this.#held.has(uid)) return;
    this.#held.add(uid);
    void this.#need.clock.sleep(holdMs, this.#signal).then(() => {
      this.#held.delete(uid);
      this.mark(uid);
    }); // never rejects
  }

  /** Something that the writer looks at has changed: the API's copy, or whether the pod is finished. */
  mark(uid: string): void {
    if (!this.#signal.aborted) this.#runner.mark(uid);
  }

  forget(uid: string): void {
    this.#statuses.delete(uid);
    this.#changedMs.delete(uid);
    this.#answers.delete(uid);
    this.#backoff.reset(uid);
  }

  uids(): string[] {
    return [...this.#statuses.keys()];
  }

  async run(signal: AbortSignal): Promise<void> {
    this.#signal = signal;
    const { clock } = this.#need;
    while (!signal.aborted) {
      for (const uid of this.#statuses.keys()) this.#runner.mark(uid);
      await clock.sleep(10_000, signal);
    }
    await this.#runner.whenIdle();
  }

  async #write(uid: string): Promise<void> {
    const { api, clock, log } = this.#need;
    const signal = this.#signal;
    const status = this.#statuses.get(uid);
    if (api === undefined || status === undefined || signal.aborted) return;
    let copy = this.#newestCopy(uid);
    if (copy === undefined) return;
    try {
      const apiStatus = copy.status ?? {};
      const told = releaseStatus(apiStatus, status, this.#need.couldHaveRunningContainers(uid));
      const patch = diffPodStatus(apiStatus, told);
      if (patch !== undefined) {
        const { name, namespace } = copy.metadata;
        const body = { metadata: { uid: copy.metadata.uid }, status: patch };
        copy = await api.patch(pods, { name, namespace, subresource: 'status' }, 'strategic', body, signal);
        if (this.#statuses.has(uid)) this.#answers.set(uid, copy); // else the pod was forgotten meanwhile
        const changedMs = this.#changedMs.get(uid);
        if (changedMs !== undefined) this.#need.onWritten?.(clock.monotonicMs() - changedMs);
      }
      if (this.#statuses.get(uid) === status) this.#changedMs.delete(uid);
      await this.#deleteIfFinished(uid, copy, signal);
      this.#backoff.reset(uid);
    } catch (err) {
      if (signal.aborted) return;
      // Gone, or another pod by that name: nothing to tell about this one.
      if (isNotFound(err) || isConflict(err)) {
        log.debug(
          { uid, pod: podKey(copy), reason: String(err) },
          'pod status not written: the pod is gone or replaced',
        );
        this.#answers.delete(uid);
        return;
      }
      if (!this.#statuses.has(uid)) return; // forgotten meanwhile: nobody is to be told any more
      const delayMs = this.#backoff.next(uid, clock.nowMs());
      log.warn({ err, uid, pod: podKey(copy), delayMs }, 'cannot write pod status, will retry');
      if (this.#retrying.has(uid)) return; // however often it is marked meanwhile
      this.#retrying.add(uid);
      void clock.sleep(delayMs, signal).then(() => {
        this.#retrying.delete(uid);
        this.mark(uid);
      }); // never rejects
    }
  }

  /** The answer to our own write may be newer than what the watch has told us. */
  #newestCopy(uid: string): Pod | undefined {
    const watched = this.#need.apiCopy(uid);
    const answered = this.#answers.get(uid);
    if (watched === undefined || answered === undefined) return watched;
    if (answered.metadata.uid !== watched.metadata.uid || version(watched) >= version(answered)) {
      this.#answers.delete(uid);
      return watched;
    }
    return answered;
  }

  async #deleteIfFinished(uid: string, copy: Pod, signal: AbortSignal): Promise<void> {
    const { api, log } = this.#need;
    if (api === undefined || copy.metadata.deletionTimestamp === undefined || isMirrorPod(copy)) return;
    if (!isTerminalPhase(copy.status?.phase) || !this.#need.isFinished(uid)) return;
    const { name, namespace, uid: apiUid } = copy.metadata;
    const preconditions = apiUid === undefined ? {} : { preconditions: { uid: apiUid } };
    await api.delete(pods, { name, namespace }, { gracePeriodSeconds: 0, ...preconditions }, signal);
    log.info({ pod: podKey(copy), uid: uidOf(copy) }, 'pod fully terminated and removed from the API');
    this.forget(uid);
  }
}

function version({ metadata }: Pod): bigint {
  const text = metadata.resourceVersion ?? '0';
  return /^\d+$/.test(text) ? BigInt(text) : 0n;
}
