/**
 * What is so: a picture of every pod in the runtime, and word when it changes.
 *
 * Owns the pictures. Promises: a pod's picture is never replaced by an older one; a pod whose inspection hangs or fails
 * keeps its old picture and is tried again, and holds up nobody else. Three things make it look: a listing every
 * second (every half minute while the runtime streams events), the runtime's events, and `inspect` after our own acts.
 */
import type { Cri } from '../../adapters/cri/cri.ts';
import type { CriSandboxStatus } from '../../adapters/cri/cri-types.ts';
import type { Clock } from '../../base/clock.ts';
import { withDeadline } from '../../base/deadline.ts';
import { isNotFound, isUnimplemented } from '../../base/errors.ts';
import { KeyedRunner } from '../../base/keyed-runner.ts';
import type { Logger } from '../../base/logger.ts';
import { aborted, runTogether } from '../../base/run-together.ts';
import type { ObservedContainer, ObservedPod } from '../pod-model.ts';
import { diffPods, isNews, makeObservedPod, pictureSignature, podSignatures } from './diff-pods.ts';

interface ObserveNeed {
  cri: Pick<Cri, 'listPodSandboxes' | 'listContainers' | 'podSandboxStatus' | 'containerStatus' | 'containerEvents'>;
  /** A pod's picture changed, or it is gone from the runtime. `isNews`: something of it has come up or has ended. */
  onChange(uid: string, isNews: boolean): void;
  /** Somebody works on the pod now and looks for himself afterwards: a listing leaves it alone meanwhile. */
  isBusy(uid: string): boolean;
  relistPeriodMs: number;
  /** Told of each listing of the runtime: how long it took, and how long after the one before it began. */
  onRelist?(durationMs: number, gapMs: number | undefined): void;
  clock: Clock;
  log: Logger;
}

const relistPeriodWithEventsMs = 30_000;
/** One pod's look at the runtime may take this long; then the pod is tried again at the next listing. */
const inspectTimeoutMs = 30_000;
/** The runtime counts as unhealthy when no listing has succeeded for this long. */
export const relistThresholdMs = 180_000;
const eventFailuresMax = 5;
/** Between one listing and the next, pods with short-lived containers are looked at after these waits. */
const closeLooksMs = [30, 50, 80, 130, 210, 340];

export class Observe {
  readonly #need: ObserveNeed;
  readonly #pods = new Map<string, ObservedPod>();
  readonly #seen = new Map<string, string>();
  /** Pods that the runtime has, by the newest listing. */
  #listed = new Set<string>();
  /** Pods of which the latest look failed: their picture may be of the past. */
  readonly #failed = new Set<string>();
  readonly #inspections: KeyedRunner;
  #signal: AbortSignal = AbortSignal.abort();
  #lastRelistMs: number | undefined;
  #hasEvents = false;
  readonly #closely = new Set<string>();
  readonly #firstLook = Promise.withResolvers<void>();

  constructor(need: ObserveNeed) {
    this.#need = need;
    this.#inspections = new KeyedRunner((uid) => this.#inspectQuietly(uid));
  }

  get(uid: string): ObservedPod | undefined {
    return this.#pods.get(uid);
  }

  list(): IterableIterator<ObservedPod> {
    return this.#pods.values();
  }

  /** The runtime has something of the pod, and no look at it has succeeded yet: what, only a look can tell. */
  isUnseen(uid: string): boolean {
    return this.#listed.has(uid) && !this.#pods.has(uid);
  }

  /** What is known of the pod may not be so: nobody has looked at it yet, or the latest look failed. */
  isInDoubt(uid: string): boolean {
    return this.isUnseen(uid) || this.#failed.has(uid);
  }

  /** Resolves when the runtime was listed once and every pod in it was looked at once. */
  get firstLook(): Promise<void> {
    return this.#firstLook.promise;
  }

  /** Why the picture cannot be trusted, in upstream's words; undefined when it can. */
  unhealthy(): string | undefined {
    if (this.#lastRelistMs === undefined) return 'PLEG is not healthy: pleg has yet to be successful';
    const agoMs = this.#need.clock.monotonicMs() - this.#lastRelistMs;
    if (agoMs <= relistThresholdMs) return undefined;
    return `PLEG is not healthy: pleg was last seen active ${goMinutes(agoMs)} ago; threshold is ${goMinutes(relistThresholdMs)}`;
  }

  async run(signal: AbortSignal): Promise<void> {
    this.#signal = signal;
    await runTogether(signal, [(s) => this.#relistLoop(s), (s) => this.#eventLoop(s)]);
    await this.#inspections.whenIdle();
  }

  /** Looks at one pod now and returns the new picture. @throws when the runtime cannot tell */
  async inspect(uid: string, signal: AbortSignal): Promise<ObservedPod | undefined> {
    const { cri, clock } = this.#need;
    const observedMs = clock.monotonicMs();
    const [sandboxes, containers] = await Promise.all([
      cri.listPodSandboxes({ podUid: uid }, signal),
      cri.listContainers({ podUid: uid }, signal),
    ]);
    if (sandboxes.length === 0 && containers.length === 0) {
      this.#forget(uid, observedMs);
      return undefined;
    }
    const [sandboxStatuses, containerStatuses] = await Promise.all([
      Promise.all(sandboxes.map(({ id }) => unlessGone(cri.podSandboxStatus(id, signal)))),
      Promise.all(
        containers.map(async ({ id, sandboxId }): Promise<ObservedContainer | undefined> => {
          const status = await unlessGone(cri.containerStatus(id, signal));
          return status === undefined ? undefined : { ...status, sandboxId };
        }),
      ),
    ]);
    const before = this.#pods.get(uid);
    this.#failed.delete(uid);
    const pod = makeObservedPod(
      uid,
      sandboxStatuses.filter((status) => status !== undefined),
      containerStatuses.filter((status) => status !== undefined),
      before,
      observedMs,
    );
    if (before !== undefined && before.observedMs > observedMs) return before;
    this.#pods.set(uid, pod);
    const signature = podSignatures(sandboxes, containers).get(uid) ?? '';
    if (this.#seen.get(uid) !== signature || before === undefined) {
      this.#seen.set(uid, signature);
      this.#need.onChange(uid, isNews(before, pod));
    }
    return pod;
  }

  /**
   * Looks only at containers that were started just now, in a sandbox that the picture has; all else stays as it was
   * seen, and the next listing tells if that has changed. Falls back to a whole look.
   */
  async inspectStarted(
    uid: string,
    sandboxId: string,
    containerIds: readonly string[],
    signal: AbortSignal,
  ): Promise<ObservedPod | undefined> {
    const { cri, clock } = this.#need;
    const observedMs = clock.monotonicMs();
    const statuses = await Promise.all(containerIds.map((id) => unlessGone(cri.containerStatus(id, signal))));
    const started = statuses.flatMap((status) => (status === undefined ? [] : [{ ...status, sandboxId }]));
    const before = this.#pods.get(uid);
    const isKnown = before?.sandboxes[0]?.id === sandboxId && before.observedMs <= observedMs;
    if (!isKnown || started.length < containerIds.length) return await this.inspect(uid, signal);
    const others = before.containers.filter(({ id }) => !containerIds.includes(id));
    const pod = makeObservedPod(uid, before.sandboxes, [...started, ...others], before, observedMs);
    this.#pods.set(uid, pod);
    this.#seen.set(uid, pictureSignature(pod));
    this.#need.onChange(uid, isNews(before, pod));
    return pod;
  }

  /** Adds a sandbox that was started just now to the pod's picture, before anybody has looked again. */
  noteSandbox(uid: string, sandbox: CriSandboxStatus): ObservedPod {
    const before = this.#pods.get(uid);
    const others = before?.sandboxes.filter(({ id }) => id !== sandbox.id) ?? [];
    const pod = makeObservedPod(
      uid,
      [sandbox, ...others],
      before?.containers ?? [],
      before,
      this.#need.clock.monotonicMs(),
    );
    this.#pods.set(uid, pod);
    this.#need.onChange(uid, isNews(before, pod));
    return pod;
  }

  /** A change of the pod is expected soon (a short-lived container was started): look at it often for a while. */
  lookClosely(uid: string): void {
    if (this.#hasEvents || this.#closely.has(uid) || this.#signal.aborted) return;
    this.#closely.add(uid);
    const signal = this.#signal;
    const look = async (): Promise<void> => {
      for (const waitMs of closeLooksMs) {
        await this.#need.clock.sleep(waitMs, signal);
        if (signal.aborted || !this.#pods.has(uid)) break;
        await this.#inspectQuietly(uid);
      }
      this.#closely.delete(uid);
    };
    void look(); // #inspectQuietly does not reject
  }

  #forget(uid: string, observedMs: number): void {
    this.#listed.delete(uid);
    const before = this.#pods.get(uid);
    if (before !== undefined && before.observedMs > observedMs) return; // what was seen later counts, until it is gone
    this.#seen.delete(uid);
    this.#failed.delete(uid);
    if (this.#pods.delete(uid)) this.#need.onChange(uid, isNews(before, undefined));
  }

  async #relistLoop(signal: AbortSignal): Promise<void> {
    const { clock, log, relistPeriodMs } = this.#need;
    while (!signal.aborted) {
      try {
        await this.#relist(signal);
      } catch (err) {
        if (signal.aborted) return;
        log.warn({ err }, 'cannot list pods of the container runtime, will retry');
      }
      await clock.sleep(this.#hasEvents ? Math.max(relistPeriodMs, relistPeriodWithEventsMs) : relistPeriodMs, signal);
    }
  }

  async #relist(signal: AbortSignal): Promise<void> {
    const { cri, clock } = this.#need;
    const startMs = clock.monotonicMs();
    const [sandboxes, containers] = await Promise.all([
      cri.listPodSandboxes({}, signal),
      cri.listContainers({}, signal),
    ]);
    const signatures = podSignatures(sandboxes, containers);
    this.#listed = new Set(signatures.keys());
    const { changed, gone } = diffPods(this.#seen, signatures);
    for (const uid of gone) this.#forget(uid, startMs);
    for (const uid of changed) if (!this.#need.isBusy(uid)) this.#inspections.mark(uid);
    const isFirst = this.#lastRelistMs === undefined;
    const gapMs = this.#lastRelistMs === undefined ? undefined : startMs - this.#lastRelistMs;
    this.#need.onRelist?.(clock.monotonicMs() - startMs, gapMs);
    this.#lastRelistMs = startMs;
    // A hung pod must not keep the node from starting: the first look waits for the others only so long.
    if (isFirst) {
      await Promise.race([this.#inspections.whenIdle(), clock.sleep(5000, signal)]);
      this.#firstLook.resolve();
    }
  }

  async #inspectQuietly(uid: string): Promise<void> {
    const signal = this.#signal;
    try {
      await withDeadline(`the look at pod "${uid}"`, inspectTimeoutMs, this.#need.clock, signal, (s) =>
        this.inspect(uid, s),
      );
    } catch (err) {
      if (signal.aborted) return;
      if (this.#pods.has(uid)) this.#failed.add(uid);
      this.#need.log.warn({ err, uid }, 'cannot inspect a pod in the runtime, will retry');
    }
  }

  async #eventLoop(signal: AbortSignal): Promise<void> {
    const { cri, clock, log } = this.#need;
    for (let failures = 0; failures < eventFailuresMax && !signal.aborted; failures++) {
      try {
        for await (const { podUid } of cri.containerEvents(signal)) {
          this.#hasEvents = true;
          if (podUid !== undefined && podUid !== '') this.#inspections.mark(podUid);
        }
      } catch (err) {
        if (signal.aborted) return;
        if (isUnimplemented(err)) {
          log.info(
            { relistPeriodMs: this.#need.relistPeriodMs },
            'the container runtime has no event stream, listing instead',
          );
          break;
        }
        log.warn({ err, failures }, 'the event stream of the container runtime broke off');
      }
      this.#hasEvents = false;
      await clock.sleep(1000 * (failures + 1), signal);
    }
    this.#hasEvents = false;
    await aborted(signal);
  }
}

/** A duration of minutes as Go prints it: `3m0s`, `1h3m5.25s`. */
function goMinutes(ms: number): string {
  const minutes = Math.floor(ms / 60_000);
  const seconds = Number(((ms % 60_000) / 1000).toFixed(3));
  return minutes < 60 ? `${minutes}m${seconds}s` : `${Math.floor(minutes / 60)}h${minutes % 60}m${seconds}s`;
}

async function unlessGone<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (err) {
    if (isNotFound(err)) return undefined;
    throw err;
  }
}
