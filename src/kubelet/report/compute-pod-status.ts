/**
 * A pod's status as the API shows it: phase, conditions, container statuses, addresses. Pure: everything that is known
 * goes in as data, and the same knowledge gives the same status.
 */
import { rfc3339Seconds } from '../../base/clock.ts';
import { isConditionTrue } from '../../objects/conditions.ts';
import type { ContainerStatus, Pod, PodCondition, PodStatus } from '../../objects/generated/core-v1.ts';
import { podIpsInOrder } from '../../objects/pod-ips.ts';
import {
  type ObservedPod,
  type PodContainer,
  type ProbeResults,
  type StartFailure,
  isHostNetwork,
  isStaticPod,
  isTerminalPhase,
  latestContainer,
  podContainers,
  readySandbox,
} from '../pod-model.ts';
import { computeContainerStatus } from './compute-container-status.ts';
import { podResourcesStatus } from './compute-resources-status.ts';

type Ending = Pick<PodStatus, 'phase' | 'reason' | 'message'>;

export interface PodStatusInput {
  pod: Pod;
  observed: ObservedPod | undefined;
  /** What we said last; the API's copy when we have said nothing yet. */
  old: PodStatus | undefined;
  /** By container name: why the latest start did not happen. */
  failures: ReadonlyMap<string, StartFailure>;
  /** By container name: whether it is to be started again as things stand. */
  isToStart(container: PodContainer): boolean;
  /** Whether a container that ended with this code stays ended. */
  staysDown(container: PodContainer, exitCode: number): boolean;
  /** Whether the pod would need a new sandbox. */
  needsSandbox: boolean;
  /** Whether all containers are being started over; undefined for a pod in which no exit can ask for that. */
  isRestartingAll: boolean | undefined;
  /** Whether the pod's runtime handler can make mounts read-only all the way down. */
  hasRecursiveReadOnly: boolean;
  /** Whether statuses name the signals that stop containers. */
  hasStopSignals: boolean;
  probes: ProbeResults;
  /** Whether somebody probes this container: only then a missing result means "not yet". */
  hasProbe(container: PodContainer, kind: 'startup' | 'readiness'): boolean;
  /** The pod is on its way out, whatever its containers do. */
  isEnding: boolean;
  /** The pod's own time is over, whatever its containers do. */
  override: Ending | undefined;
  /** Why somebody else ends it. Containers run on until they are stopped, and the conditions tell of them until then. */
  lastWord: Ending | undefined;
  qosClass: string;
  hostIps: readonly string[];
  runtimeName: string;
  terminationMessage(containerId: string): string | undefined;
  /** The pod with what its containers were started or last updated with. */
  actualPod: Pod;
  /** PodResizePending and PodResizeInProgress, as they are now. */
  resizeConditions: readonly PodCondition[];
  nowMs: number;
}

export function computePodStatus(input: PodStatusInput): PodStatus {
  const { pod, observed, old, nowMs } = input;
  const containers = podContainers(pod);
  const hasInitContainers = containers.some(({ kind }) => kind === 'init' || kind === 'sidecar');
  const hasRegularBegun = containers.some(
    ({ kind, spec }) => kind === 'regular' && latestContainer(observed, spec.name) !== undefined,
  );
  const actual = new Map(podContainers(input.actualPod).map(({ spec }) => [spec.name, spec.resources]));
  const statusOf = (container: PodContainer): ContainerStatus => {
    const before = oldStatus(old, container);
    const status = computeContainerStatus({
      ...input,
      container,
      actuated: (name) => actual.get(name),
      old: before,
      hasInitContainers,
      hasRegularBegun,
      failure: input.isToStart(container) ? input.failures.get(container.spec.name) : undefined,
    });
    return withReadiness(input, container, status, before);
  };
  const byName = (a: ContainerStatus, b: ContainerStatus): number => (a.name < b.name ? -1 : 1);
  const ofKind = (...kinds: Array<PodContainer['kind']>): ContainerStatus[] =>
    containers.filter(({ kind }) => kinds.includes(kind)).map(statusOf);
  const initStatuses = ofKind('init', 'sidecar');
  const regularStatuses = ofKind('regular').toSorted(byName);
  const ephemeralStatuses = ofKind('ephemeral').toSorted(byName);

  const computed = computePhase(input, containers, initStatuses, regularStatuses);
  // Also what somebody else has told the API: a pod that is over there stays so.
  const told = isTerminalPhase(old?.phase) || !isTerminalPhase(pod.status?.phase) ? old : pod.status;
  const isSticky = isTerminalPhase(told?.phase);
  const ownPhase = isSticky ? told?.phase : (input.override?.phase ?? computed);
  const ending = input.lastWord ?? input.override;
  const phase = isSticky ? told?.phase : (ending?.phase ?? computed);
  const keepsReason = told?.phase === phase;
  const reason = ending?.reason ?? (keepsReason ? told?.reason : undefined);
  const message = ending?.message ?? (keepsReason ? told?.message : undefined);
  const podIps = addressesOf(input);
  return {
    phase,
    ...(reason === undefined ? {} : { reason }),
    ...(message === undefined ? {} : { message }),
    conditions: computeConditions(
      { ...input, phase: ownPhase ?? 'Pending' },
      containers,
      initStatuses,
      regularStatuses,
    ),
    startTime: old?.startTime ?? rfc3339Seconds(nowMs),
    qosClass: pod.status?.qosClass ?? input.qosClass,
    ...(pod.metadata.generation === undefined ? {} : { observedGeneration: pod.metadata.generation }),
    ...(input.hostIps[0] === undefined
      ? {}
      : { hostIP: input.hostIps[0], hostIPs: input.hostIps.map((ip) => ({ ip })) }),
    ...(podIps[0] === undefined ? {} : { podIP: podIps[0], podIPs: podIps.map((ip) => ({ ip })) }),
    ...(initStatuses.length === 0 ? {} : { initContainerStatuses: initStatuses }),
    containerStatuses: regularStatuses,
    ...podResourcesStatus(pod, input.actualPod),
    ...(ephemeralStatuses.length === 0 ? {} : { ephemeralContainerStatuses: ephemeralStatuses }),
  };
}

function oldStatus(old: PodStatus | undefined, { kind, spec }: PodContainer): ContainerStatus | undefined {
  const list =
    kind === 'regular'
      ? old?.containerStatuses
      : kind === 'ephemeral'
        ? old?.ephemeralContainerStatuses
        : old?.initContainerStatuses;
  return list?.find(({ name }) => name === spec.name);
}

/**
 * Of the node's family first; one per family. Host-network pods have the node's. A pod without a ready sandbox keeps the
 * addresses that were told, also across a restart of the kubelet.
 */
function addressesOf({ pod, observed, old, hostIps }: PodStatusInput): string[] {
  if (isHostNetwork(pod)) return hostAddresses(old, hostIps);
  const seen = observed?.ips ?? [];
  const keepsOld = seen.length === 0 && observed?.sandboxes.some(({ isReady }) => isReady) !== true;
  const ips = keepsOld ? (old?.podIPs ?? []).map(({ ip }) => ip) : seen;
  return podIpsInOrder(ips, hostIps[0]?.includes(':') === true);
}

/** What was told stays, though the node's addresses change; a second family may come later. */
function hostAddresses(old: PodStatus | undefined, hostIps: readonly string[]): string[] {
  const told = (old?.podIPs ?? []).map(({ ip }) => ip);
  if (told.length === 0) return hostIps.slice(0, 2);
  const isV6 = (ip: string): boolean => ip.includes(':');
  const second = hostIps.find((ip) => told.every((one) => isV6(one) !== isV6(ip)));
  return second === undefined ? told : [...told, second];
}

// ---- started and ready

function withReadiness(
  { probes, hasProbe, observed }: PodStatusInput,
  container: PodContainer,
  status: ContainerStatus,
  old: ContainerStatus | undefined,
): ContainerStatus {
  const { kind, spec } = container;
  if (kind === 'ephemeral') {
    const { started: _started, ...rest } = status;
    return { ...rest, ready: false };
  }
  if (kind === 'init') {
    const isDone = status.state?.terminated?.exitCode === 0;
    return { ...status, ready: isDone, started: status.state?.running !== undefined };
  }
  if (status.state?.running === undefined) return { ...status, ready: false, started: false };
  const id = latestContainer(observed, spec.name)?.id ?? '';
  const isSameInstance = old?.containerID !== undefined && old.containerID === status.containerID;
  const startup = probes.startup(id);
  const started =
    startup !== undefined
      ? startup === 'success'
      : (isSameInstance && old.started === true) || !hasProbe(container, 'startup');
  if (!started) return { ...status, ready: false, started };
  const readiness = probes.readiness(id);
  const ready =
    readiness !== undefined
      ? readiness === 'success'
      : !hasProbe(container, 'readiness') || (isSameInstance && old.ready === true);
  return { ...status, ready, started };
}

// ---- phase

function computePhase(
  { pod, observed, staysDown, isEnding }: PodStatusInput,
  containers: readonly PodContainer[],
  initStatuses: readonly ContainerStatus[],
  regularStatuses: readonly ContainerStatus[],
): 'Pending' | 'Running' | 'Succeeded' | 'Failed' {
  const containerOf = new Map(containers.map((container) => [container.spec.name, container]));
  let isPending = false;
  /** A sidecar that starts again does not take a pod back that has begun in the sandbox that it has. */
  let isStarting = false;
  let running = 0;
  for (const status of initStatuses) {
    const container = containerOf.get(status.name);
    if (container === undefined) continue;
    if (container.kind === 'sidecar') {
      const { running: runs, terminated } = status.state ?? {};
      if (runs !== undefined) running += 1;
      if (runs !== undefined && status.started !== true) isStarting = true;
      if (runs === undefined && terminated === undefined && status.lastState?.terminated === undefined)
        isPending = true; // one that has ended counts for nothing
      continue;
    }
    const ended =
      status.state?.terminated ?? (status.state?.waiting === undefined ? undefined : status.lastState?.terminated);
    if (ended === undefined) isPending = true;
    else if (ended.exitCode !== 0) {
      if (staysDown(container, ended.exitCode)) return 'Failed';
      isPending = true;
    } else if (status.state?.waiting !== undefined) isPending = true;
  }
  const sandbox = readySandbox(observed);
  const hasBegun = observed?.containers.some(
    ({ name, sandboxId }) => sandboxId === sandbox?.id && containerOf.get(name)?.kind === 'regular',
  );
  if (isPending || (isStarting && hasBegun !== true)) return 'Pending';

  let stopped = 0;
  let succeeded = 0;
  let restartable = 0;
  for (const status of regularStatuses) {
    const container = containerOf.get(status.name);
    if (status.state?.running !== undefined) {
      running += 1;
      continue;
    }
    const ended = status.state?.terminated ?? status.lastState?.terminated;
    if (ended === undefined) return 'Pending';
    stopped += 1;
    if (ended.exitCode === 0) succeeded += 1;
    if (container !== undefined && !staysDown(container, ended.exitCode)) restartable += 1;
  }
  if (running > 0) return 'Running';
  if (isEnding && !isStaticPod(pod)) return succeeded === stopped ? 'Succeeded' : 'Failed';
  if (restartable > 0) return 'Running';
  return succeeded === stopped ? 'Succeeded' : 'Failed';
}

// ---- conditions

/** Conditions of these types are ours; all others are kept as they are. */
const ownTypes = new Set([
  'PodResizePending',
  'PodResizeInProgress',
  'PodReadyToStartContainers',
  'Initialized',
  'Ready',
  'ContainersReady',
  'PodScheduled',
  'AllContainersRestarting',
]);

interface Verdict {
  status: 'True' | 'False';
  reason?: string;
  message?: string;
}

const isTrue: Verdict = { status: 'True' };

function computeConditions(
  input: PodStatusInput & { phase: string },
  containers: readonly PodContainer[],
  initStatuses: readonly ContainerStatus[],
  regularStatuses: readonly ContainerStatus[],
): PodCondition[] {
  const { pod, old, phase, nowMs } = input;
  // Readiness gates and other controllers' conditions: the API's copy is the newest.
  const foreign = (pod.status?.conditions ?? []).filter(({ type }) => !ownTypes.has(type));
  const sidecars = new Set(containers.filter(({ kind }) => kind === 'sidecar').map(({ spec }) => spec.name));
  const inSpecOrder = pod.spec.containers.flatMap(({ name }) => regularStatuses.filter((one) => one.name === name));
  const ready = containersReady(phase, [...initStatuses.filter(({ name }) => sidecars.has(name)), ...inSpecOrder]);
  const verdicts: Array<[string, Verdict]> = [
    ['PodReadyToStartContainers', input.needsSandbox ? { status: 'False' } : isTrue],
    ['Initialized', staysInitialized(input) ? isTrue : initialized(phase, sidecars, initStatuses, regularStatuses)],
    ['Ready', ready.status === 'True' ? readinessGates(pod, foreign) : ready],
    ['ContainersReady', ready],
    ['PodScheduled', isTrue],
    ...(input.isRestartingAll === undefined
      ? []
      : [
          ['AllContainersRestarting', allContainersRestarting(phase, input.isRestartingAll)] satisfies [
            string,
            Verdict,
          ],
        ]),
  ];
  const observedGeneration =
    pod.metadata.generation === undefined ? {} : { observedGeneration: pod.metadata.generation };
  const own = verdicts.map(([type, verdict]): PodCondition => {
    const before = old?.conditions?.find((condition) => condition.type === type);
    const isSame = before?.status === verdict.status && before.lastTransitionTime !== undefined;
    return {
      type,
      ...verdict,
      lastTransitionTime: isSame ? before.lastTransitionTime : rfc3339Seconds(nowMs),
      ...observedGeneration,
    };
  });
  // Ahead of ours come the resize conditions, and only DisruptionTarget stands between.
  const isLate = ({ type }: PodCondition): boolean => type === 'DisruptionTarget';
  return [
    ...foreign.filter((one) => !isLate(one)),
    ...input.resizeConditions,
    ...foreign.filter((one) => isLate(one)),
    ...own,
  ];
}

/** Containers that are started over in their sandbox do not make the pod uninitialised. */
function staysInitialized({ phase, old, isRestartingAll, needsSandbox }: PodStatusInput & { phase: string }): boolean {
  if (isRestartingAll === undefined || needsSandbox || isTerminalPhase(phase)) return false;
  return isConditionTrue(old?.conditions, 'Initialized');
}

function allContainersRestarting(phase: string, isRestartingAll: boolean): Verdict {
  if (phase === 'Succeeded') return { status: 'False', reason: 'PodCompleted' };
  if (phase === 'Failed') return { status: 'False', reason: 'PodFailed' };
  if (!isRestartingAll) return { status: 'False' };
  return {
    status: 'True',
    reason: 'RestartAllContainersStarted',
    message: 'container exited with restart policy rule',
  };
}

const goList = (names: readonly string[]): string => `[${names.join(' ')}]`;

function unreadyMessage(unknown: readonly string[], what: string, incomplete: readonly string[]): string {
  return [
    ...(unknown.length === 0 ? [] : [`containers with unknown status: ${goList(unknown)}`]),
    ...(incomplete.length === 0 ? [] : [`containers with ${what} status: ${goList(incomplete)}`]),
  ].join(', ');
}

function containersReady(phase: string, statuses: readonly ContainerStatus[]): Verdict {
  if (phase === 'Succeeded') return { status: 'False', reason: 'PodCompleted' };
  if (phase === 'Failed') return { status: 'False', reason: 'PodFailed' };
  const unready = statuses.filter(({ ready }) => !ready).map(({ name }) => name);
  if (unready.length === 0) return isTrue;
  return { status: 'False', reason: 'ContainersNotReady', message: unreadyMessage([], 'unready', unready) };
}

function initialized(
  phase: string,
  sidecars: ReadonlySet<string>,
  initStatuses: readonly ContainerStatus[],
  regularStatuses: readonly ContainerStatus[],
): Verdict {
  if (phase === 'Succeeded') return { status: 'True', reason: 'PodCompleted' };
  const hasBegun = regularStatuses.some(({ containerID }) => containerID !== undefined && containerID !== '');
  if (hasBegun) return isTrue;
  const incomplete = initStatuses.filter((status) =>
    sidecars.has(status.name) ? status.started !== true : !status.ready,
  );
  if (incomplete.length === 0) return isTrue;
  return {
    status: 'False',
    reason: 'ContainersNotInitialized',
    message: unreadyMessage(
      [],
      'incomplete',
      incomplete.map(({ name }) => name),
    ),
  };
}

function readinessGates(pod: Pod, foreign: readonly PodCondition[]): Verdict {
  const problems = (pod.spec.readinessGates ?? []).flatMap(({ conditionType }) => {
    const condition = foreign.find(({ type }) => type === conditionType);
    if (condition === undefined)
      return [`corresponding condition of pod readiness gate "${conditionType}" does not exist.`];
    if (condition.status === 'True') return [];
    return [`the status of pod readiness gate "${conditionType}" is not "True", but ${condition.status}`];
  });
  return problems.length === 0
    ? isTrue
    : { status: 'False', reason: 'ReadinessGatesNotReady', message: problems.join(', ') };
}
