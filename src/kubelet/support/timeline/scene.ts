/** What an explanation is made from, and the smallest questions about it. Pure. */
import type { PhaseSpan, PodFacts, PodRecord } from './timeline-model.ts';
import { splitSpanName } from './timeline-model.ts';

/** What only a kubelet that runs can tell; times are of the wall clock. */
export interface LiveFacts {
  /** Why pods cannot have an address. */
  networkError: string | undefined;
  runtimeErrors: readonly string[];
  /** When the pod has its next turn unless something happens before. */
  nextTurnMs: number | undefined;
  /** By how much the disk with images has filled since the pod's pull began. Undefined: it pulls nothing. */
  pullFilledBytes: number | undefined;
  /** Probes that go on. */
  probes: ReadonlyArray<{ container: string; kind: string; dueMs: number }>;
}

export interface Scene {
  record: PodRecord;
  facts: PodFacts;
  /** Undefined when nobody answers: then `record` is what was last heard. */
  live: LiveFacts | undefined;
  nowMs: number;
}

export interface Finding {
  situation: Situation;
  /** One sentence. */
  cause: string;
  /** What Gantry does next, and when. */
  next: string[];
}

/** Stable words for tools. */
export type Situation =
  | 'Unknown'
  | 'Gone'
  | 'Rejected'
  | 'Evicted'
  | 'Succeeded'
  | 'Failed'
  | 'Terminating'
  | 'StuckStep'
  | 'RuntimeDown'
  | 'NetworkNotReady'
  | 'VolumeNotReady'
  | 'CgroupFailed'
  | 'NetworkPluginFailed'
  | 'SandboxFailed'
  | 'WaitingForPredecessor'
  | 'InitContainerRunning'
  | 'CrashLoop'
  | 'ImagePull'
  | 'ContainerConfig'
  | 'ContainerCreate'
  | 'ContainerStart'
  | 'PostStartHook'
  | 'ContainerWaiting'
  | 'Restarting'
  | 'StartupProbe'
  | 'ReadinessProbe'
  | 'LivenessProbe'
  | 'ContainerEnded'
  | 'ReadinessGate'
  | 'Ready'
  | 'InProgress'
  | 'TurnFailed'
  | 'Waiting';

/** The latest span of a name and outcome, with how often there was one. */
export interface LatestSpan {
  startMs: number;
  text: string;
  by: string | undefined;
  count: number;
}

export function latestOf({ record }: Scene, name: string, outcome: 'ok' | 'failed'): LatestSpan | undefined {
  const span = record.spans.find((one) => one.name === name && one.outcome === outcome);
  if (span === undefined) return undefined;
  const { again } = span;
  return {
    startMs: again?.startMs ?? span.startMs,
    text: again?.text ?? span.text ?? '',
    by: again?.by ?? span.by,
    count: 1 + (again?.count ?? 0),
  };
}

/** The latest failure of a phase that has not gone well since. */
export function failureOf(scene: Scene, name: string): LatestSpan | undefined {
  const failed = latestOf(scene, name, 'failed');
  const ok = latestOf(scene, name, 'ok');
  return failed !== undefined && (ok === undefined || ok.startMs < failed.startMs) ? failed : undefined;
}

/** Phases that run now, the newest first. */
export function openSpans({ record }: Scene): PhaseSpan[] {
  return record.spans.filter(({ outcome }) => outcome === undefined).toSorted((a, b) => b.startMs - a.startMs);
}

/** Names of phases of a kind that are known: `volume` → `volume config`, … */
export function namesOf({ record }: Scene, kind: string): string[] {
  return [...new Set(record.spans.map(({ name }) => name).filter((name) => splitSpanName(name).kind === kind))];
}

const stepLimitMs = 30_000;
const pullLimitMs = 300_000;
/** A turn tries for about two minutes before it ends; each single volume has the usual limit. */
const volumesLimitMs = 150_000;
/** What the runtime takes to kill after the grace period. */
const killLimitMs = 10_000;

/** How long a step may take before it counts as stuck, in ms. */
export function limitOf(name: string, graceSeconds: number): number {
  switch (splitSpanName(name).kind) {
    case 'pull':
    case 'image':
    case 'volume-image':
    case 'wait':
    case 'attach':
      return pullLimitMs;
    case 'volumes':
      return volumesLimitMs;
    case 'preStop':
    case 'stop':
      return Math.max(graceSeconds * 1000, 2000) + killLimitMs;
    default:
      return stepLimitMs;
  }
}

/** `0.4s`, `12s`, `1m5s`, `2h3m`. */
export function durationText(ms: number): string {
  const tenths = Math.round(Math.max(0, ms) / 100);
  if (tenths < 100) return `${tenths / 10}s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m${seconds % 60}s`;
  return `${Math.floor(seconds / 3600)}h${Math.floor((seconds % 3600) / 60)}m`;
}

/** `0 MB`, `1.5 MB`, `312 MB`, `4.2 GB`. */
export function sizeText(bytes: number): string {
  const megabytes = bytes / 1e6;
  if (megabytes >= 1000) return `${(megabytes / 1000).toFixed(1)} GB`;
  return `${megabytes >= 10 || megabytes === 0 ? Math.round(megabytes) : megabytes.toFixed(1)} MB`;
}

/** `12:34:56Z`. */
export const timeText = (ms: number): string => `${new Date(ms).toISOString().slice(11, 19)}Z`;

/** `in 12s (12:34:56Z)`; `now` for what is due. */
export function whenText(ms: number, nowMs: number): string {
  return ms - nowMs < 500 ? 'now' : `in ${durationText(ms - nowMs)} (${timeText(ms)})`;
}

/** When the pod is tried again. */
export function retryTexts({ facts, live, nowMs }: Scene, what: string): string[] {
  const ms = facts.retryMs ?? live?.nextTurnMs;
  return ms === undefined ? [] : [`${what} ${whenText(ms, nowMs)}`];
}

/** Without a full stop at the end, on one line: to be put into a sentence. */
export const inSentence = (text: string): string =>
  text
    .trim()
    .replaceAll(/\s*\n\s*/g, ' / ')
    .replace(/\.$/, '');

/** `code 1 (Error)`, `code 137 (OOMKilled)`, `code 0`. */
export function exitText({ exitCode, reason }: { exitCode?: number; reason?: string }): string {
  const isPlain = reason === undefined || reason === '' || (exitCode === 0 && reason === 'Completed');
  return `code ${exitCode ?? '?'}${isPlain ? '' : ` (${reason})`}`;
}
