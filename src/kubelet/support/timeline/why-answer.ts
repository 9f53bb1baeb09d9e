/** The answer of `gantry why pod`: what is said of a pod, as data. Its JSON is documented in docs/why.md. Pure. */
import { explainPod } from './explain-pod.ts';
import { findSimilar } from './find-similar.ts';
import type { LiveFacts, Situation } from './scene.ts';
import { type PhaseSpan, type PodFacts, type PodRecord, type SpanOutcome, splitSpanName } from './timeline-model.ts';

export interface WhyAnswer {
  kind: 'PodExplanation';
  version: 1;
  /** `kubelet`: it answered; `file`: it did not, and this is what it had written down. */
  source: 'kubelet' | 'file';
  /** The moment that this is about: now, or when the pod was last heard of. */
  asOf: string;
  pod: { namespace: string; name: string; uid?: string };
  situation: Situation;
  cause: string;
  next: string[];
  phases: WhyPhase[];
  /** Phases that had to make room. */
  phasesDropped: number;
  /** Starts of the kubelet since the pod's first phase. */
  kubeletStarts: string[];
  /** Other pods of the name, by uid. */
  otherUids: string[];
  /** For a pod that is not known: names that may have been meant. */
  similar: string[];
}

export interface WhyPhase {
  phase: string;
  /** The container or volume; absent for phases of the whole pod. */
  subject?: string;
  start: string;
  /** Absent while it runs. */
  durationSeconds?: number;
  outcome: SpanOutcome | 'running';
  by?: string;
  text?: string;
  /** Later ones of the same outcome: how many, and the latest. */
  again?: { count: number; start: string; durationSeconds: number; by?: string; text?: string };
}

export interface WhyInput {
  namespace: string;
  name: string;
  uid: string | undefined;
  /** All of that name, the one that is meant first. */
  records: readonly PodRecord[];
  /** Undefined: nobody answers. */
  live: LiveFacts | undefined;
  /** Of all pods, as `namespace/name`. */
  names: readonly string[];
  starts: readonly number[];
  nowMs: number;
}

export function computeWhy(input: WhyInput): WhyAnswer {
  const { namespace, name, uid, records, live, starts } = input;
  const record = records.find((one) => uid === undefined || one.uid === uid);
  const source = live === undefined ? 'file' : 'kubelet';
  if (record === undefined) return unknownPod(input, source);
  const nowMs = live === undefined ? lastHeardMs(record) : input.nowMs;
  const { situation, cause, next } = explainPod({ record, facts: record.facts ?? noFacts, live, nowMs });
  const firstMs = record.spans[0]?.startMs ?? 0;
  return {
    kind: 'PodExplanation',
    version: 1,
    source,
    asOf: time(nowMs),
    pod: { namespace, name, uid: record.uid },
    situation,
    cause,
    next,
    phases: record.spans.map(toPhase),
    phasesDropped: record.dropped,
    kubeletStarts: starts.filter((ms) => ms > firstMs && ms < (record.goneMs ?? Infinity)).map(time),
    otherUids: records.filter((one) => one !== record).map((one) => one.uid),
    similar: [],
  };
}

function unknownPod(
  { namespace, name, uid, records, names, nowMs, live }: WhyInput,
  source: 'kubelet' | 'file',
): WhyAnswer {
  const wanted = `${namespace}/${name}`;
  const known = records.map((one) => one.uid);
  const cause =
    known.length > 0
      ? `This node knows pods of the name "${wanted}", but none with the uid "${uid ?? ''}".`
      : `This node has not seen a pod "${wanted}"${live === undefined ? ' as far as its file tells' : ''}: it may not be scheduled yet, run on another node, or be gone for longer than is remembered.`;
  return {
    kind: 'PodExplanation',
    version: 1,
    source,
    asOf: time(nowMs),
    pod: { namespace, name, ...(uid === undefined ? {} : { uid }) },
    situation: 'Unknown',
    cause,
    next: known.length > 0 ? [] : [`ask the API server where it is: kubectl get pod -n ${namespace} ${name} -o wide`],
    phases: [],
    phasesDropped: 0,
    kubeletStarts: [],
    otherUids: known,
    similar: known.length > 0 ? [] : findSimilar(wanted, names),
  };
}

const noFacts: PodFacts = {
  life: 'waiting',
  isDeleted: false,
  isReady: false,
  graceSeconds: 0,
  containers: [],
  gates: [],
};

/** Of a pod whose kubelet is away. */
function lastHeardMs({ spans, factsMs = 0, goneMs = 0 }: PodRecord): number {
  return Math.max(
    factsMs,
    goneMs,
    ...spans.map(({ startMs, durationMs = 0, again }) => again?.startMs ?? startMs + durationMs),
  );
}

function toPhase({ name, startMs, durationMs, outcome, by, text, again }: PhaseSpan): WhyPhase {
  const { kind, subject } = splitSpanName(name);
  const words = (one: { by?: string; text?: string }): { by?: string; text?: string } => ({
    ...(one.by === undefined ? {} : { by: one.by }),
    ...(one.text === undefined ? {} : { text: one.text }),
  });
  return {
    phase: kind,
    ...(subject === '' ? {} : { subject }),
    start: time(startMs),
    ...(durationMs === undefined ? {} : { durationSeconds: seconds(durationMs) }),
    outcome: outcome ?? 'running',
    ...words({ ...(by === undefined ? {} : { by }), ...(text === undefined ? {} : { text }) }),
    ...(again === undefined
      ? {}
      : {
          again: {
            count: again.count,
            start: time(again.startMs),
            durationSeconds: seconds(again.durationMs),
            ...words(again),
          },
        }),
  };
}

const seconds = (ms: number): number => Math.round(ms) / 1000;
const time = (ms: number): string => new Date(ms).toISOString();
