/** Where a pod stands in its life on this node, and what moves it on. Pure. */
import type { Pod } from '../../objects/generated/core-v1.ts';
import { type KillOptions, type StatusOverride, isTerminalPhase } from '../pod-model.ts';

/**
 * Never backwards: `sync` (should run) → `terminating` (its containers are ended) → `terminated` (nothing runs; what is
 * left of it is cleaned up) → `finished`.
 */
export type PodLifePhase = 'sync' | 'terminating' | 'terminated' | 'finished';

export interface PodState {
  phase: PodLifePhase;
  pod: Pod;
  /** Seconds the end may take; 0 until the end was asked for. It only shrinks. */
  graceSeconds: number;
  kill: KillOptions;
  /** Known only from the runtime: names and images, no spec. */
  isRuntimeOnly: boolean;
  /** A pod of the same uid has come while this one is on its way out: a manifest that was put back. */
  isWantedAgain?: boolean;
}

export interface PodUpdate {
  pod: Pod;
  /** Present when somebody asks for the pod's end. */
  kill?: KillOptions | undefined;
  isRuntimeOnly?: boolean | undefined;
  /** The pod was finished before this process began, and the runtime runs nothing of it: only cleaning up is left. */
  hasEnded?: boolean | undefined;
  /** The pod has come into what should run with this update. */
  isNew?: boolean | undefined;
}

/** Seconds for the pod's end, at least 1; an earlier decision (`stored`, 0 for none) can only be shortened. */
export type GraceRule = (pod: Pod, stored: number, override: number | undefined) => number;

export interface StateStep {
  state: PodState;
  /** The running sync is for a pod that is to end, or has less time to: let go of what it waits for. */
  interrupts: boolean;
}

export function applyUpdate(old: PodState | undefined, update: PodUpdate, graceOf: GraceRule): StateStep {
  const { pod, kill, isRuntimeOnly = false, hasEnded = false, isNew = false } = update;
  const before: PodState = old ?? { phase: 'sync', pod, graceSeconds: 0, kill: {}, isRuntimeOnly };
  if (isNew && before.phase !== 'sync') return { state: { ...before, isWantedAgain: true }, interrupts: false };
  // One that has come again may have another spec: what runs is ended by the one that it was started with. And what the
  // runtime alone knows of a pod never replaces what the API said of it.
  const keepsOld = before.isWantedAgain === true || (isRuntimeOnly && !before.isRuntimeOnly);
  const newest = keepsOld ? before.pod : pod;
  if (before.phase === 'terminated' || before.phase === 'finished')
    return { state: { ...before, pod: newest }, interrupts: false };
  if (old === undefined && hasEnded) return { state: { ...before, phase: 'terminated' }, interrupts: false };
  const isToEnd =
    before.phase === 'terminating' ||
    kill !== undefined ||
    isRuntimeOnly ||
    pod.metadata.deletionTimestamp !== undefined ||
    isTerminalPhase(pod.status?.phase);
  if (!isToEnd)
    return {
      state: { ...before, pod: newest, isRuntimeOnly: before.isRuntimeOnly && isRuntimeOnly },
      interrupts: false,
    };
  const options: KillOptions = { ...before.kill, ...definedOnly(kill) };
  const graceSeconds =
    isRuntimeOnly && old === undefined ? 1 : graceOf(newest, before.graceSeconds, options.gracePeriodSeconds);
  return {
    state: {
      phase: 'terminating',
      pod: newest,
      graceSeconds,
      kill: options,
      isRuntimeOnly: before.isRuntimeOnly && isRuntimeOnly,
      ...(before.isWantedAgain === true ? { isWantedAgain: true } : {}),
    },
    interrupts: before.phase === 'sync' || graceSeconds < before.graceSeconds,
  };
}

function definedOnly(kill: KillOptions | undefined): KillOptions {
  return Object.fromEntries(Object.entries(kill ?? {}).filter(([, value]) => value !== undefined));
}

export type TurnOutcome =
  | { kind: 'done' }
  /** The pod has come to its end: by itself, or, with an `override`, because this node cannot have it after all. */
  | { kind: 'terminal'; override?: StatusOverride | undefined }
  | { kind: 'interrupted' }
  /** `untilMs`: milliseconds until a back-off ends, when that is the reason. */
  | { kind: 'failed'; message: string; untilMs?: number | undefined };

const failedDelayMs = 10_000;
const networkDelayMs = 1000;

/** What follows a turn: the next phase, and when to look again (undefined: at once). `random` is in [0, 1). */
export function afterTurn(
  phase: PodLifePhase,
  outcome: TurnOutcome,
  resyncMs: number,
  random: number,
): { phase: PodLifePhase; delayMs: number | undefined } {
  const jittered = (ms: number): number => ms * (1 + 0.5 * random);
  switch (outcome.kind) {
    case 'interrupted':
      return { phase, delayMs: undefined };
    case 'failed': {
      if (outcome.untilMs !== undefined) {
        return { phase, delayMs: jittered(Math.min(Math.max(outcome.untilMs, 0), resyncMs)) };
      }
      return {
        phase,
        delayMs: jittered(outcome.message.includes('network is not ready') ? networkDelayMs : failedDelayMs),
      };
    }
    case 'terminal':
      return { phase: 'terminating', delayMs: undefined };
    case 'done':
      if (phase === 'terminating') return { phase: 'terminated', delayMs: undefined };
      if (phase === 'terminated') return { phase: 'finished', delayMs: undefined };
      return { phase, delayMs: jittered(resyncMs) };
  }
}
