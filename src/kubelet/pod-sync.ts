/**
 * The three turns of a pod's life, as steps in order: bring it nearer to what it should be, end it, clean up after it.
 * Connects the rooms of the line; each is known here only by what is asked of it.
 */
import { describeError } from '../base/errors.ts';
import { rpcText } from '../base/grpc.ts';
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import type { EphemeralContainer, Pod, PodStatus } from '../objects/generated/core-v1.ts';
import type { Rejection } from './dispatch/admit-pod.ts';
import { sortOutEphemeral } from './dispatch/ephemeral-door.ts';
import type { PodState, TurnOutcome } from './dispatch/next-pod-state.ts';
import type { PodTurns } from './dispatch/pod-workers.ts';
import { type PodResizes, computePodActions } from './execute/compute-pod-actions.ts';
import { VolumeLimitError } from './support/volumes/mount-failure.ts';
import type { MountedVolume } from './support/volumes/volumes.ts';
import type { ExecuteOutcome, PodRuntime } from './execute/pod-runtime.ts';
import {
  type ObservedPod,
  type PodEvents,
  type PodPhases,
  type ProbeResults,
  type StartFailure,
  type StatusOverride,
  isHostNetwork,
  isRunning,
  isStaticPod,
  isTerminalPhase,
  latestContainer,
  podContainers,
  podKey,
  readySandbox,
  uidOf,
} from './pod-model.ts';

export interface ReportOptions {
  failures: ReadonlyMap<string, StartFailure>;
  isEnding: boolean;
  override?: StatusOverride | undefined;
  /** Nothing of it runs and it is not to run again. */
  isOver?: boolean;
}

interface PodSyncNeed {
  observe: {
    get(uid: string): ObservedPod | undefined;
    /** What is known of the pod may not be so: nobody has looked at it yet, or the latest look failed. */
    isInDoubt(uid: string): boolean;
    inspect(uid: string, signal: AbortSignal): Promise<ObservedPod | undefined>;
    inspectStarted(
      uid: string,
      sandboxId: string,
      containerIds: readonly string[],
      signal: AbortSignal,
    ): Promise<ObservedPod | undefined>;
    /** Expect a change of the pod soon: look more often for a while. */
    lookClosely(uid: string): void;
  };
  runtime: Pick<PodRuntime, 'execute' | 'killPod'>;
  /** Computes the pod's status from all that is known, tells the API, and returns it. */
  report(pod: Pod, observed: ObservedPod | undefined, options: ReportOptions): PodStatus;
  /** Reads what ended containers left as their message. */
  readMessages(pod: Pod, observed: ObservedPod, signal: AbortSignal): Promise<void>;
  networkError(): string | undefined;
  /** A pod that was admitted cannot be had after all. */
  onRejected(pod: Pod, rejection: Rejection): void;
  /** Why this node cannot run a container that came to a pod that is here. */
  refuseEphemeral(pod: Pod, container: EphemeralContainer): Rejection | undefined;
  objects: { register(pod: Pod): void; unregister(uid: string): void };
  volumes: {
    mount(pod: Pod, signal: AbortSignal): Promise<ReadonlyMap<string, MountedVolume>>;
    unmount(uid: string, signal: AbortSignal): Promise<void>;
    ensurePodDirs(uid: string): Promise<void>;
  };
  cgroups: {
    isMissing(pod: Pod): Promise<boolean>;
    ensure(pod: Pod, signal: AbortSignal): Promise<void>;
    remove(uid: string, signal: AbortSignal): Promise<void>;
  };
  probes: ProbeResults & {
    addPod(pod: Pod): void;
    removePod(uid: string): void;
    stopLivenessAndStartup(uid: string): void;
  };
  resizes: PodResizes;
  events: PodEvents;
  phases: PodPhases;
  clock: Clock;
  log: Logger;
}

const slowLookMs = 1000;

/** A part of a turn: what it gave, or how it ends the turn. */
type Step<T> = { value: T } | { failure: TurnOutcome };

export class PodSync implements PodTurns {
  readonly #need: PodSyncNeed;
  /** Why containers could not be started, by pod uid and container name. */
  readonly #failures = new Map<string, Map<string, StartFailure>>();
  /** Pods that had a turn in this process, by uid. */
  readonly #hadTurn = new Set<string>();
  /** Pods in which something was done that nobody has looked at since: to go by their old picture would do it twice. */
  readonly #toLookAt = new Set<string>();
  /** Volumes of pods that this process has mounted or taken over, by pod uid. */
  readonly #volumes = new Map<string, ReadonlyMap<string, MountedVolume>>();
  /** Pods whose volumes could not all be mounted at their last turn. */
  readonly #lackVolumes = new Set<string>();

  constructor(need: PodSyncNeed) {
    this.#need = need;
  }

  /** Whether the pod had a turn in this process. */
  hadTurn(uid: string): boolean {
    return this.#hadTurn.has(uid);
  }

  failures(uid: string): ReadonlyMap<string, StartFailure> {
    return this.#failures.get(uid) ?? new Map();
  }

  mountedVolumes(uid: string): ReadonlyMap<string, MountedVolume> {
    return this.#volumes.get(uid) ?? new Map();
  }

  /** Whether the pod could not go on at its last turn for want of something that an object may bring. */
  waitsForObjects(uid: string): boolean {
    return this.#lackVolumes.has(uid) || [...this.failures(uid).values()].some(isConfigError);
  }

  /** Drops what is remembered of a pod that is gone. */
  forget(uid: string): void {
    this.#lackVolumes.delete(uid);
    this.#failures.delete(uid);
    this.#hadTurn.delete(uid);
    this.#toLookAt.delete(uid);
    this.#volumes.delete(uid);
  }

  /**
   * Tells what has become known of a pod while a turn of it is in progress, which may take long: a pull for one container
   * or the end of the whole pod must not hide for minutes that another container is not ready any more.
   */
  retell({ pod, phase, kill, isRuntimeOnly }: PodState): void {
    const uid = uidOf(pod);
    if (isRuntimeOnly || !this.#hadTurn.has(uid) || (phase !== 'sync' && phase !== 'terminating')) return;
    const isEnding = phase === 'terminating';
    this.#report(pod, this.#need.observe.get(uid), isEnding, isEnding ? kill.overrideStatus : undefined);
  }

  async sync(pod: Pod, interrupt: AbortSignal, signal: AbortSignal): Promise<TurnOutcome> {
    const { observe, events, probes } = this.#need;
    const uid = uidOf(pod);
    if (this.#toLookAt.has(uid) || observe.isInDoubt(uid)) {
      const looked = await this.#look(pod, interrupt, () => observe.inspect(uid, interrupt));
      if ('failure' in looked) return looked.failure;
    }
    const observed = observe.get(uid);
    if (observed !== undefined) await this.#readMessages(pod, observed, signal);
    if (!this.#hadTurn.has(uid)) this.#noteFailures(uid, toldFailures(pod, observed), []);
    this.#hadTurn.add(uid);
    const accepted = this.#refuseEphemeral(pod, observed);
    const status = this.#report(pod, observed, false);
    if (isTerminalPhase(status.phase)) return { kind: 'terminal' };

    const networkError = isHostNetwork(pod) ? undefined : this.#need.networkError();
    if (networkError !== undefined) {
      events.pod(pod, 'Warning', 'NetworkNotReady', `network is not ready: ${networkError}`);
      return { kind: 'failed', message: `network is not ready: ${networkError}` };
    }
    const ended = await this.#endOutsiders(pod, interrupt, signal);
    if (ended !== undefined) return ended;
    const prepared = await this.#prepare(accepted, interrupt);
    if (prepared !== undefined) return prepared;
    probes.addPod(pod);

    // The interrupt ends pulls and waits; calls that would leave half a container behind go to their end.
    const actions = computePodActions({
      pod: accepted,
      observed: observe.get(uid),
      probes,
      resizes: this.#need.resizes,
    });
    if (actions.length === 0) return { kind: 'done' };
    this.#toLookAt.add(uid);
    const outcome = await this.#need.runtime.execute(pod, observe.get(uid), actions, interrupt, signal);
    this.#noteFailures(uid, outcome.failures, outcome.started);
    const looked = await this.#look(pod, signal, () => this.#lookAfter(uid, outcome, signal));
    if ('failure' in looked) {
      this.#report(pod, observe.get(uid), false);
      return looked.failure;
    }
    const after = looked.value;
    if (after !== undefined) await this.#readMessages(pod, after, signal);
    this.#report(pod, after, false);
    if (outcome.didAnything && isShortLived(pod, after)) observe.lookClosely(uid);
    if (outcome.error === undefined) return { kind: 'done' };
    const untilMs = outcome.retryAtMs === undefined ? undefined : outcome.retryAtMs - this.#need.clock.nowMs();
    return { kind: 'failed', message: describeError(outcome.error), untilMs };
  }

  /** Says once which ephemeral containers this node refuses. @returns the pod without them */
  #refuseEphemeral(pod: Pod, observed: ObservedPod | undefined): Pod {
    const sorted = sortOutEphemeral(pod, observed, (container) => this.#need.refuseEphemeral(pod, container));
    const known = this.failures(uidOf(pod));
    for (const [name, { reason, message }] of sorted.refused) {
      if (known.get(name)?.message === message) continue;
      this.#need.events.container(pod, 'ephemeral', name, 'Warning', reason, message);
    }
    this.#noteFailures(uidOf(pod), sorted.refused, []);
    return sorted.pod;
  }

  /** A look at the pod that its next step goes by: without one there is no next step. */
  async #look(
    pod: Pod,
    signal: AbortSignal,
    look: () => Promise<ObservedPod | undefined>,
  ): Promise<Step<ObservedPod | undefined>> {
    try {
      const value = await this.#need.phases.span(pod, 'look', look, { quietBelowMs: slowLookMs });
      this.#toLookAt.delete(uidOf(pod));
      return { value };
    } catch (err) {
      signal.throwIfAborted();
      const message = `error determining status: ${rpcText(err)}`;
      this.#need.events.pod(pod, 'Warning', 'FailedSync', message);
      return { failure: { kind: 'failed', message } };
    }
  }

  #readMessages(pod: Pod, observed: ObservedPod, signal: AbortSignal): Promise<void> {
    const read = (): Promise<void> => this.#need.readMessages(pod, observed, signal);
    return this.#need.phases.span(pod, 'messages', read, { quietBelowMs: slowLookMs });
  }

  async #lookAfter(
    uid: string,
    { didAnything, onlyStarted }: ExecuteOutcome,
    signal: AbortSignal,
  ): Promise<ObservedPod | undefined> {
    const { observe } = this.#need;
    if (!didAnything) return observe.get(uid);
    if (onlyStarted === undefined) return await observe.inspect(uid, signal);
    return await observe.inspectStarted(uid, onlyStarted.sandboxId, onlyStarted.containerIds, signal);
  }

  /**
   * Containers that run though the pod has no group are held by none of its limits, as after a kubelet that kept its
   * groups elsewhere: they end, and start again in the group, if they may.
   */
  async #endOutsiders(pod: Pod, interrupt: AbortSignal, signal: AbortSignal): Promise<TurnOutcome | undefined> {
    const { cgroups, observe, runtime, log } = this.#need;
    const uid = uidOf(pod);
    const observed = observe.get(uid);
    if (this.#volumes.has(uid) || !pod.spec.containers.some(({ name }) => isRunningNow(observed, name)))
      return undefined;
    if (observed === undefined || !(await cgroups.isMissing(pod))) return undefined;
    log.info({ pod: podKey(pod), uid }, 'ending containers that run outside of the control group of their pod');
    this.#toLookAt.add(uid);
    try {
      await runtime.killPod(pod, observed, undefined, signal);
    } catch (err) {
      signal.throwIfAborted();
      const reason = describeError(err);
      log.warn({ pod: podKey(pod), uid, reason }, 'cannot end containers outside of their control group: they stay');
    }
    const looked = await this.#look(pod, interrupt, () => observe.inspect(uid, interrupt));
    if ('failure' in looked) return looked.failure;
    if (looked.value !== undefined) await this.#readMessages(pod, looked.value, signal);
    return isTerminalPhase(this.#report(pod, looked.value, false).phase) ? { kind: 'terminal' } : undefined;
  }

  /** What must be there before any container: objects, cgroup, directories, volumes. */
  async #prepare(pod: Pod, interrupt: AbortSignal): Promise<TurnOutcome | undefined> {
    const { cgroups, objects, events, observe, phases } = this.#need;
    const uid = uidOf(pod);
    if (!isStaticPod(pod)) objects.register(pod);
    const mountedBefore = this.#hasAllVolumes(pod) ? this.#volumes.get(uid) : undefined;
    // a group that somebody has taken away since comes back with its limits, before a new sandbox is in it
    if (mountedBefore !== undefined && readySandbox(observe.get(uid)) !== undefined) return undefined;
    // Neither needs the other: the pod waits only for the slower one.
    const [isGrouped, mounted] = await Promise.all([
      this.#orFailure(
        phases.span(pod, 'cgroup', () => cgroups.ensure(pod, interrupt)),
        interrupt,
        (text) => {
          const message = `unable to ensure pod container exists: ${text}`;
          events.pod(pod, 'Warning', 'FailedCreatePodContainer', message);
          return message;
        },
      ),
      mountedBefore === undefined ? this.#mountVolumes(pod, interrupt) : { value: mountedBefore },
    ]);
    if ('failure' in mounted) return mounted.failure; // it may be for good
    if ('failure' in isGrouped) return isGrouped.failure;
    this.#volumes.set(uid, mounted.value);
    return undefined;
  }

  async #mountVolumes(pod: Pod, interrupt: AbortSignal): Promise<Step<ReadonlyMap<string, MountedVolume>>> {
    const { volumes, events, phases } = this.#need;
    const directories = await this.#orFailure(volumes.ensurePodDirs(uidOf(pod)), interrupt, (text) => {
      events.pod(pod, 'Warning', 'Failed', text);
      return text;
    });
    if ('failure' in directories) return directories;
    this.#lackVolumes.delete(uidOf(pod));
    const mounting = phases.span(pod, 'volumes', () => volumes.mount(pod, interrupt));
    const mounted = await this.#orFailure(mounting, interrupt, (text, err) =>
      // each has said for itself what is wrong
      err instanceof VolumeLimitError ? this.#reject(pod, 'VolumeAttachmentLimitExceeded', text) : text,
    );
    if ('failure' in mounted) this.#lackVolumes.add(uidOf(pod));
    return mounted;
  }

  #reject(pod: Pod, reason: string, message: string): TurnOutcome {
    this.#need.onRejected(pod, { reason, message });
    return { kind: 'terminal', override: { phase: 'Failed', reason, message: `Pod was rejected: ${message}` } };
  }

  /** @param explain makes the turn's message of the error's, or its outcome, and says it to whom it concerns */
  async #orFailure<T>(
    work: Promise<T>,
    interrupt: AbortSignal,
    explain: (text: string, err: unknown) => string | TurnOutcome,
  ): Promise<Step<T>> {
    try {
      return { value: await work };
    } catch (err) {
      interrupt.throwIfAborted();
      const said = explain(describeError(err), err);
      return { failure: typeof said === 'string' ? { kind: 'failed', message: said } : said };
    }
  }

  /** An ephemeral container may be the first to mount one of the pod's volumes. */
  #hasAllVolumes(pod: Pod): boolean {
    const mounted = this.#volumes.get(uidOf(pod));
    if (mounted === undefined) return false;
    return podContainers(pod).every(({ spec }) =>
      [...(spec.volumeMounts ?? []), ...(spec.volumeDevices ?? [])].every(({ name }) => mounted.has(name)),
    );
  }

  async terminate({ pod, graceSeconds, kill, isRuntimeOnly }: PodState, signal: AbortSignal): Promise<TurnOutcome> {
    const { observe, runtime, probes, events, log } = this.#need;
    const uid = uidOf(pod);
    const before = observe.get(uid);
    if (before !== undefined) await this.#readMessages(pod, before, signal);
    if (!isRuntimeOnly) this.#report(pod, before, true, kill.overrideStatus);
    probes.stopLivenessAndStartup(uid);
    const looked = await this.#look(pod, signal, () => observe.inspect(uid, signal));
    if ('failure' in looked) return looked.failure;
    const observed = looked.value;
    if (observed !== undefined) {
      try {
        await runtime.killPod(pod, observed, graceSeconds, signal);
      } catch (err) {
        signal.throwIfAborted();
        events.pod(pod, 'Warning', 'FailedKillPod', `error killing pod: ${describeError(err)}`);
        return { kind: 'failed', message: `error killing pod: ${describeError(err)}` };
      }
    }
    probes.removePod(uid);
    const inspect = (): Promise<ObservedPod | undefined> => observe.inspect(uid, signal);
    const after =
      observed === undefined
        ? undefined
        : await this.#need.phases.span(pod, 'look', inspect, { quietBelowMs: slowLookMs });
    if (isRunning(after))
      return { kind: 'failed', message: `containers of pod "${podKey(pod)}" still run after they were stopped` };
    if (after !== undefined) await this.#readMessages(pod, after, signal);
    if (!isRuntimeOnly) this.#report(pod, after, true, kill.overrideStatus);
    log.debug({ pod: podKey(pod), uid }, 'pod stopped');
    return { kind: 'done' };
  }

  async finish({ pod, kill, isRuntimeOnly }: PodState, signal: AbortSignal): Promise<TurnOutcome> {
    const { observe, volumes, objects, cgroups } = this.#need;
    const uid = uidOf(pod);
    const observed = observe.get(uid);
    // For a pod that was over before this process began, this is the first look.
    if (observed !== undefined) await this.#readMessages(pod, observed, signal);
    await this.#need.phases.span(pod, 'unmount', () => volumes.unmount(uid, signal));
    await this.#need.phases.span(pod, 'uncgroup', () => cgroups.remove(uid, signal));
    objects.unregister(uid);
    this.#volumes.delete(uid);
    if (!isRuntimeOnly) this.#report(pod, observe.get(uid), true, kill.overrideStatus, true);
    return { kind: 'done' };
  }

  #report(
    pod: Pod,
    observed: ObservedPod | undefined,
    isEnding: boolean,
    override?: ReportOptions['override'],
    isOver = false,
  ): PodStatus {
    const failures = isEnding ? new Map<string, StartFailure>() : this.failures(uidOf(pod));
    return this.#need.report(pod, observed, { failures, isEnding, override, isOver });
  }

  #noteFailures(uid: string, failures: ReadonlyMap<string, StartFailure>, started: readonly string[]): void {
    const known = this.#failures.get(uid) ?? new Map<string, StartFailure>();
    for (const name of started) known.delete(name);
    for (const [name, failure] of failures) known.set(name, failure);
    if (known.size === 0) this.#failures.delete(uid);
    else this.#failures.set(uid, known);
  }
}

/**
 * What the API was told by an earlier process about containers that wait to be started: it stays so until they are tried
 * again, since a restart of the kubelet is no news about them.
 */
function toldFailures({ status }: Pod, observed: ObservedPod | undefined): Map<string, StartFailure> {
  const told = new Map<string, StartFailure>();
  const { initContainerStatuses = [], containerStatuses = [], ephemeralContainerStatuses = [] } = status ?? {};
  for (const one of [...initContainerStatuses, ...containerStatuses, ...ephemeralContainerStatuses]) {
    const { reason, message = '' } = one.state?.waiting ?? {};
    const latest = latestContainer(observed, one.name);
    const isSame = latest === undefined ? !one.containerID : one.containerID?.endsWith(`//${latest.id}`) === true;
    if (reason !== undefined && message !== '' && isSame && latest?.state !== 'running') {
      told.set(one.name, { reason, message });
    }
  }
  return told;
}

const isRunningNow = (observed: ObservedPod | undefined, name: string): boolean =>
  latestContainer(observed, name)?.state === 'running';

const isConfigError = ({ reason }: StartFailure): boolean => reason === 'CreateContainerConfigError';

/** Init containers and jobs tend to end soon after their start; a server does not. */
function isShortLived(pod: Pod, observed: ObservedPod | undefined): boolean {
  const inits = new Set((pod.spec.initContainers ?? []).map(({ name }) => name));
  return (
    observed?.containers.some(
      ({ state, name }) => state === 'running' && (inits.has(name) || pod.spec.restartPolicy !== 'Always'),
    ) === true
  );
}
