/**
 * Why a pod is as it is, in one sentence, and what comes next. Pure: the first of an ordered list of questions that has
 * an answer gives it, from its end backwards to its start.
 */
import { explainContainers, explainReadiness } from './explain-containers.ts';
import { explainEnd } from './explain-end.ts';
import {
  type Finding,
  type Scene,
  durationText,
  failureOf,
  inSentence,
  latestOf,
  limitOf,
  namesOf,
  openSpans,
  retryTexts,
  sizeText,
  whenText,
} from './scene.ts';
import { doingText, lowerFirst } from './step-names.ts';
import { splitSpanName } from './timeline-model.ts';

const questions: ReadonlyArray<(scene: Scene) => Finding | undefined> = [
  explainEnd,
  runtimeDown,
  stuckStep,
  predecessor,
  networkNotReady,
  volumes,
  cgroup,
  sandbox,
  explainContainers,
  inProgress,
  otherFailure,
  explainReadiness,
];

export function explainPod(scene: Scene): Finding {
  for (const ask of questions) {
    const finding = ask(scene);
    if (finding !== undefined) return finding;
  }
  return {
    situation: 'Waiting',
    cause:
      latestOf(scene, 'volumes', 'ok') === undefined
        ? 'The kubelet has seen the pod and has not begun with it.'
        : 'The pod is prepared and waits for its turn at the container runtime, behind others that are being started.',
    next: retryTexts(scene, 'looks at it again'),
  };
}

function runtimeDown({ live, facts }: Scene): Finding | undefined {
  const [error] = live?.runtimeErrors ?? [];
  if (error === undefined) return undefined;
  const effect =
    facts.phase === 'Running'
      ? 'what ran may go on running, and nothing is told of it'
      : 'nothing of the pod can be started';
  return {
    situation: 'RuntimeDown',
    cause: `The container runtime does not answer, so ${effect}: ${inSentence(error)}.`,
    next: ['asks the runtime again every few seconds, and goes on when it answers'],
  };
}

function stuckStep(scene: Scene): Finding | undefined {
  const { facts, nowMs } = scene;
  const stuck = openSpans(scene).find(({ name, startMs }) => nowMs - startMs > limitOf(name, facts.graceSeconds));
  if (stuck === undefined) return undefined;
  return {
    situation: 'StuckStep',
    cause: `${doingText(stuck.name)} has not come back for ${durationText(nowMs - stuck.startMs)}${pullText(scene, stuck.name)}; only this pod waits for it.`,
    next: ['goes on when it comes back; other pods are not held up'],
  };
}

/** Whether a pull moves, as far as one can see. */
function pullText({ live }: Scene, step: string): string {
  const bytes = splitSpanName(step).kind === 'pull' ? live?.pullFilledBytes : undefined;
  return bytes === undefined ? '' : `, the disk with the images has filled by ${sizeText(bytes)} meanwhile`;
}

function predecessor(scene: Scene): Finding | undefined {
  const { failure } = scene.facts;
  if (failure?.includes('waits for its predecessor') !== true) return undefined;
  return {
    situation: 'WaitingForPredecessor',
    cause: `The ${inSentence(failure)}.`,
    next: ['starts when the predecessor has ended'],
  };
}

function networkNotReady(scene: Scene): Finding | undefined {
  const { facts, live } = scene;
  const isFailing = facts.failure?.startsWith('network is not ready') === true;
  if (!isFailing) return undefined;
  const error = live?.networkError ?? facts.failure?.replace('network is not ready: ', '') ?? '';
  return {
    situation: 'NetworkNotReady',
    cause: `The pod network of this node is not ready: ${inSentence(error)}.`,
    next: ['asks the runtime every few seconds, and starts the pod when the network is ready'],
  };
}

function volumes(scene: Scene): Finding | undefined {
  const { facts, nowMs } = scene;
  const isFailing = facts.failure?.startsWith('Unable to attach or mount volumes') === true;
  const isWaiting = openSpans(scene).some(({ name }) => name === 'volumes');
  const failed =
    isFailing || isWaiting ? namesOf(scene, 'volume').filter((name) => failureOf(scene, name) !== undefined) : [];
  if (failed.length > 0) {
    const words = failed.map((name) => {
      const { text = '', count = 1 } = failureOf(scene, name) ?? {};
      return `"${splitSpanName(name).subject}" (${inSentence(text)}${count > 1 ? `; tried ${count} times` : ''})`;
    });
    return {
      situation: 'VolumeNotReady',
      cause: `The pod waits for ${failed.length > 1 ? 'volumes' : 'volume'} ${words.join(' and ')}.`,
      next: isWaiting
        ? ['tries it again, at first soon, then every two minutes']
        : retryTexts(scene, 'tries the volumes again'),
    };
  }
  const open = openSpans(scene).find(({ name }) => splitSpanName(name).kind === 'volume');
  if (open !== undefined) {
    return {
      situation: 'VolumeNotReady',
      cause: `The pod waits for volume "${splitSpanName(open.name).subject}", which is being set up for ${durationText(nowMs - open.startMs)}.`,
      next: ['makes the sandbox when all volumes are there'],
    };
  }
  const detached = openSpans(scene).find(({ name }) => splitSpanName(name).kind === 'attach');
  if (detached !== undefined) {
    const { name, startMs } = detached;
    return {
      situation: 'VolumeNotReady',
      cause: `The pod waits for volume "${splitSpanName(name).subject}" to be attached to this node, for ${durationText(nowMs - startMs)}.`,
      next: ['goes on when the node says that it is attached (status.volumesAttached): somebody else does that'],
    };
  }
  if (!isFailing) return undefined;
  return {
    situation: 'VolumeNotReady',
    cause: `The volumes of the pod cannot be set up: ${inSentence(facts.failure ?? '')}.`,
    next: retryTexts(scene, 'tries the volumes again'),
  };
}

function cgroup(scene: Scene): Finding | undefined {
  const { failure } = scene.facts;
  const prefix = 'unable to ensure pod container exists: ';
  if (failure?.startsWith(prefix) !== true) return undefined;
  return {
    situation: 'CgroupFailed',
    cause: `The control group of the pod cannot be made: ${inSentence(failure.slice(prefix.length))}.`,
    next: retryTexts(scene, 'tries again'),
  };
}

function sandbox(scene: Scene): Finding | undefined {
  const failed = failureOf(scene, 'sandbox');
  if (failed === undefined) return undefined;
  const { text, by, count } = failed;
  const tries = count > 1 ? ` (tried ${count} times)` : '';
  const isTrying = openSpans(scene).some(({ name }) => name === 'sandbox');
  const next = isTrying ? ['is making the sandbox again now'] : retryTexts(scene, 'makes the sandbox again');
  if (by !== undefined) {
    return {
      situation: 'NetworkPluginFailed',
      cause: `The ${by} gives the pod no network${tries}: ${inSentence(text)}.`,
      next,
    };
  }
  return {
    situation: 'SandboxFailed',
    cause: `The runtime cannot make the pod's sandbox${tries}: ${inSentence(text)}.`,
    next,
  };
}

/** Steps that say nothing by themselves while they are short. */
const quietSteps = new Set(['look', 'messages']);

function inProgress(scene: Scene): Finding | undefined {
  const { facts, nowMs } = scene;
  if (facts.isReady) return undefined;
  const open = openSpans(scene).find(({ name }) => !quietSteps.has(splitSpanName(name).kind));
  if (open === undefined) return undefined;
  return {
    situation: 'InProgress',
    cause: `The pod is being started: ${inSentence(lowerFirst(doingText(open.name)))} runs since ${durationText(nowMs - open.startMs)}${pullText(scene, open.name)}.`,
    next: [`calls the step stuck when it takes longer than ${durationText(limitOf(open.name, facts.graceSeconds))}`],
  };
}

function otherFailure(scene: Scene): Finding | undefined {
  const { facts, nowMs } = scene;
  if (facts.failure === undefined || facts.isReady) return undefined;
  return {
    situation: 'TurnFailed',
    cause: `The latest try to bring the pod up failed: ${inSentence(facts.failure)}.`,
    next: facts.retryMs === undefined ? [] : [`tries again ${whenText(facts.retryMs, nowMs)}`],
  };
}
