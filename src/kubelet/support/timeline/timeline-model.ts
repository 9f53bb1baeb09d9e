/** What is remembered of a pod's life on this node. Plain JSON: it goes into the file and over the socket as it is. */
import type { ContainerKind } from '../../pod-model.ts';

/** `interrupted`: the kubelet let go of it, or ended, before it knew how it went. */
export type SpanOutcome = 'ok' | 'failed' | 'interrupted';

/** One phase. A moment without a length has `durationMs` 0. */
export interface PhaseSpan {
  /** The kind, and what it was about: `sandbox`, `volume config`, `pull web`, `stop web`. */
  name: string;
  /** Wall clock. */
  startMs: number;
  /** Absent while it runs. */
  durationMs?: number;
  /** Absent while it runs. */
  outcome?: SpanOutcome;
  /** The words of whoever did it: the error, or a remark. */
  text?: string;
  /** Whose words, when they came wrapped in somebody else's: `network plugin "bridge"`. */
  by?: string;
  /** Later ones of the same name and outcome: how many, and the latest. */
  again?: { count: number; startMs: number; durationMs: number; text?: string; by?: string };
}

/** Why a container is as it is: enough of its status to say so without an API server. */
export interface ContainerFacts {
  name: string;
  kind: ContainerKind;
  state: 'waiting' | 'running' | 'terminated';
  reason?: string;
  message?: string;
  exitCode?: number;
  restartCount: number;
  isReady: boolean;
  isStarted: boolean;
  lastExit?: { exitCode: number; reason?: string; message?: string };
}

/** How a pod stands, as the kubelet knew it at one moment. */
export interface PodFacts {
  /** `waiting`: seen, and no lane yet; `rejected`: refused at admission; the others are the lane's phases. */
  life: 'waiting' | 'rejected' | 'sync' | 'terminating' | 'terminated' | 'finished';
  isDeleted: boolean;
  /** `Pending`, `Running` …; undefined before the first status. */
  phase?: string;
  reason?: string;
  message?: string;
  isReady: boolean;
  /** Seconds its end may take; 0 until it was asked for. */
  graceSeconds: number;
  containers: ContainerFacts[];
  /** Readiness gates that are not true. */
  gates: string[];
  /** Why the latest turn did not come to its end. */
  failure?: string;
  /** When it is tried again, wall clock. */
  retryMs?: number;
}

/** Everything that is kept of one pod. */
export interface PodRecord {
  uid: string;
  namespace: string;
  name: string;
  /** In the order of their starts; open ones have no outcome. */
  spans: PhaseSpan[];
  /** Spans that had to make room. */
  dropped: number;
  /** When nothing of it was left here and nobody asked for it any more. */
  goneMs?: number;
  /** As of `factsMs`. */
  facts?: PodFacts;
  factsMs?: number;
}

/** Everything that the file holds. */
export interface TimelineState {
  records: PodRecord[];
  /** When kubelets of this root directory started, oldest first. */
  starts: number[];
}

/** `pull web` → `pull` and `web`. */
export function splitSpanName(name: string): { kind: string; subject: string } {
  const at = name.indexOf(' ');
  return at < 0 ? { kind: name, subject: '' } : { kind: name.slice(0, at), subject: name.slice(at + 1) };
}
