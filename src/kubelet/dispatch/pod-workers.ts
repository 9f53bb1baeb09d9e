/**
 * Whose turn it is: one lane per pod uid. A lane runs one turn at a time, always with the newest update, and knows how
 * far the pod has come (next-pod-state.ts). Lanes share nothing: what hangs in one pod's turn costs that pod alone.
 */
import { waitIsOver } from '../../base/quiet-abort.ts';
import type { Clock } from '../../base/clock.ts';
import { describeError } from '../../base/errors.ts';
import type { Logger } from '../../base/logger.ts';
import { aborted } from '../../base/run-together.ts';
import type { Pod } from '../../objects/generated/core-v1.ts';
import { type KillOptions, isStaticPod, podFullName, podKey, uidOf } from '../pod-model.ts';
import {
  type GraceRule,
  type PodState,
  type PodUpdate,
  type TurnOutcome,
  afterTurn,
  applyUpdate,
} from './next-pod-state.ts';

/** Made once: each abort without a reason would make an exception with its stack. */
const wakeReason = new Error('the lane has work');

/** What the event `ExceededGracePeriod` says when a kill that somebody waited for took too long. */
export const exceededGracePeriod = 'Container runtime did not kill the pod within specified grace period.';

/** So many turns in a row may each come from what the one before has done: no pod's start takes as many. */
const ownTurnsMax = 10;
/** Then what the runtime does is waited for as long as one that only lists takes to see it. */
const restlessDelayMs = 1000;

export interface PodTurns {
  /** Brings a pod nearer to what it should be. `interrupt` aborts when the pod is to end meanwhile. */
  sync(pod: Pod, interrupt: AbortSignal, signal: AbortSignal): Promise<TurnOutcome>;
  /** Ends the pod's containers. Done only when none runs any more. `signal` also aborts when the time is cut short. */
  terminate(state: PodState, signal: AbortSignal): Promise<TurnOutcome>;
  /** Cleans up after a pod of which nothing runs. */
  finish(state: PodState, signal: AbortSignal): Promise<TurnOutcome>;
}

interface PodWorkersNeed extends PodTurns {
  graceOf: GraceRule;
  resyncMs: number;
  /** A lane has ended: its pod is finished. */
  onFinished(uid: string): void;
  clock: Clock;
  log: Logger;
}

/** How a lane's turns go, for those who explain it; times are of the wall clock. */
export interface TurnInfo {
  /** Why the latest turn did not come to its end. */
  failure?: string;
  /** When it is tried again after that. */
  retryMs?: number;
  /** When the next turn is due, whatever the reason. */
  nextMs?: number;
}

interface Lane {
  state: PodState;
  isDirty: boolean;
  isTurning: boolean;
  /** What the runtime showed of the pod during the turn in progress. */
  seen: 'nothing' | 'change' | 'news';
  turn: TurnInfo;
  wake: () => void;
  /** Aborts what the turn in progress may let go of. */
  interrupt: AbortController;
  terminated: PromiseWithResolvers<void>;
  done: Promise<void>;
}

export class PodWorkers {
  readonly #need: PodWorkersNeed;
  readonly #lanes = new Map<string, Lane>();
  #signal: AbortSignal | undefined;

  constructor(need: PodWorkersNeed) {
    this.#need = need;
  }

  /** Lives until `signal` aborts, then waits for the turns in progress. */
  async run(signal: AbortSignal): Promise<void> {
    this.#signal = signal;
    for (const [uid, lane] of this.#lanes) lane.done = this.#live(uid, lane, signal);
    await aborted(signal);
    await Promise.allSettled([...this.#lanes.values()].map(({ done }) => done));
  }

  /** The newest wish for a pod, or word that it must end. A finished pod takes no more updates. */
  update(update: PodUpdate): void {
    const uid = uidOf(update.pod);
    const lane = this.#lanes.get(uid);
    const { state, interrupts } = applyUpdate(lane?.state, update, this.#need.graceOf);
    if (lane === undefined) {
      this.#open(uid, state);
      return;
    }
    lane.state = state;
    if (interrupts) lane.interrupt.abort();
    this.#touch(lane);
  }

  /** Something about the pod has changed: take a turn. */
  mark(uid: string): void {
    const lane = this.#lanes.get(uid);
    if (lane !== undefined) this.#touch(lane);
  }

  /**
   * The runtime shows a change of the pod. One that is no news and comes with a turn that fails is no reason for another
   * turn at once: what never comes up would be tried again and again.
   */
  noteChange(uid: string, isNews: boolean): void {
    const lane = this.#lanes.get(uid);
    if (lane?.isTurning !== true) this.mark(uid);
    else if (lane.seen !== 'news') lane.seen = isNews ? 'news' : 'change';
  }

  /**
   * Ends a pod and waits until none of its containers runs, or half as long again as it may take, ten seconds at least.
   * @returns whether none runs
   */
  async kill(pod: Pod, kill: KillOptions, signal: AbortSignal): Promise<boolean> {
    const uid = uidOf(pod);
    this.update({ pod, kill });
    const lane = this.#lanes.get(uid);
    const graceSeconds = kill.gracePeriodSeconds ?? pod.spec.terminationGracePeriodSeconds ?? 0;
    const limitMs = Math.max(10, graceSeconds + Math.floor(graceSeconds / 2)) * 1000;
    const isOver = new AbortController();
    const limit = this.#need.clock.sleep(limitMs, AbortSignal.any([signal, isOver.signal]));
    await Promise.race([lane?.terminated.promise, limit]);
    isOver.abort(waitIsOver);
    return !this.isActive(uid);
  }

  state(uid: string): PodState | undefined {
    return this.#lanes.get(uid)?.state;
  }

  turn(uid: string): TurnInfo {
    return this.#lanes.get(uid)?.turn ?? {};
  }

  uids(): string[] {
    return [...this.#lanes.keys()];
  }

  /** A turn of the pod is in progress. */
  isBusy(uid: string): boolean {
    return this.#lanes.get(uid)?.isTurning === true;
  }

  /** Its containers run, are to run, or are being ended: it uses the node. */
  isActive(uid: string): boolean {
    const phase = this.#lanes.get(uid)?.state.phase;
    return phase === 'sync' || phase === 'terminating';
  }

  isFinished(uid: string): boolean {
    return this.#lanes.get(uid)?.state.phase === 'finished';
  }

  /** Not asked to end, as far as this node knows. */
  isTerminating(uid: string): boolean {
    const phase = this.#lanes.get(uid)?.state.phase;
    return phase !== undefined && phase !== 'sync';
  }

  /** Whether containers of the pod may still run. An unknown pod's can, until all sources have spoken. */
  couldHaveRunningContainers(uid: string, allSourcesSpoke: boolean): boolean {
    const phase = this.#lanes.get(uid)?.state.phase;
    if (phase === undefined) return !allSourcesSpoke;
    return phase === 'sync' || phase === 'terminating';
  }

  /** Drops a finished pod that nobody desires any more; its uid may come back as a new pod. */
  forget(uid: string): void {
    if (this.isFinished(uid)) this.#lanes.delete(uid);
  }

  #open(uid: string, state: PodState): void {
    const lane: Lane = {
      state,
      isDirty: true,
      isTurning: false,
      seen: 'nothing',
      turn: {},
      wake: () => {},
      interrupt: new AbortController(),
      terminated: Promise.withResolvers(),
      done: Promise.resolve(),
    };
    this.#lanes.set(uid, lane);
    if (state.phase === 'terminated') lane.terminated.resolve();
    if (this.#signal !== undefined) lane.done = this.#live(uid, lane, this.#signal);
  }

  #touch(lane: Lane): void {
    lane.isDirty = true;
    lane.wake();
  }

  async #live(uid: string, lane: Lane, signal: AbortSignal): Promise<void> {
    const { clock, resyncMs, log } = this.#need;
    let delayMs: number | undefined;
    let ownTurns = 0;
    while (!signal.aborted) {
      if (!lane.isDirty && delayMs !== undefined) {
        const woken = new AbortController();
        lane.wake = () => woken.abort(wakeReason);
        await clock.sleep(delayMs, AbortSignal.any([signal, woken.signal]));
        if (signal.aborted) return;
      }
      lane.isDirty = false;
      lane.interrupt = new AbortController();
      const { phase } = lane.state;
      lane.seen = 'nothing';
      lane.isTurning = true;
      const outcome = await this.#turn(lane, signal);
      lane.isTurning = false;
      if (signal.aborted) return;
      ownTurns = asksForTurn(lane, outcome) && !lane.isDirty ? ownTurns + 1 : 0;
      if (ownTurns > 0 && ownTurns <= ownTurnsMax) lane.isDirty = true;
      if (outcome.kind === 'failed') {
        log.debug({ uid, pod: podKey(lane.state.pod), phase, reason: outcome.message }, 'pod turn failed, will retry');
      }
      // An update may have moved the pod on while the turn ran: then the turn's outcome is of the past.
      if (lane.state.phase !== phase) {
        delayMs = undefined;
        continue;
      }
      const next = afterTurn(phase, outcome, resyncMs, Math.random());
      delayMs = ownTurns > ownTurnsMax ? restlessDelayMs : next.delayMs;
      const nextMs = clock.nowMs() + (delayMs ?? 0);
      lane.turn = { nextMs, ...(outcome.kind === 'failed' ? { failure: outcome.message, retryMs: nextMs } : {}) };
      if (next.phase === 'terminating' && phase === 'sync') {
        const overrideStatus = outcome.kind === 'terminal' ? outcome.override : undefined;
        lane.state = applyUpdate(
          lane.state,
          { pod: lane.state.pod, kill: { overrideStatus } },
          this.#need.graceOf,
        ).state;
        continue;
      }
      lane.state = { ...lane.state, phase: next.phase };
      if (next.phase === 'terminated') lane.terminated.resolve();
      if (next.phase === 'finished') {
        this.#need.onFinished(uid);
        this.#wakeStaticsNamed(podFullName(lane.state.pod));
        return;
      }
    }
  }

  async #turn(lane: Lane, signal: AbortSignal): Promise<TurnOutcome> {
    const { state, interrupt } = lane;
    try {
      switch (state.phase) {
        case 'sync': {
          const other = this.#staticBefore(lane);
          if (other !== undefined) {
            return {
              kind: 'failed',
              message: `static pod "${podKey(state.pod)}" waits for its predecessor "${other}" to end`,
            };
          }
          return await this.#need.sync(state.pod, AbortSignal.any([signal, interrupt.signal]), signal);
        }
        case 'terminating':
          return await this.#need.terminate(state, AbortSignal.any([signal, interrupt.signal]));
        case 'terminated':
        case 'finished':
          return await this.#need.finish(state, signal);
      }
    } catch (err) {
      if (interrupt.signal.aborted) return { kind: 'interrupted' };
      if (!signal.aborted)
        this.#need.log.warn({ err, pod: podKey(state.pod), uid: uidOf(state.pod) }, 'pod turn failed, will retry');
      return { kind: 'failed', message: describeError(err) };
    }
  }

  /** Static pods of one name run one after the other: an edited manifest is a new pod with the old one's name. */
  #staticBefore(lane: Lane): string | undefined {
    if (!isStaticPod(lane.state.pod)) return undefined;
    const name = podFullName(lane.state.pod);
    for (const [uid, other] of this.#lanes) {
      if (other === lane) return undefined; // lanes are kept in the order in which they were opened
      if (other.state.phase !== 'finished' && podFullName(other.state.pod) === name) return uid;
    }
    return undefined;
  }

  #wakeStaticsNamed(name: string): void {
    for (const lane of this.#lanes.values()) {
      if (lane.state.phase === 'sync' && podFullName(lane.state.pod) === name) this.#touch(lane);
    }
  }
}

const asksForTurn = ({ seen }: Pick<Lane, 'seen'>, { kind }: TurnOutcome): boolean =>
  seen === 'news' || (seen === 'change' && kind !== 'failed');
