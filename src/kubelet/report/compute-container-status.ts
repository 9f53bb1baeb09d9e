/** A container's status from what the runtime has, what the API had, and why it could not be started. Pure. */
import type { ContainerState, ContainerStatus, Pod, ResourceRequirements } from '../../objects/generated/core-v1.ts';
import { containerResourcesStatus } from './compute-resources-status.ts';
import { rfc3339Seconds } from '../../base/clock.ts';
import {
  type ObservedContainer,
  type ObservedPod,
  type PodContainer,
  type StartFailure,
  containerIdUrl,
} from '../pod-model.ts';

export interface ContainerStatusInput {
  pod: Pod;
  container: PodContainer;
  observed: ObservedPod | undefined;
  /** What the status said before, here or on the API. */
  old: ContainerStatus | undefined;
  hasInitContainers: boolean;
  /** A regular container was created: the init containers are behind. */
  hasRegularBegun: boolean;
  /** The reason that the latest start did not happen, when the container is to be started next. */
  failure: StartFailure | undefined;
  /** The pod is to end: nothing that vanished counts as a restart. */
  isEnding: boolean;
  runtimeName: string;
  hasRecursiveReadOnly: boolean;
  hasStopSignals: boolean;
  /** Text of an ended container's message, by container id. */
  terminationMessage(containerId: string): string | undefined;
  /** What a container was started or last updated with. */
  actuated(container: string): ResourceRequirements | undefined;
}

export function computeContainerStatus(input: ContainerStatusInput): ContainerStatus {
  const { container, observed, old, failure } = input;
  const { name } = container.spec;
  const instances = observed?.containers.filter((instance) => instance.name === name) ?? [];
  const [latest] = instances;
  // one that was created and never started has not ended either
  const previous = instances.find((instance) => instance !== latest && instance.state !== 'created');
  if (latest === undefined) return statusWithoutInstance(input);
  let state = stateOf(input, latest, old);
  // A runtime that has lost what it once ran: whatever comes next is another instance.
  const isLost = latest.state === 'unknown' && old?.state?.running !== undefined;
  const restartCount = Math.max(restartCountOf(latest), old?.restartCount ?? 0) + (isLost ? 1 : 0);
  let lastState: ContainerState = {};
  if (previous !== undefined) lastState = terminatedState(input, previous);
  // the instance before may be collected already: then what was said of it still stands
  else if (isOfOther(old, latest, input) && old?.state?.terminated !== undefined)
    lastState = { terminated: old.state.terminated };
  else if (old?.lastState?.terminated !== undefined && restartCount > 0) lastState = old.lastState;
  // What could not be started again shows why; how it ended becomes its last state.
  if (failure !== undefined && state.running === undefined) {
    if (state.terminated !== undefined) lastState = { terminated: state.terminated };
    state = { waiting: waiting(failure) };
  }
  return {
    name,
    image: latest.image || container.spec.image,
    imageID: latest.imageRef,
    containerID: containerIdUrl(input.runtimeName, latest.id),
    restartCount,
    ready: false,
    started: false,
    state,
    lastState,
    ...containerResourcesStatus(container, latest, input.actuated(name)),
    ...(input.hasStopSignals && latest.stopSignal !== undefined ? { stopSignal: latest.stopSignal } : {}),
    ...(latest.user === undefined
      ? {}
      : {
          user: {
            linux: {
              uid: latest.user.uid,
              gid: latest.user.gid,
              ...(latest.user.supplementalGroups.length > 0
                ? { supplementalGroups: latest.user.supplementalGroups }
                : {}),
            },
          },
        }),
    ...volumeMountsOf(input),
  };
}

/** Whether the old status was about an earlier instance. */
function isOfOther(
  old: ContainerStatus | undefined,
  { id }: ObservedContainer,
  { runtimeName }: ContainerStatusInput,
): boolean {
  return old?.containerID !== undefined && old.containerID !== containerIdUrl(runtimeName, id);
}

function statusWithoutInstance(input: ContainerStatusInput): ContainerStatus {
  const { container, old, failure, hasInitContainers, hasRegularBegun, isEnding } = input;
  const { name, image } = container.spec;
  const base: ContainerStatus = {
    name,
    image,
    imageID: '',
    restartCount: old?.restartCount ?? 0,
    ready: false,
    started: false,
    state: {},
    lastState: old?.lastState ?? {},
    ...containerResourcesStatus(container, undefined, undefined),
    ...volumeMountsOf(input),
  };
  if (container.kind === 'init' && hasRegularBegun) {
    return {
      ...base,
      ...(old?.containerID === undefined ? {} : { containerID: old.containerID, imageID: old.imageID }),
      state: old?.state?.terminated === undefined ? { terminated: assumedDone } : old.state,
    };
  }
  if (old?.state?.terminated !== undefined && failure === undefined) return { ...old, ready: false, started: false };
  if (old?.state?.running !== undefined) {
    // It ran, and nothing tells how it ended.
    const lost = {
      exitCode: 137,
      reason: 'ContainerStatusUnknown',
      message: 'The container could not be located when the pod was deleted.  The container used to be Running',
    };
    return {
      ...base,
      restartCount: base.restartCount + (isEnding ? 0 : 1),
      lastState: { terminated: lost },
      state: { waiting: waiting(failure ?? defaultWaiting(hasInitContainers)) },
    };
  }
  const lastState = old?.state?.terminated === undefined ? base.lastState : { terminated: old.state.terminated };
  return { ...base, lastState, state: { waiting: waiting(failure ?? defaultWaiting(hasInitContainers)) } };
}

const assumedDone = {
  exitCode: 0,
  reason: 'Completed',
  message:
    'Unable to get init container status from container runtime and pod has been initialized, treat it as exited normally',
};

function defaultWaiting(hasInitContainers: boolean): StartFailure {
  return { reason: hasInitContainers ? 'PodInitializing' : 'ContainerCreating', message: '' };
}

function waiting({ reason, message }: StartFailure): { reason: string; message?: string } {
  return message === '' ? { reason } : { reason, message };
}

function stateOf(
  input: ContainerStatusInput,
  latest: ObservedContainer,
  old: ContainerStatus | undefined,
): ContainerState {
  switch (latest.state) {
    case 'created':
      return { waiting: {} };
    case 'running':
      return { running: { startedAt: timeOf(latest.startedAtNs) } };
    case 'exited':
      return terminatedState(input, latest);
    case 'unknown':
      if (old?.state?.terminated !== undefined) return { terminated: old.state.terminated };
      if (old?.state?.running === undefined) return { waiting: waiting(defaultWaiting(input.hasInitContainers)) };
      return {
        terminated: {
          exitCode: 137,
          reason: 'ContainerStatusUnknown',
          message: 'The container could not be located when the pod was terminated',
        },
      };
  }
}

function terminatedState(
  { runtimeName, terminationMessage }: ContainerStatusInput,
  instance: ObservedContainer,
): ContainerState {
  const message = terminationMessage(instance.id) ?? instance.message;
  return {
    terminated: {
      exitCode: instance.exitCode,
      ...(instance.reason === '' ? {} : { reason: instance.reason }),
      ...(message === '' ? {} : { message }),
      startedAt: timeOf(instance.startedAtNs),
      finishedAt: timeOf(instance.finishedAtNs),
      containerID: containerIdUrl(runtimeName, instance.id),
    },
  };
}

const timeOf = (ns: bigint): string => rfc3339Seconds(Number(ns / 1_000_000n));

export function restartCountOf({ annotations, attempt }: Pick<ObservedContainer, 'annotations' | 'attempt'>): number {
  const count = Number(annotations['io.kubernetes.container.restartCount']);
  return Number.isInteger(count) ? count : attempt;
}

function volumeMountsOf({
  container: { spec },
  hasRecursiveReadOnly,
}: ContainerStatusInput): Pick<ContainerStatus, 'volumeMounts'> {
  const mounts = spec.volumeMounts ?? [];
  const isAllTheWay = (mode: string | undefined): boolean =>
    mode === 'Enabled' || (mode === 'IfPossible' && hasRecursiveReadOnly);
  if (mounts.length === 0) return {};
  return {
    volumeMounts: mounts.map(({ name, mountPath, readOnly, recursiveReadOnly }) => ({
      name,
      mountPath,
      ...(readOnly === true
        ? { readOnly, recursiveReadOnly: isAllTheWay(recursiveReadOnly) ? 'Enabled' : 'Disabled' }
        : {}),
    })),
  };
}
