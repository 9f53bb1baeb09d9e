/** Pods with a sandbox: which container is in the way, and what it or the runtime says. Pure. */
import {
  type Finding,
  type Scene,
  type Situation,
  durationText,
  exitText,
  failureOf,
  inSentence,
  latestOf,
  openSpans,
  retryTexts,
  timeText,
  whenText,
} from './scene.ts';
import type { ContainerFacts } from './timeline-model.ts';

/** The first container, in the order of their start, that is not where it should be. */
export function explainContainers(scene: Scene): Finding | undefined {
  const { containers } = scene.facts;
  for (const container of containers) {
    if (container.kind === 'ephemeral') continue;
    const finding = startupOf(scene, container);
    if (finding !== undefined) return finding;
  }
  return undefined;
}

function startupOf(scene: Scene, container: ContainerFacts): Finding | undefined {
  const { name, kind, state } = container;
  if (state === 'waiting') return waiting(scene, container);
  if (state === 'running' && kind === 'init') {
    const since = latestOf(scene, `start ${name}`, 'ok')?.startMs;
    const before = container.lastExit === undefined ? '' : ` (it failed before with ${exitText(container.lastExit)})`;
    return {
      situation: 'InitContainerRunning',
      cause: `Init container "${name}" runs${since === undefined ? '' : ` for ${durationText(scene.nowMs - since)}`}${before}, and the other containers wait for it to end.`,
      next: ['starts the next container when it has ended with code 0'],
    };
  }
  if (state === 'running' && !container.isStarted) return startupProbe(scene, container);
  if (state === 'terminated' && kind === 'init' && container.exitCode !== 0) {
    return restarting(scene, container);
  }
  return undefined;
}

const wordsOf: Record<string, { situation: Situation; words: (name: string) => string; retry: string }> = {
  ErrImagePull: {
    situation: 'ImagePull',
    words: (name) => `The image of container ${name} cannot be pulled`,
    retry: 'pulls again',
  },
  ImagePullBackOff: {
    situation: 'ImagePull',
    words: (name) => `The image of container ${name} cannot be pulled`,
    retry: 'pulls again',
  },
  RegistryUnavailable: {
    situation: 'ImagePull',
    words: (name) => `The image of container ${name} cannot be pulled`,
    retry: 'pulls again',
  },
  SignatureValidationFailed: {
    situation: 'ImagePull',
    words: (name) => `The image of container ${name} is not trusted`,
    retry: 'pulls again',
  },
  ErrImageNeverPull: {
    situation: 'ImagePull',
    words: (name) => `The image of container ${name} is not on this node and may not be pulled`,
    retry: 'looks for it again',
  },
  InvalidImageName: {
    situation: 'ImagePull',
    words: (name) => `The image name of container ${name} is not valid`,
    retry: 'tries again',
  },
  ImageInspectError: {
    situation: 'ImagePull',
    words: (name) => `The runtime cannot look at the image of container ${name}`,
    retry: 'looks again',
  },
  CreateContainerConfigError: {
    situation: 'ContainerConfig',
    words: (name) => `Container ${name} cannot be configured`,
    retry: 'tries again',
  },
  CreateContainerError: {
    situation: 'ContainerCreate',
    words: (name) => `The runtime cannot create container ${name}`,
    retry: 'creates it again',
  },
  RunContainerError: {
    situation: 'ContainerStart',
    words: (name) => `The runtime cannot start container ${name}`,
    retry: 'starts it again',
  },
  PostStartHookError: {
    situation: 'PostStartHook',
    words: (name) => `The postStart hook of container ${name} fails, which ends the container`,
    retry: 'starts it again',
  },
};

function waiting(scene: Scene, container: ContainerFacts): Finding | undefined {
  const { name, kind, reason = '', message = '' } = container;
  const label = `"${name}"`;
  if (reason === 'CrashLoopBackOff') return crashLoop(scene, container);
  const known = wordsOf[reason];
  if (known !== undefined) {
    return {
      situation: known.situation,
      cause: `${known.words(label)}: ${inSentence(pullWords(message))}.`,
      next: retryTexts(scene, known.retry),
    };
  }
  if (message !== '') {
    return {
      situation: 'ContainerWaiting',
      cause: `Container ${label} waits (${reason}): ${inSentence(message)}.`,
      next: retryTexts(scene, 'tries again'),
    };
  }
  if (
    kind === 'init' &&
    openSpans(scene).length === 0 &&
    scene.facts.failure === undefined &&
    container.lastExit !== undefined
  ) {
    return restarting(scene, container);
  }
  return undefined;
}

/** While it waits out a back-off the status repeats the back-off before the words of the pull itself. */
function pullWords(message: string): string {
  return message.replace(/^Back-off pulling image "[^"]*": (?:ErrImagePull: )?/, '');
}

function crashLoop(scene: Scene, { name, kind, restartCount, lastExit }: ContainerFacts): Finding {
  const crashes = latestOf(scene, `exited ${name}`, 'failed') ?? latestOf(scene, `exited ${name}`, 'ok');
  const times = Math.max(restartCount + 1, crashes?.count ?? 0);
  const exit = lastExit === undefined ? '' : ` with ${exitText(lastExit)}`;
  const said =
    lastExit?.message === undefined || lastExit.message === '' ? '' : `, saying: ${inSentence(lastExit.message)}`;
  const often = times === 1 ? 'once' : `${times} times`;
  return {
    situation: 'CrashLoop',
    cause: `${kind === 'init' ? 'Init container' : 'Container'} "${name}" ends each time it is started (${often}, the last${exit}${said}), and waits out its back-off.`,
    next: retryTexts(scene, `starts "${name}" again`),
  };
}

function restarting(scene: Scene, container: ContainerFacts): Finding {
  const { name, kind, lastExit, message } = container;
  const exit = container.state === 'terminated' ? container : (lastExit ?? {});
  const said = message === undefined || message === '' ? '' : `, saying: ${inSentence(message)}`;
  return {
    situation: 'Restarting',
    cause: `${kind === 'init' ? 'Init container' : 'Container'} "${name}" ended with ${exitText(exit)}${said}, and is to be started again.`,
    next: retryTexts(scene, `starts "${name}"`),
  };
}

function startupProbe(scene: Scene, { name }: ContainerFacts): Finding {
  const failed = failureOf(scene, `startup ${name}`);
  return {
    situation: 'StartupProbe',
    cause:
      failed === undefined
        ? `Container "${name}" runs and its startup probe has not succeeded yet.`
        : `Container "${name}" runs but fails its startup probe (${times(failed.count)}): ${inSentence(failed.text)}.`,
    next: probeTexts(scene, name, 'startup'),
  };
}

const times = (count: number): string => (count === 1 ? 'once' : `${count} times`);

function probeTexts({ live, nowMs }: Scene, container: string, kind: string): string[] {
  const probe = live?.probes.find((one) => one.container === container && one.kind === kind);
  return probe === undefined ? [] : [`asks the ${kind} probe of "${container}" again ${whenText(probe.dueMs, nowMs)}`];
}

/** All containers are up, or have ended for good: what is asked of them decides. */
export function explainReadiness(scene: Scene): Finding | undefined {
  const { facts, live, nowMs } = scene;
  const regular = facts.containers.filter(({ kind }) => kind === 'regular' || kind === 'sidecar');
  if (regular.length === 0) return undefined;
  for (const container of regular) {
    const finding = unready(scene, container);
    if (finding !== undefined) return finding;
  }
  const [gate] = facts.gates;
  if (gate !== undefined && regular.every(({ isReady }) => isReady)) {
    return {
      situation: 'ReadinessGate',
      cause: `All containers are ready, but the readiness gate "${gate}" is not true: its condition is set by somebody else.`,
      next: ["looks again when the pod's status changes"],
    };
  }
  if (!facts.isReady) return undefined;
  const since = latestOf(scene, 'ready', 'ok')?.startMs;
  const restarts = regular.reduce((sum, { restartCount }) => sum + restartCount, 0);
  const history =
    restarts === 0 ? '' : `, after ${restarts} ${restarts === 1 ? 'restart' : 'restarts'} of its containers`;
  const [probe] = [...(live?.probes ?? [])].toSorted((a, b) => a.dueMs - b.dueMs);
  return {
    situation: 'Ready',
    cause: `The pod runs and is ready${since === undefined ? '' : ` since ${timeText(since)}`}${history}.`,
    next:
      probe === undefined
        ? []
        : [`asks the ${probe.kind} probe of "${probe.container}" ${whenText(probe.dueMs, nowMs)}`],
  };
}

function unready(scene: Scene, container: ContainerFacts): Finding | undefined {
  const { name, state } = container;
  if (state === 'terminated') {
    const isOver = scene.facts.retryMs === undefined;
    if (!isOver) return restarting(scene, container);
    return {
      situation: 'ContainerEnded',
      cause: `Container "${name}" has ended with ${exitText(container)}, while other containers of the pod run.`,
      next: retryTexts(scene, 'looks at the pod again'),
    };
  }
  if (state !== 'running') return undefined;
  const liveness = failureOf(scene, `liveness ${name}`);
  if (liveness !== undefined) {
    return {
      situation: 'LivenessProbe',
      cause: `Container "${name}" fails its liveness probe (${times(liveness.count)}): ${inSentence(liveness.text)}.`,
      next: [
        ...probeTexts(scene, name, 'liveness'),
        'restarts the container when the probe has failed as often as its failureThreshold says',
      ],
    };
  }
  if (container.isReady) return undefined;
  const readiness = failureOf(scene, `readiness ${name}`);
  return {
    situation: 'ReadinessProbe',
    cause:
      readiness === undefined
        ? `Container "${name}" runs and its readiness probe has not succeeded yet.`
        : `Container "${name}" runs but fails its readiness probe (${times(readiness.count)}): ${inSentence(readiness.text)}.`,
    next: probeTexts(scene, name, 'readiness'),
  };
}
