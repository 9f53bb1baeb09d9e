/**
 * Makes it so: follows the actions of `computePodActions` for one pod, in order, and reports what came of them.
 * Needs the runtime, an image room, and the parts of configurations that other rooms compute. Remembers nothing of a
 * pod but its crash back-off.
 */
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Cri, PodSandboxConfig } from '../../adapters/cri/cri.ts';
import type { CriImage, CriSandboxStatus } from '../../adapters/cri/cri-types.ts';
import type { Clock } from '../../base/clock.ts';
import { describeError } from '../../base/errors.ts';
import { rpcDetails, rpcText } from '../../base/grpc.ts';
import type { Logger } from '../../base/logger.ts';
import type { Container, ImageVolumeSource, Pod, PodStatus } from '../../objects/generated/core-v1.ts';
import {
  type ContainerKind,
  type ObservedPod,
  type PodContainer,
  type PodEvents,
  type PodPhases,
  type StartFailure,
  latestContainer,
  podDescription,
  readySandbox,
} from '../pod-model.ts';
import { removeContainerLogs } from './collect-garbage.ts';
import type { PodAction } from './compute-pod-actions.ts';
import { ContainerKiller } from './container-kill.ts';
import { type ContainerParts, type SandboxParts, makeContainerConfig, makeSandboxConfig } from './container-config.ts';
import type { CrashBackoff } from './crash-backoff.ts';
import { runHook } from './hooks.ts';
import { linkLog } from './link-log.ts';
import type { StartPacer } from './start-pacer.ts';
import { annotations, containerLogLink, containerLogPath, podLogDirectory, restartCountFromLogs } from './pod-names.ts';
import { toldRestartCount } from './told-restart-count.ts';
import { type VolumeImage, VolumeImages, explainRefusal, isImageRefusal } from './volume-images.ts';

export type ImageOutcome =
  | { kind: 'present'; image: CriImage }
  /** `retryAtMs` (wall clock) when a back-off says so. */
  | { kind: 'failed'; reason: string; message: string; retryAtMs?: number | undefined };

export interface PodRuntimeNeed {
  cri: Pick<
    Cri,
    | 'runPodSandbox'
    | 'stopPodSandbox'
    | 'podSandboxStatus'
    | 'createContainer'
    | 'startContainer'
    | 'stopContainer'
    | 'removeContainer'
    | 'execSync'
  >;
  ensureImage(pod: Pod, container: PodContainer, sandbox: PodSandboxConfig, signal: AbortSignal): Promise<ImageOutcome>;
  /** As `ensureImage`, for an image that containers mount. */
  ensureVolumeImage(
    pod: Pod,
    source: ImageVolumeSource,
    sandbox: PodSandboxConfig,
    signal: AbortSignal,
  ): Promise<ImageOutcome>;
  /** The runtime's name and version, for people. */
  runtimeName(): string;
  /** @throws with the text that becomes `FailedCreatePodSandBox` */
  sandboxParts(pod: Pod, signal: AbortSignal): Promise<SandboxParts>;
  /** @throws with the text that becomes `CreateContainerConfigError` */
  containerParts(
    pod: Pod,
    container: PodContainer,
    context: {
      image: CriImage;
      /** The images among the pod's volumes that the container mounts, by the volumes' names. */
      volumeImages: ReadonlyMap<string, VolumeImage>;
      podIps: readonly string[];
      observed: ObservedPod | undefined;
    },
    signal: AbortSignal,
  ): Promise<ContainerParts>;
  /** Gives the pod's cgroup and running containers the amounts that the pod was given. */
  resizePod(pod: Pod, observed: ObservedPod | undefined, signal: AbortSignal): Promise<void>;
  /** What was told of the pod last. */
  told(pod: Pod): PodStatus | undefined;
  /** A container is about to start with the amounts of its spec. */
  onStarts(pod: Pod, container: Container): Promise<void>;
  /** Told at once when a pod's sandbox is up, before images are pulled. */
  onSandboxReady(pod: Pod, sandbox: CriSandboxStatus): void;
  /** Whose turn it is at the runtime, when many pods start at once. */
  pacer: Pick<StartPacer, 'run'>;
  crashBackoff: CrashBackoff;
  counts: StartCounts;
  events: PodEvents;
  phases: PodPhases;
  podLogsDir: string;
  containerLogsDir: string;
  clock: Clock;
  log: Logger;
}

/** Who counts starts. A start that waits for a back-off is none. */
export interface StartCounts {
  podStarts(hasUserNamespace: boolean): void;
  podFailed(hasUserNamespace: boolean): void;
  sandboxMade(handler: string, durationMs: number, hasFailed: boolean): void;
  containerStarts(kind: ContainerKind): void;
  containerFailed(kind: ContainerKind, reason: string): void;
  /** How many images a container was to mount, and whether it could. */
  imagesMounted(count: number, hasFailed: boolean): void;
}

export interface ExecuteOutcome {
  /** Something was done in the runtime: look again. */
  didAnything: boolean;
  /** Containers that could not be started, and why. */
  failures: ReadonlyMap<string, StartFailure>;
  /** Containers that were started: their old failures are history. */
  started: readonly string[];
  /** When nothing else was done than starting containers in a sandbox: that sandbox and their ids. */
  onlyStarted: { sandboxId: string; containerIds: readonly string[] } | undefined;
  /** The first failure that the pod as a whole should be retried for. */
  error: Error | undefined;
  /**
   * Earliest wall-clock time at which a back-off ends; undefined without one. While no container has crashed, what waits
   * for an image does not hold up what has failed otherwise: that is tried again as if nothing waited.
   */
  retryAtMs: number | undefined;
}

/** Failures that end the actions of this turn: without a sandbox, or with a failed init container, nothing follows. */
class TurnEnded extends Error {
  override name = 'TurnEnded';
}

export class PodRuntime {
  readonly #need: PodRuntimeNeed;
  readonly #killer: ContainerKiller;

  constructor(need: PodRuntimeNeed) {
    this.#need = need;
    this.#killer = new ContainerKiller(need);
  }

  /**
   * @param interrupt ends waits, pulls and hooks, and the turn after the action in progress; calls that would leave half
   * a container behind go to their end
   */
  async execute(
    pod: Pod,
    observed: ObservedPod | undefined,
    actions: readonly PodAction[],
    interrupt: AbortSignal,
    signal: AbortSignal,
  ): Promise<ExecuteOutcome> {
    const turn = new Turn(this.#need, this.#killer, pod, observed, interrupt);
    await turn.run(actions, signal);
    return turn.outcome;
  }

  /** Ends every container (in the order that sidecars ask for) and stops every sandbox. @throws if one could not be ended */
  async killPod(pod: Pod, observed: ObservedPod, graceSeconds: number | undefined, signal: AbortSignal): Promise<void> {
    await this.#killer.killPod(pod, observed, graceSeconds, signal);
  }
}

const crashLoop = 'CrashLoopBackOff';

const restartingAll: StartFailure = {
  reason: 'RestartingAllContainers',
  message: 'The container is removed because RestartAllContainers in place',
};

/** One run through a list of actions. */
class Turn {
  readonly #need: PodRuntimeNeed;
  readonly #killer: ContainerKiller;
  readonly #pod: Pod;
  readonly #observed: ObservedPod | undefined;
  readonly #interrupt: AbortSignal;
  #sandbox: CriSandboxStatus | undefined;
  #sandboxConfig: PodSandboxConfig | undefined;
  #volumeImages: VolumeImages | undefined;
  readonly #failures = new Map<string, StartFailure>();
  readonly #started: string[] = [];
  readonly #startedIds: string[] = [];
  /** Containers were ended or removed, too. */
  #didMore = false;
  #error: Error | undefined;
  #crashEndsMs = Infinity;
  #pullEndsMs = Infinity;
  /** Something has failed that waits for no back-off. */
  #hasFailed = false;
  #didAnything = false;

  constructor(
    need: PodRuntimeNeed,
    killer: ContainerKiller,
    pod: Pod,
    observed: ObservedPod | undefined,
    interrupt: AbortSignal,
  ) {
    this.#need = need;
    this.#killer = killer;
    this.#pod = pod;
    this.#observed = observed;
    this.#interrupt = interrupt;
    this.#sandbox = readySandbox(observed);
  }

  get outcome(): ExecuteOutcome {
    return {
      didAnything: this.#didAnything,
      failures: this.#failures,
      started: this.#started,
      onlyStarted: this.#onlyStarted(),
      error: this.#error,
      retryAtMs: this.#retryAtMs(),
    };
  }

  #retryAtMs(): number | undefined {
    const atMs = Math.min(this.#crashEndsMs, this.#pullEndsMs);
    return atMs === Infinity || (this.#hasFailed && this.#crashEndsMs === Infinity) ? undefined : atMs;
  }

  #onlyStarted(): ExecuteOutcome['onlyStarted'] {
    const sandboxId = this.#sandbox?.id;
    if (this.#didMore || this.#failures.size > 0 || sandboxId === undefined || this.#startedIds.length === 0)
      return undefined;
    return { sandboxId, containerIds: this.#startedIds };
  }

  async run(actions: readonly PodAction[], signal: AbortSignal): Promise<void> {
    try {
      for (const action of actions) {
        this.#interrupt.throwIfAborted();
        await this.#do(action, signal);
      }
    } catch (err) {
      if (!(err instanceof TurnEnded)) throw err;
    }
  }

  async #do(action: PodAction, signal: AbortSignal): Promise<void> {
    switch (action.kind) {
      case 'kill-pod':
        return await this.#killPod(action, signal);
      case 'kill-container':
        return await this.#killContainer(action, signal);
      case 'remove-container':
        return await this.#removeContainer(action, signal);
      case 'reset-container':
        return await this.#resetContainer(action, signal);
      case 'create-sandbox':
        return await this.#createSandbox(action.attempt, signal);
      case 'start-container':
        return await this.#startContainer(action.container, signal);
      case 'resize-pod':
        return await this.#resizePod(signal);
    }
  }

  async #resizePod(signal: AbortSignal): Promise<void> {
    this.#didAnything = true;
    this.#didMore = true;
    try {
      await this.#need.resizePod(this.#pod, this.#observed, signal);
    } catch (err) {
      signal.throwIfAborted();
      this.#note(err); // containers go on with what they have, and others may start
      this.#hasFailed = true;
    }
  }

  async #killPod({ sandboxChanged }: { sandboxChanged: boolean }, signal: AbortSignal): Promise<void> {
    const { events } = this.#need;
    if (sandboxChanged) {
      events.pod(this.#pod, 'Normal', 'SandboxChanged', 'Pod sandbox changed, it will be killed and re-created.');
    }
    this.#sandbox = undefined;
    this.#didAnything = true;
    this.#didMore = true;
    try {
      if (this.#observed !== undefined) await this.#killer.killPod(this.#pod, this.#observed, undefined, signal);
    } catch (err) {
      throw new TurnEnded('cannot kill the pod', { cause: this.#note(err) });
    }
  }

  async #killContainer(action: Extract<PodAction, { kind: 'kill-container' }>, signal: AbortSignal): Promise<void> {
    this.#didAnything = true;
    this.#didMore = true;
    try {
      await this.#killer.killContainer(this.#pod, this.#observed, action, signal);
    } catch (err) {
      throw new TurnEnded('cannot kill a container', { cause: this.#note(err) });
    }
  }

  async #removeContainer(action: Extract<PodAction, { kind: 'remove-container' }>, signal: AbortSignal): Promise<void> {
    this.#didAnything = true;
    this.#didMore = true;
    try {
      await this.#need.cri.removeContainer(action.containerId, signal);
      const logPath = this.#observed?.containers.find(({ id }) => id === action.containerId)?.logPath;
      if (!action.keepLogs && logPath !== undefined && logPath !== '')
        await removeContainerLogs(logPath, this.#need.podLogsDir);
    } catch (err) {
      // Only an old instance stays a while longer; the collector takes it.
      this.#need.log.warn(
        { err, container: action.name, containerId: action.containerId },
        'cannot remove old container',
      );
    }
  }

  async #resetContainer(
    { containerId, name, hasAsked }: Extract<PodAction, { kind: 'reset-container' }>,
    signal: AbortSignal,
  ): Promise<void> {
    this.#didAnything = true;
    this.#didMore = true;
    try {
      await this.#need.cri.removeContainer(containerId, signal);
    } catch (err) {
      // The one whose exit asked for all this must be the last to go.
      throw new TurnEnded('cannot remove a container', { cause: this.#note(err) });
    }
    const removed = this.#observed?.containers.find(({ id }) => id === containerId);
    if (hasAsked && removed !== undefined) this.#need.crashBackoff.noteRemoved(this.#pod, removed);
    this.#failures.set(name, restartingAll);
  }

  async #createSandbox(attempt: number, signal: AbortSignal): Promise<void> {
    const { counts, events, pacer, phases, podLogsDir } = this.#need;
    const hasUserNamespace = this.#pod.spec.hostUsers === false;
    this.#didAnything = true;
    counts.podStarts(hasUserNamespace);
    try {
      const parts = await this.#need.sandboxParts(this.#pod, signal);
      const config = makeSandboxConfig(this.#pod, attempt, podLogsDir, parts);
      await mkdir(podLogDirectory(podLogsDir, this.#pod), { recursive: true, mode: 0o755 });
      this.#sandboxConfig = config;
      const run = (): Promise<string> => this.#runSandbox(config, parts.runtimeHandler, signal);
      const id = await pacer.run('begin', () => phases.span(this.#pod, 'sandbox', run), this.#interrupt);
      await this.#readSandbox(id, signal);
    } catch (err) {
      if (err instanceof TurnEnded) throw err;
      this.#interrupt.throwIfAborted(); // nobody waits for it any more
      counts.podFailed(hasUserNamespace);
      events.pod(this.#pod, 'Warning', 'FailedCreatePodSandBox', `Failed to create pod sandbox: ${runtimeText(err)}`);
      throw new TurnEnded('cannot create the sandbox', { cause: this.#note(err) });
    }
  }

  async #runSandbox(config: PodSandboxConfig, handler: string, signal: AbortSignal): Promise<string> {
    const { cri, clock, counts } = this.#need;
    const beganMs = clock.monotonicMs();
    try {
      const id = await cri.runPodSandbox(config, handler, signal);
      counts.sandboxMade(handler, clock.monotonicMs() - beganMs, false);
      return id;
    } catch (err) {
      counts.sandboxMade(handler, clock.monotonicMs() - beganMs, true);
      throw err;
    }
  }

  async #readSandbox(id: string, signal: AbortSignal): Promise<void> {
    try {
      this.#sandbox = await this.#need.cri.podSandboxStatus(id, signal);
    } catch (err) {
      this.#need.events.pod(
        this.#pod,
        'Warning',
        'FailedPodSandBoxStatus',
        `Unable to get pod sandbox status: ${runtimeText(err)}`,
      );
      throw new TurnEnded('cannot read the sandbox', { cause: this.#note(err) });
    }
    this.#need.onSandboxReady(this.#pod, this.#sandbox);
  }

  async #startContainer(container: PodContainer, signal: AbortSignal): Promise<void> {
    const failure = await this.#tryStart(container, signal);
    if (failure === undefined) {
      this.#started.push(container.spec.name);
      return;
    }
    this.#failures.set(container.spec.name, failure);
    if (failure.reason !== crashLoop) this.#need.counts.containerFailed(container.kind, failure.reason);
    this.#note(new Error(`Cannot start container "${container.spec.name}": ${failure.reason}: ${failure.message}`));
    if (container.kind === 'init') throw new TurnEnded('an init container failed');
  }

  async #tryStart(container: PodContainer, signal: AbortSignal): Promise<StartFailure | undefined> {
    const { cri, counts, events, pacer, phases, crashBackoff } = this.#need;
    const pod = this.#pod;
    const { kind, spec } = container;
    const { name } = spec;
    const sandbox = this.#sandbox;
    if (sandbox === undefined) return { reason: 'ContainerCreating', message: 'the pod has no ready sandbox' };
    const latest = latestContainer(this.#observed, name);

    if (kind !== 'ephemeral') {
      const lastExited = this.#observed?.containers.find((c) => c.name === name && c.state === 'exited');
      const crash = crashBackoff.decide(pod, container, lastExited);
      if (crash.kind === 'wait') {
        events.container(
          pod,
          kind,
          name,
          'Warning',
          'BackOff',
          `Back-off restarting failed container ${name} in pod ${podDescription(pod)}`,
        );
        this.#crashEndsMs = Math.min(this.#crashEndsMs, crash.untilMs);
        return { reason: crashLoop, message: crash.message };
      }
    }
    this.#didAnything = true;
    this.#need.counts.containerStarts(kind);
    const fail = (reason: string, message: string, containerId = ''): StartFailure => {
      // events name containers: an id would make each attempt's message a new one
      const said = containerId === '' ? message : message.replaceAll(containerId, name);
      events.container(pod, kind, name, 'Warning', 'Failed', `Error: ${said}`);
      this.#hasFailed = true;
      return { reason, message };
    };

    const sandboxConfig = await this.#configOf(sandbox, signal);
    const mounted = await this.#imagesToMount(container, sandboxConfig);
    if ('reason' in mounted) return mounted;
    const image = await phases.span(
      pod,
      `image ${name}`,
      () => this.#need.ensureImage(pod, container, sandboxConfig, this.#interrupt),
      { failureOf: failedImage },
    );
    if (image.kind === 'failed') return this.#withoutImage(container, image);

    let restartCount: number;
    let parts: ContainerParts;
    const logDir = join(podLogDirectory(this.#need.podLogsDir, pod), name);
    try {
      restartCount =
        latest === undefined
          ? Math.max(await restartCountOnDisk(logDir), toldRestartCount(this.#need.told(pod), name))
          : restartCountOf(latest) + 1;
      await mkdir(logDir, { recursive: true, mode: 0o755 });
      const podIps = sandbox.ip === '' ? [] : [sandbox.ip, ...sandbox.additionalIps];
      const context = { image: image.image, volumeImages: mounted.images, podIps, observed: this.#observed };
      parts = await this.#need.containerParts(pod, container, context, signal);
    } catch (err) {
      signal.throwIfAborted();
      const message = err instanceof Error ? err.message : String(err);
      const reason = describeError(err);
      // the pod is told in upstream's words, which may leave out what lies behind them
      if (reason !== message) {
        const about = { pod: podDescription(pod), container: name, reason };
        this.#need.log.warn(about, 'cannot make the configuration of a container');
      }
      return fail('CreateContainerConfigError', message);
    }

    let id: string;
    try {
      const config = makeContainerConfig(pod, container, { imageId: image.image.id, restartCount }, parts);
      const create = (): Promise<string> => cri.createContainer(sandbox.id, config, sandboxConfig, signal);
      id = await pacer.run('continue', () => phases.span(pod, `create ${name}`, create), this.#interrupt);
    } catch (err) {
      await parts.cleanup();
      this.#interrupt.throwIfAborted();
      const text = rpcDetails(err);
      counts.imagesMounted(mounted.images.size, isImageRefusal(text));
      return fail('CreateContainerError', explainRefusal(text, mounted.images, this.#need.runtimeName()));
    }
    counts.imagesMounted(mounted.images.size, false);
    events.container(pod, kind, name, 'Normal', 'Created', 'Container created');

    try {
      await this.#need.onStarts(pod, spec);
      const run = (): Promise<void> => cri.startContainer(id, signal);
      await pacer.run('continue', () => phases.span(pod, `start ${name}`, run), signal);
    } catch (err) {
      signal.throwIfAborted();
      return fail('RunContainerError', rpcDetails(err), id);
    }
    events.container(pod, kind, name, 'Normal', 'Started', 'Container started');
    this.#startedIds.push(id);
    await this.#linkLog(container, id, restartCount);
    return await this.#postStart(container, id, sandbox.ip, signal);
  }

  /** The images that the container mounts, or why one of them is missing. */
  async #imagesToMount(
    container: PodContainer,
    sandbox: PodSandboxConfig,
  ): Promise<{ images: ReadonlyMap<string, VolumeImage> } | StartFailure> {
    this.#volumeImages ??= new VolumeImages(this.#pod, (source) =>
      this.#need.phases.span(
        this.#pod,
        `volume-image ${source.reference}`,
        () => this.#need.ensureVolumeImage(this.#pod, source, sandbox, this.#interrupt),
        { failureOf: failedImage },
      ),
    );
    const outcome = await this.#volumeImages.of(container.spec);
    if (outcome.kind === 'ready') return outcome;
    for (const failure of outcome.failures) this.#withoutImage(container, failure);
    return { reason: outcome.last.reason, message: outcome.last.message };
  }

  #withoutImage(
    { kind, spec }: PodContainer,
    { reason, message, retryAtMs }: Extract<ImageOutcome, { kind: 'failed' }>,
  ): StartFailure {
    if (retryAtMs === undefined) this.#hasFailed = true;
    else this.#pullEndsMs = Math.min(this.#pullEndsMs, retryAtMs);
    this.#need.events.container(this.#pod, kind, spec.name, 'Warning', 'Failed', `Error: ${reason}`);
    return { reason, message };
  }

  async #postStart(
    { kind, spec }: PodContainer,
    containerId: string,
    podIp: string,
    signal: AbortSignal,
  ): Promise<StartFailure | undefined> {
    const handler = spec.lifecycle?.postStart;
    if (handler === undefined || kind === 'ephemeral') return undefined;
    const { cri, clock, events, phases } = this.#need;
    const need = { clock, events, execSync: cri.execSync.bind(cri) };
    try {
      await phases.span(this.#pod, `postStart ${spec.name}`, () =>
        runHook(need, handler, { pod: this.#pod, container: spec, containerId, podIp }, this.#interrupt),
      );
      return undefined;
    } catch (err) {
      this.#interrupt.throwIfAborted();
      events.container(this.#pod, kind, spec.name, 'Warning', 'FailedPostStartHook', 'PostStartHook failed');
      const kill = { containerId, name: spec.name, message: 'FailedPostStartHook', cause: 'other', podIp } as const;
      await this.#killer.killContainer(this.#pod, this.#observed, kill, signal);
      this.#hasFailed = true;
      return { reason: 'PostStartHookError', message: describeError(err) };
    }
  }

  /** The configuration the sandbox was made from; made again for a sandbox of before. */
  async #configOf(sandbox: CriSandboxStatus, signal: AbortSignal): Promise<PodSandboxConfig> {
    this.#sandboxConfig ??= makeSandboxConfig(
      this.#pod,
      sandbox.attempt,
      this.#need.podLogsDir,
      await this.#need.sandboxParts(this.#pod, signal),
    );
    return this.#sandboxConfig;
  }

  async #linkLog({ spec }: PodContainer, containerId: string, restartCount: number): Promise<void> {
    const { podLogsDir, containerLogsDir, log } = this.#need;
    const target = join(podLogDirectory(podLogsDir, this.#pod), containerLogPath(spec.name, restartCount));
    const link = containerLogLink(containerLogsDir, this.#pod, spec.name, containerId);
    try {
      await linkLog(target, link);
    } catch (err) {
      // The container runs; only log collectors that read the links miss it.
      log.warn({ err, link }, 'cannot link the container log');
    }
  }

  #note(err: unknown): unknown {
    this.#error ??= err instanceof Error ? err : new Error(String(err));
    return err;
  }
}

const failedImage = (outcome: ImageOutcome): string | undefined =>
  outcome.kind === 'failed' ? `${outcome.reason}: ${outcome.message}` : undefined;

/** The runtime's own answer, as others print it; the whole chain for what went wrong before it was asked. */
function runtimeText(err: unknown): string {
  const text = rpcText(err);
  return text.startsWith('rpc error') ? text : describeError(err);
}

function restartCountOf(container: { annotations: Record<string, string>; attempt: number }): number {
  const count = Number(container.annotations[annotations.restartCount]);
  return Number.isInteger(count) ? count : container.attempt;
}

async function restartCountOnDisk(logDir: string): Promise<number> {
  try {
    return restartCountFromLogs(await readdir(logDir));
  } catch {
    return 0; // no directory: the container never ran
  }
}
