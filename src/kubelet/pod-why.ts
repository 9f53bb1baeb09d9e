/**
 * Hears what happens to pods, keeps it as timelines, and answers why a pod is as it is: connects the timeline room with
 * the line. `gantry why pod` asks it over a socket; what is on disk answers when it is not there.
 */
import { chmod, mkdir } from 'node:fs/promises';
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import { runTogether } from '../base/run-together.ts';
import { isConditionTrue } from '../objects/conditions.ts';
import type { ContainerStateTerminated, Pod, PodStatus } from '../objects/generated/core-v1.ts';
import type { PodStore } from './desired/pod-store.ts';
import type { TurnOutcome } from './dispatch/next-pod-state.ts';
import type { PodWorkers } from './dispatch/pod-workers.ts';
import { type PodChange, isMirrorPod, podSource, uidOf } from './pod-model.ts';
import { podFacts } from './support/timeline/pod-facts.ts';
import { PodTimeline } from './support/timeline/pod-timeline.ts';
import { type LiveFacts, exitText, limitOf } from './support/timeline/scene.ts';
import { TimelineFile, adoptTimelines } from './support/timeline/timeline-file.ts';
import type { PodFacts, PodRecord } from './support/timeline/timeline-model.ts';
import { type WhyAnswer, computeWhy } from './support/timeline/why-answer.ts';
import { type WantedPod, WhyDoor } from './support/timeline/why-door.ts';
import { timelineDirectory, timelineFile, timelineSocket } from './support/timeline/timeline-paths.ts';

interface PodWhyNeed {
  rootDir: string;
  store: Pick<PodStore, 'get' | 'isComplete'>;
  workers: Pick<PodWorkers, 'state' | 'turn'>;
  status(uid: string): PodStatus | undefined;
  isRejected(uid: string): boolean;
  runtimeErrors(): readonly string[];
  networkError(): string | undefined;
  /** Told of each end of a container, once. */
  onExit(pod: Pod, container: string, terminated: ContainerStateTerminated): void;
  /** By how many bytes the disk with images has filled since the pod's pull began. */
  pullFilledBytes(uid: string, signal: AbortSignal): Promise<number | undefined>;
  clock: Clock;
  log: Logger;
}

/** One attempt of a probe. */
export interface ProbeAttempt {
  pod: Pod;
  container: string;
  kind: 'liveness' | 'readiness' | 'startup';
  hasSucceeded: boolean;
  text: string;
  periodMs: number;
}

/** A pod whose lane waits for one step for longer than such a step takes. */
export interface FencedPod {
  pod: string;
  uid: string;
  step: string;
  ageSeconds: number;
  limitSeconds: number;
}

interface LastAttempt {
  container: string;
  kind: ProbeAttempt['kind'];
  hasSucceeded: boolean;
  dueMs: number;
}

export class PodWhy {
  readonly #need: PodWhyNeed;
  readonly #file: TimelineFile;
  readonly timeline: PodTimeline;
  /** By uid, then container and kind. */
  readonly #probes = new Map<string, Map<string, LastAttempt>>();
  /** The facts that were written down last, by uid. */
  readonly #told = new Map<string, string>();

  constructor(need: PodWhyNeed) {
    this.#need = need;
    const { clock, log } = need;
    this.timeline = new PodTimeline({ onChange: (uid, isRepeat) => this.#file.mark(uid, isRepeat), clock });
    this.#file = new TimelineFile({
      path: timelineFile(need.rootDir),
      record: (uid) => this.#withFacts(this.timeline.record(uid)),
      uids: () => this.timeline.uids(),
      starts: () => this.timeline.starts,
      forgetOld: () => this.#forgetOld(),
      clock,
      log,
    });
  }

  /** Takes up what an earlier kubelet wrote down. */
  async open(): Promise<void> {
    const { rootDir, log } = this.#need;
    const directory = timelineDirectory(rootDir);
    await mkdir(directory, { recursive: true, mode: 0o700 });
    await chmod(directory, 0o700);
    this.timeline.adopt(await adoptTimelines(timelineFile(rootDir), log));
  }

  async run(signal: AbortSignal): Promise<void> {
    const door = new WhyDoor({
      path: timelineSocket(this.#need.rootDir),
      answer: (wanted, s) => this.answer(wanted, s),
      clock: this.#need.clock,
      log: this.#need.log,
    });
    await runTogether(signal, [(s) => this.#file.run(s), (s) => door.run(s)]);
  }

  async answer({ namespace, name, uid }: WantedPod, signal: AbortSignal): Promise<WhyAnswer> {
    this.#forgetOld();
    const records = this.timeline.find(namespace, name).map((record) => this.#withFacts(record) ?? record);
    const chosen = records.find((record) => uid === undefined || record.uid === uid);
    return computeWhy({
      namespace,
      name,
      uid,
      records,
      live: await this.#live(chosen?.uid ?? '', signal),
      names: this.timeline.names(),
      starts: this.timeline.starts,
      nowMs: this.#need.clock.nowMs(),
    });
  }

  fenced(): FencedPod[] {
    const nowMs = this.#need.clock.nowMs();
    return this.timeline.openSteps().flatMap(({ uid, namespace, name, span }) => {
      const limitMs = limitOf(span.name, this.#need.workers.state(uid)?.graceSeconds ?? 0);
      const ageMs = nowMs - span.startMs;
      if (ageMs <= limitMs) return [];
      const ageSeconds = Math.round(ageMs / 1000);
      return [{ pod: `${namespace}/${name}`, uid, step: span.name, ageSeconds, limitSeconds: limitMs / 1000 }];
    });
  }

  // ---- what is heard

  podsChanged(changes: readonly PodChange[]): void {
    for (const change of changes) if (!isMirrorPod(change.pod)) this.#podChanged(change);
  }

  #podChanged({ kind, pod }: PodChange): void {
    const uid = uidOf(pod);
    if (kind === 'remove') {
      this.#withFacts(this.timeline.record(uid));
      if (this.timeline.record(uid) !== undefined) this.timeline.note(pod, 'removed');
      return;
    }
    if (kind === 'add' && !this.timeline.has(uid, 'seen')) {
      const source = podSource(pod);
      this.timeline.note(pod, 'seen', 'ok', source === 'api' ? undefined : `from a ${source} source`);
    }
    if (pod.metadata.deletionTimestamp !== undefined && !this.timeline.has(uid, 'deletion')) {
      const grace = pod.metadata.deletionGracePeriodSeconds;
      this.timeline.note(pod, 'deletion', 'ok', grace === undefined ? undefined : `grace period ${grace}s`);
    }
  }

  /** @param old what was told before, here or by an earlier kubelet */
  statusChanged(pod: Pod, old: PodStatus | undefined, status: PodStatus): void {
    const uid = uidOf(pod);
    for (const exit of newExits(old, status)) {
      const { container, terminated } = exit;
      this.#need.onExit(pod, container, terminated);
      const words = [exitText({ ...terminated, reason: terminated.reason ?? '' }), terminated.message ?? ''];
      this.timeline.note(
        pod,
        `exited ${container}`,
        terminated.exitCode === 0 ? 'ok' : 'failed',
        words.filter((text) => text !== '').join(': '),
        this.#endMs(terminated),
      );
    }
    const wasReady = isConditionTrue(old?.conditions, 'Ready');
    const isReady = isConditionTrue(status.conditions, 'Ready');
    if (isReady && !wasReady) this.timeline.note(pod, 'ready');
    if (wasReady && !isReady) {
      const { reason, message } = status.conditions?.find(({ type }) => type === 'Ready') ?? {};
      this.timeline.note(pod, 'unready', 'ok', [reason, message].filter((text) => text !== undefined).join(': '));
    }
    const told = JSON.stringify(this.#facts(uid, pod, status, false));
    if (this.#told.get(uid) === told) return;
    this.#told.set(uid, told);
    this.timeline.touch(pod);
  }

  /** Statuses have whole seconds: what ended just now ended now, or it would seem to have ended before it began. */
  #endMs({ finishedAt }: ContainerStateTerminated): number {
    const nowMs = this.#need.clock.nowMs();
    const endMs = Date.parse(finishedAt ?? '');
    return Number.isFinite(endMs) && nowMs - endMs > freshMs ? endMs : nowMs;
  }

  /** What ends a turn without being a phase of its own. */
  turnEnded(pod: Pod, outcome: TurnOutcome): TurnOutcome {
    if (outcome.kind === 'failed' && outcome.message.startsWith('network is not ready')) {
      this.timeline.note(pod, 'network', 'failed', outcome.message.replace('network is not ready: ', ''));
    }
    return outcome;
  }

  /** Keeps the first attempt, each change, and how often it failed. */
  probed({ pod, container, kind, hasSucceeded, text, periodMs }: ProbeAttempt): void {
    const uid = uidOf(pod);
    const attempts = this.#probes.get(uid) ?? new Map<string, LastAttempt>();
    this.#probes.set(uid, attempts);
    const name = `${kind} ${container}`;
    const before = attempts.get(name)?.hasSucceeded ?? this.timeline.latestOutcome(uid, name) === 'ok';
    attempts.set(name, { container, kind, hasSucceeded, dueMs: this.#need.clock.nowMs() + periodMs });
    if (!hasSucceeded) this.timeline.note(pod, name, 'failed', text);
    else if (!before) this.timeline.note(pod, name);
  }

  /** Its lane has ended: how it ended is to be remembered. */
  finished(uid: string): void {
    this.#withFacts(this.timeline.record(uid));
  }

  /** Nothing of the pod is left here, and nobody asks for it. */
  gone(uid: string): void {
    this.timeline.markGone(uid);
    this.#probes.delete(uid);
  }

  // ---- what is known

  #withFacts(record: PodRecord | undefined): PodRecord | undefined {
    if (record === undefined) return undefined;
    const { uid } = record;
    const pod = this.#need.workers.state(uid)?.pod ?? this.#need.store.get(uid);
    if (pod === undefined) return record; // the facts of before
    const facts = this.#facts(uid, pod, this.#need.status(uid) ?? pod.status, true);
    this.timeline.setFacts(uid, facts);
    return { ...record, facts, factsMs: this.#need.clock.nowMs() };
  }

  #facts(uid: string, pod: Pod, status: PodStatus | undefined, withTurn: boolean): PodFacts {
    const state = this.#need.workers.state(uid);
    const { failure, retryMs } = withTurn ? this.#need.workers.turn(uid) : {};
    return podFacts({
      pod: this.#need.store.get(uid) ?? pod,
      status,
      lane: state?.phase,
      isRejected: this.#need.isRejected(uid),
      graceSeconds: state?.graceSeconds ?? 0,
      failure,
      retryMs,
    });
  }

  async #live(uid: string, signal: AbortSignal): Promise<LiveFacts> {
    const pullFilledBytes = await this.#need.pullFilledBytes(uid, signal);
    const nowMs = this.#need.clock.nowMs();
    return {
      pullFilledBytes,
      networkError: this.#need.networkError(),
      runtimeErrors: this.#need.runtimeErrors(),
      nextTurnMs: this.#need.workers.turn(uid).nextMs,
      // one that is long due is not asked any more
      probes: [...(this.#probes.get(uid)?.values() ?? [])].filter(
        ({ kind, hasSucceeded, dueMs }) => dueMs > nowMs - probeLateMs && !(kind === 'startup' && hasSucceeded),
      ),
    };
  }

  /** Pods that went while no kubelet was here are gone, too. */
  #forgetOld(): void {
    const { store, workers } = this.#need;
    if (store.isComplete) {
      for (const uid of this.timeline.uids()) {
        if (store.get(uid) === undefined && workers.state(uid) === undefined) this.gone(uid);
      }
    }
    this.timeline.forgetOld();
    for (const uid of this.#told.keys()) if (workers.state(uid) === undefined) this.#told.delete(uid);
  }
}

const probeLateMs = 5000;
const freshMs = 3000;

function newExits(
  old: PodStatus | undefined,
  status: PodStatus,
): Array<{ container: string; terminated: ContainerStateTerminated }> {
  const known = new Set(exitsOf(old).map(({ terminated }) => terminated.containerID));
  return exitsOf(status).filter(
    ({ terminated: { containerID } }) => containerID !== undefined && !known.has(containerID),
  );
}

function exitsOf(status: PodStatus | undefined): Array<{ container: string; terminated: ContainerStateTerminated }> {
  const all = [
    ...(status?.initContainerStatuses ?? []),
    ...(status?.containerStatuses ?? []),
    ...(status?.ephemeralContainerStatuses ?? []),
  ];
  return all.flatMap(({ name, state, lastState }) =>
    [lastState?.terminated, state?.terminated]
      .filter((terminated) => terminated !== undefined)
      .map((terminated) => ({ container: name, terminated })),
  );
}
