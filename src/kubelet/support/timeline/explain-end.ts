/** Pods that are refused, on their way out, over, or gone. Pure. */
import {
  type Finding,
  type Scene,
  durationText,
  exitText,
  failureOf,
  inSentence,
  limitOf,
  openSpans,
  retryTexts,
  timeText,
} from './scene.ts';
import { doingText, lowerFirst } from './step-names.ts';
import { type PhaseSpan, type PodFacts, splitSpanName } from './timeline-model.ts';

export function explainEnd(scene: Scene): Finding | undefined {
  const { record, facts } = scene;
  if (record.goneMs !== undefined) return gone(scene, record.goneMs);
  if (facts.life === 'rejected') return rejected(scene);
  if (facts.life === 'terminating') return terminating(scene);
  if (facts.life === 'terminated') return cleaningUp(scene);
  if (facts.life === 'finished' || facts.phase === 'Succeeded' || facts.phase === 'Failed') return over(scene);
  return undefined;
}

function gone(scene: Scene, goneMs: number): Finding {
  const { facts } = scene;
  return {
    situation: 'Gone',
    cause: `The pod is gone since ${timeText(goneMs)}: ${inSentence(howItEnded(facts))}.`,
    next: ['nothing: it is only remembered'],
  };
}

function howItEnded(facts: PodFacts): string {
  if (facts.life === 'rejected')
    return `this node had refused it (${facts.reason ?? ''}: ${inSentence(facts.message ?? '')})`;
  const why = facts.isDeleted
    ? 'it was deleted'
    : facts.reason !== undefined
      ? `it ended as ${facts.reason}${facts.message === undefined ? '' : ` (${inSentence(facts.message)})`}`
      : 'nobody asks for it any more';
  const exits = exitsText(facts);
  return exits === '' ? `${why}, and no container of it had run` : `${why}, and ${exits}`;
}

/** `container "a" ended with code 0, "b" with code 137 (OOMKilled)` */
function exitsText({ containers }: PodFacts): string {
  const ended = containers
    .filter(({ kind }) => kind !== 'ephemeral')
    .flatMap((one) => {
      const exit = one.state === 'terminated' ? one : one.lastExit;
      return exit?.exitCode === undefined ? [] : [`"${one.name}" with ${exitText(exit)}`];
    });
  return ended.length === 0 ? '' : `ended ${ended.join(', ')}`;
}

function rejected(scene: Scene): Finding {
  const { facts } = scene;
  const text = failureOf(scene, 'admitted')?.text ?? `${facts.reason ?? ''}: ${facts.message ?? ''}`;
  return {
    situation: 'Rejected',
    cause: `This node refused the pod at admission: ${inSentence(text)}.`,
    next: ['nothing: a refused pod is never started; delete it, and whoever made it may make another'],
  };
}

function terminating(scene: Scene): Finding {
  const { facts, nowMs } = scene;
  const why = endReason(facts);
  const open = openSpans(scene).find(({ name }) => enders.has(splitSpanName(name).kind));
  if (open !== undefined) {
    const ageMs = nowMs - open.startMs;
    const isStuck = ageMs > limitOf(open.name, facts.graceSeconds);
    if (isStuck) {
      return {
        situation: 'StuckStep',
        cause: `${why} and cannot end: ${inSentence(lowerFirst(doingText(open.name)))} has not come back for ${durationText(ageMs)}, long after the grace period of ${facts.graceSeconds}s; only this pod waits for it.`,
        next: ['goes on when the call comes back; other pods are not held up'],
      };
    }
    const { doing, next } = endingStep(open, scene, durationText(ageMs));
    return { situation: 'Terminating', cause: `${why} and is ending: ${doing}.`, next };
  }
  if (facts.failure !== undefined) {
    return {
      situation: 'Terminating',
      cause: `${why} and cannot end: ${inSentence(facts.failure)}.`,
      next: retryTexts(scene, 'tries to end it again'),
    };
  }
  return { situation: 'Terminating', cause: `${why} and is ending.`, next: ['stops its containers, then its sandbox'] };
}

const enders = new Set(['preStop', 'stop', 'look', 'messages', 'unmount', 'uncgroup']);

function endReason({ isDeleted, reason, phase }: PodFacts): string {
  if (reason !== undefined) return `The pod was ended (${reason})`;
  if (isDeleted) return 'The pod was deleted';
  if (phase === 'Succeeded' || phase === 'Failed') return `The pod is over (${phase})`;
  return 'Nobody asks for the pod any more';
}

function endingStep(span: PhaseSpan, { facts, record }: Scene, age: string): { doing: string; next: string[] } {
  const { kind, subject } = splitSpanName(span.name);
  const beganMs = record.spans.find(({ name }) => name === 'deletion')?.startMs ?? span.startMs;
  const deadline = timeText(beganMs + facts.graceSeconds * 1000);
  const grace = `the grace period of ${facts.graceSeconds}s is over`;
  if (kind === 'preStop') {
    return {
      doing: `the preStop hook of container "${subject}" runs for ${age}`,
      next: [`stops the container when the hook ends, or at ${deadline} when ${grace}`],
    };
  }
  if (kind === 'stop' && subject !== 'sandbox') {
    return {
      doing: `container "${subject}" was told to end (SIGTERM) ${age} ago`,
      next: [`the runtime kills it at ${deadline} when ${grace}`],
    };
  }
  if (kind === 'stop') return { doing: `the runtime stops the sandbox since ${age}`, next: ['takes down the volumes'] };
  return { doing: `the runtime is asked since ${age} what still runs`, next: ['stops what still runs'] };
}

function cleaningUp(scene: Scene): Finding {
  const { facts, nowMs } = scene;
  const why = endReason(facts);
  const failed = ['unmount', 'uncgroup'].map((name) => failureOf(scene, name)).find((one) => one !== undefined);
  const open = openSpans(scene).find(({ name }) => name === 'unmount' || name === 'uncgroup');
  const what = open?.name === 'uncgroup' ? 'its control group is removed' : 'its volumes are taken down';
  if (failed !== undefined && open === undefined) {
    return {
      situation: 'Terminating',
      cause: `${why} and all its containers have ended, but cleaning up fails: ${inSentence(failed.text)}.`,
      next: retryTexts(scene, 'tries to clean up again'),
    };
  }
  const isStuck = open !== undefined && nowMs - open.startMs > limitOf(open.name, 0);
  return {
    situation: isStuck ? 'StuckStep' : 'Terminating',
    cause: `${why}, all its containers have ended, and ${what}${open === undefined ? '' : ` for ${durationText(nowMs - open.startMs)}`}.`,
    next: ['lets the API server remove the pod'],
  };
}

function over(scene: Scene): Finding {
  const { facts } = scene;
  const { phase = '', reason, message } = facts;
  const exits = exitsText(facts);
  const said = message === undefined || message === '' ? '' : `: ${inSentence(message)}`;
  const next = facts.isDeleted
    ? ['waits for the API server to remove the pod']
    : ['nothing: it stays until somebody deletes it'];
  if (reason === 'Evicted') return { situation: 'Evicted', cause: `The pod was evicted from this node${said}.`, next };
  if (phase === 'Succeeded') {
    return { situation: 'Succeeded', cause: `The pod has done its work: it ${exits === '' ? 'ended' : exits}.`, next };
  }
  const because = reason === undefined ? '' : ` (${reason}${said})`;
  const how = exits === '' ? 'and no container of it ran' : `it ${exits}`;
  return { situation: 'Failed', cause: `The pod has failed${because}: ${how}.`, next };
}
