/**
 * What happened to each pod of this node, and how long it took. Owns a bounded record per pod: phases that repeat are
 * counted on the first of their kind, and a pod that is gone is remembered for a day, together with `gonePodsMax` others
 * at most. `gantry why pod` and `/statusz` show it; `TimelineFile` keeps it across restarts.
 */
import type { Clock } from '../../../base/clock.ts';
import { describeError } from '../../../base/errors.ts';
import { rpcText } from '../../../base/grpc.ts';
import type { Pod } from '../../../objects/generated/core-v1.ts';
import { type PhaseOptions, type PodPhases, uidOf } from '../../pod-model.ts';
import { cutText, foldSpan } from './fold-span.ts';
import { parseNetworkError } from './parse-network-error.ts';
import type { PhaseSpan, PodFacts, PodRecord, SpanOutcome, TimelineState } from './timeline-model.ts';

/** Pods that are gone and still remembered; the longest gone make room. */
export const gonePodsMax = 200;
/** How long a pod that is gone is remembered. */
export const goneKeptMs = 24 * 60 * 60 * 1000;
/** Starts of kubelets that are remembered. */
export const startsMax = 20;

interface PodTimelineNeed {
  /** A record has changed; `isRepeat`: only by one more of what it has already. */
  onChange(uid: string, isRepeat: boolean): void;
  clock: Clock;
}

interface Entry {
  record: PodRecord;
  open: Set<PhaseSpan>;
}

/** A step that runs now. */
export interface OpenStep {
  uid: string;
  namespace: string;
  name: string;
  span: PhaseSpan;
}

export class PodTimeline implements PodPhases {
  readonly #need: PodTimelineNeed;
  readonly #entries = new Map<string, Entry>();
  #starts: number[] = [];

  constructor(need: PodTimelineNeed) {
    this.#need = need;
  }

  async span<T>(
    pod: Pod,
    name: string,
    work: () => Promise<T>,
    { quietBelowMs = 0, failureOf }: PhaseOptions<T> = {},
  ): Promise<T> {
    const { clock } = this.#need;
    const entry = this.#entryOf(pod);
    const span: PhaseSpan = { name, startMs: clock.nowMs() };
    entry.open.add(span);
    if (quietBelowMs === 0) this.#need.onChange(entry.record.uid, this.#isKnown(entry, name));
    const beganMs = clock.monotonicMs();
    const end = (outcome: SpanOutcome, text?: string): void => {
      const durationMs = Math.round((clock.monotonicMs() - beganMs) * 10) / 10;
      entry.open.delete(span);
      if (outcome === 'ok' && durationMs < quietBelowMs) return;
      this.#fold(entry, { ...span, durationMs, outcome, ...wordsOf(name, text) });
    };
    try {
      const value = await work();
      const failure = failureOf?.(value);
      end(failure === undefined ? 'ok' : 'failed', failure);
      return value;
    } catch (err) {
      const isLetGo = err instanceof Error && err.name === 'AbortError';
      end(isLetGo ? 'interrupted' : 'failed', isLetGo ? undefined : errorText(err));
      throw err;
    }
  }

  /** A moment without a length: seen, ready, a crash. */
  note(pod: Pod, name: string, outcome: SpanOutcome = 'ok', text?: string, atMs = this.#need.clock.nowMs()): void {
    this.#fold(this.#entryOf(pod), { name, startMs: atMs, durationMs: 0, outcome, ...wordsOf(name, text) });
  }

  /** Something that is not a phase has changed: the pod's facts. */
  touch(pod: Pod): void {
    this.#need.onChange(this.#entryOf(pod).record.uid, false);
  }

  /** Nothing of the pod is left here, and nobody asks for it. */
  markGone(uid: string): void {
    const record = this.#entries.get(uid)?.record;
    if (record === undefined || record.goneMs !== undefined) return;
    record.goneMs = this.#need.clock.nowMs();
    this.#need.onChange(uid, false);
    this.forgetOld();
  }

  /** With the phases that run now, each without an end. */
  record(uid: string): PodRecord | undefined {
    const entry = this.#entries.get(uid);
    if (entry === undefined) return undefined;
    const spans = [...entry.record.spans, ...entry.open].toSorted((a, b) => a.startMs - b.startMs);
    return { ...entry.record, spans };
  }

  /** Pods of that name: those that are here first, then by their latest start. */
  find(namespace: string, name: string): PodRecord[] {
    return [...this.#entries.keys()]
      .map((uid) => this.record(uid))
      .filter((record) => record?.namespace === namespace && record.name === name)
      .filter((record) => record !== undefined)
      .toSorted(newestFirst);
  }

  has(uid: string, name: string): boolean {
    return this.#entries.get(uid)?.record.spans.some((span) => span.name === name) === true;
  }

  /** How a phase went the last time. */
  latestOutcome(uid: string, name: string): SpanOutcome | undefined {
    const spans = this.#entries.get(uid)?.record.spans.filter((span) => span.name === name) ?? [];
    const endOf = ({ startMs, again }: PhaseSpan): number => again?.startMs ?? startMs;
    return spans.toSorted((a, b) => endOf(b) - endOf(a))[0]?.outcome;
  }

  setFacts(uid: string, facts: PodFacts): void {
    const record = this.#entries.get(uid)?.record;
    if (record === undefined) return;
    record.facts = facts;
    record.factsMs = this.#need.clock.nowMs();
  }

  uids(): string[] {
    return [...this.#entries.keys()];
  }

  isGone(uid: string): boolean {
    return this.#entries.get(uid)?.record.goneMs !== undefined;
  }

  /** Names of all pods that are remembered, as `namespace/name`. */
  names(): string[] {
    return [...this.#entries.values()].map(({ record: { namespace, name } }) => `${namespace}/${name}`);
  }

  /** Every step that runs now. */
  openSteps(): OpenStep[] {
    return [...this.#entries.values()].flatMap(({ record: { uid, namespace, name }, open }) =>
      [...open].map((span) => ({ uid, namespace, name, span })),
    );
  }

  get starts(): readonly number[] {
    return this.#starts;
  }

  /** Takes up what an earlier kubelet remembered. What it left open was cut off by its end. */
  adopt({ records, starts }: TimelineState): void {
    this.#starts = [...starts, this.#need.clock.nowMs()].slice(-startsMax);
    for (const record of records) {
      const open = record.spans.filter(({ outcome }) => outcome === undefined);
      const entry: Entry = {
        record: { ...record, spans: record.spans.filter(({ outcome }) => outcome !== undefined) },
        open: new Set(),
      };
      this.#entries.set(record.uid, entry);
      for (const span of open) foldSpan(entry.record.spans, { ...span, durationMs: 0, outcome: 'interrupted' });
    }
    this.forgetOld();
  }

  /** Drops pods that have been gone for too long, or are too many. */
  forgetOld(): void {
    const nowMs = this.#need.clock.nowMs();
    const gone = [...this.#entries.values()]
      .filter(({ record }) => record.goneMs !== undefined)
      .toSorted((a, b) => (b.record.goneMs ?? 0) - (a.record.goneMs ?? 0));
    gone.forEach(({ record: { uid, goneMs = 0 } }, i) => {
      if (i >= gonePodsMax || nowMs - goneMs > goneKeptMs) this.#entries.delete(uid);
    });
  }

  #isKnown({ record }: Entry, name: string): boolean {
    return record.spans.some((span) => span.name === name);
  }

  #fold(entry: Entry, span: PhaseSpan): void {
    const { isRepeat, hasDropped } = foldSpan(entry.record.spans, span);
    if (hasDropped) entry.record.dropped++;
    this.#need.onChange(entry.record.uid, isRepeat);
  }

  #entryOf(pod: Pod): Entry {
    const uid = uidOf(pod);
    const known = this.#entries.get(uid);
    if (known !== undefined) {
      delete known.record.goneMs; // a static pod may come back under its uid
      return known;
    }
    const { namespace = 'default', name } = pod.metadata;
    const entry: Entry = { record: { uid, namespace, name, spans: [], dropped: 0 }, open: new Set() };
    this.#entries.set(uid, entry);
    return entry;
  }
}

export function newestFirst(a: PodRecord, b: PodRecord): number {
  const isHere = ({ goneMs }: PodRecord): number => (goneMs === undefined ? 1 : 0);
  return isHere(b) - isHere(a) || (b.spans[0]?.startMs ?? 0) - (a.spans[0]?.startMs ?? 0);
}

/** The runtime's answer whole; our own chain for what went wrong before it was asked. */
function errorText(err: unknown): string {
  const text = rpcText(err);
  return text.startsWith('rpc error') ? text : describeError(err);
}

function wordsOf(name: string, text: string | undefined): Pick<PhaseSpan, 'text' | 'by'> {
  if (text === undefined || text === '') return {};
  const network = name.includes('sandbox') ? parseNetworkError(text) : undefined;
  return network === undefined ? { text: cutText(text) } : { text: cutText(network.words), by: network.by };
}
