/** What a pod's status may not say, and what it must say at the pod's end, whatever the runtime remembers. Pure. */
import type { ContainerStatus, Pod, PodCondition, PodStatus } from '../../objects/generated/core-v1.ts';
import { rfc3339Seconds } from '../../base/clock.ts';
import { type PodContainer, isSidecar, isStaticPod, isTerminalPhase, podContainers } from '../pod-model.ts';

/**
 * A container that ended for good cannot be anything else afterwards: a status that says so comes from a runtime that
 * has lost its memory. @returns the container's name; undefined when all is well
 */
export function findIllegalTransition(
  pod: Pod,
  old: PodStatus | undefined,
  now: PodStatus,
  staysDown: (container: PodContainer, exitCode: number) => boolean,
): string | undefined {
  const after = new Map(
    [...(now.initContainerStatuses ?? []), ...(now.containerStatuses ?? [])].map((status) => [status.name, status]),
  );
  const before = new Map(
    [...(old?.initContainerStatuses ?? []), ...(old?.containerStatuses ?? [])].map((status) => [status.name, status]),
  );
  const containers = podContainers(pod);
  // One container's exit may start all of them again.
  if (containers.some(({ spec }) => spec.restartPolicyRules?.some(({ action }) => action === 'RestartAllContainers'))) {
    return undefined;
  }
  return containers.find((container) => {
    if (container.kind !== 'regular' && container.kind !== 'init') return false;
    const { name } = container.spec;
    const ended = before.get(name)?.state?.terminated;
    const status = after.get(name);
    if (ended === undefined || status === undefined || status.state?.terminated !== undefined) return false;
    if (container.kind === 'init' && ended.exitCode === 0) return false; // run again in a new sandbox
    return staysDown(container, ended.exitCode);
  })?.spec.name;
}

const lost = {
  terminated: {
    reason: 'ContainerStatusUnknown',
    message: 'The container could not be located when the pod was terminated',
    exitCode: 137,
  },
};

/**
 * Nothing of the pod runs any more and nothing will: a container of which no end is known has failed, and so has a pod
 * that cannot tell how it ended. A static pod has no such last word, since its manifest may start it again.
 */
export function closePodStatus(pod: Pod, status: PodStatus): PodStatus {
  const isDone = hasInitialized(pod, status);
  const closed = {
    ...status,
    ...(isDone && status.containerStatuses !== undefined
      ? { containerStatuses: status.containerStatuses.map(closeContainer) }
      : {}),
    ...(status.initContainerStatuses === undefined
      ? {}
      : { initContainerStatuses: closeStarted(status.initContainerStatuses) }),
  };
  return isTerminalPhase(status.phase) || isStaticPod(pod) ? closed : { ...closed, phase: 'Failed' };
}

const closeContainer = (status: ContainerStatus): ContainerStatus =>
  status.state?.terminated === undefined ? { ...status, state: lost } : status;

const hasRun = ({ state, lastState }: ContainerStatus): boolean =>
  lastState?.terminated !== undefined || state?.running !== undefined || state?.terminated !== undefined;

/** Init containers run in order: all up to the last that ever ran have been tried, and the first in any case. */
function closeStarted(statuses: readonly ContainerStatus[]): ContainerStatus[] {
  const last = Math.max(statuses.findLastIndex(hasRun), 0);
  return statuses.map((status, i) => (i <= last ? closeContainer(status) : status));
}

function hasInitialized({ spec }: Pod, status: PodStatus): boolean {
  const last = spec.initContainers?.at(-1);
  if (last === undefined || (status.containerStatuses ?? []).some(hasRun)) return true;
  const one = status.initContainerStatuses?.find(({ name }) => name === last.name);
  if (isSidecar(last)) return one?.started === true;
  return one?.state?.terminated?.exitCode === 0 || one?.lastState?.terminated?.exitCode === 0;
}

const disruption = { type: 'DisruptionTarget', status: 'True', reason: 'TerminationByKubelet' };

/**
 * The status with the word that this kubelet ends the pod for the node's sake: new, or as it was told before.
 * @param message undefined when nothing new is to be told
 */
export function withDisruption(
  pod: Pod,
  status: PodStatus,
  old: PodStatus | undefined,
  message: string | undefined,
  nowMs: number,
): PodStatus {
  const before = old?.conditions?.find(({ type, reason }) => type === disruption.type && reason === disruption.reason);
  if (before === undefined && message === undefined) return status;
  const { generation } = pod.metadata;
  const told: PodCondition = before ?? {
    ...disruption,
    message: message ?? '',
    lastTransitionTime: rfc3339Seconds(nowMs),
    ...(generation === undefined ? {} : { observedGeneration: generation }),
  };
  const conditions = (status.conditions ?? []).filter(({ type }) => type !== disruption.type);
  const at = conditions.findIndex(({ type }) => type === 'PodReadyToStartContainers');
  return { ...status, conditions: conditions.toSpliced(at === -1 ? conditions.length : at, 0, told) };
}
