/** What a probe's worker does at a tick. Pure. */
import type { Container, ContainerStatus, Pod, PodStatus, Probe } from '../../../objects/generated/core-v1.ts';
import { type ProbeResult, isTerminalPhase } from '../../pod-model.ts';

export type ProbeKind = 'liveness' | 'readiness' | 'startup';

export interface ProbeTarget {
  pod: Pod;
  container: Container;
  isSidecar: boolean;
  kind: ProbeKind;
  spec: Probe;
}

export interface ProbeMemory {
  /** The instance that the results are about; bare id. */
  containerId: string | undefined;
  /** Nothing more to ask about this instance. */
  isOnHold: boolean;
}

export interface ProbeStep {
  action: 'wait' | 'probe' | 'end';
  memory: ProbeMemory;
  /** The instance whose results are void. */
  forget?: string;
  /** What is to be published without asking the container. */
  publish?: ProbeResult;
}

const initialResult: Record<ProbeKind, ProbeResult> = { liveness: 'success', readiness: 'failure', startup: 'unknown' };

/**
 * @param status the pod's status as last reported, not as the runtime has it
 * @param kubeletStartedMs wall clock at the start of this process
 */
export function nextProbeStep(
  { pod, container, isSidecar, kind, spec }: ProbeTarget,
  status: PodStatus | undefined,
  memory: ProbeMemory,
  nowMs: number,
  kubeletStartedMs: number,
): ProbeStep {
  if (status === undefined) return { action: 'wait', memory };
  if (isTerminalPhase(status.phase)) return { action: 'end', memory };
  const found = containerStatus(status, container.name);
  const containerId = bareContainerId(found?.containerID);
  if (found === undefined || containerId === undefined) return { action: 'wait', memory };

  const step: Omit<ProbeStep, 'action'> = { memory };
  const startedAtMs = Date.parse(found.state?.running?.startedAt ?? '');
  if (containerId !== memory.containerId) {
    step.memory = { containerId, isOnHold: false };
    if (memory.containerId !== undefined) step.forget = memory.containerId;
    // an instance older than this process keeps what the process before us said, until it is asked
    if (!(startedAtMs < kubeletStartedMs)) step.publish = initialResult[kind];
    else if (kind === 'startup' && isSidecar && found.started === true) step.publish = 'success';
  }
  if (step.memory.isOnHold) return { ...step, action: 'wait' };
  if (found.state?.running === undefined) {
    const isOver = found.state?.terminated !== undefined && !mayRestart(container, pod);
    return { ...step, action: isOver ? 'end' : 'wait', publish: 'failure' };
  }
  if (pod.metadata.deletionTimestamp !== undefined && kind !== 'readiness') {
    return { ...step, action: 'end', publish: 'success' };
  }
  const ageSeconds = Math.floor((nowMs - startedAtMs) / 1000);
  if (ageSeconds < (spec.initialDelaySeconds ?? 0)) return { ...step, action: 'wait' };
  const isStarted = found.started === true;
  return { ...step, action: isStarted === (kind !== 'startup') ? 'probe' : 'wait' };
}

/** Whether the container has run since before this process. */
export function isAdopted(status: PodStatus | undefined, name: string, kubeletStartedMs: number): boolean {
  const startedAt = status === undefined ? undefined : containerStatus(status, name)?.state?.running?.startedAt;
  return Date.parse(startedAt ?? '') < kubeletStartedMs;
}

function mayRestart({ restartPolicy, restartPolicyRules }: Container, pod: Pod): boolean {
  return (restartPolicy ?? pod.spec.restartPolicy) !== 'Never' || (restartPolicyRules ?? []).length > 0;
}

function containerStatus(status: PodStatus, name: string): ContainerStatus | undefined {
  const isIt = (c: ContainerStatus): boolean => c.name === name;
  const regular = status.containerStatuses?.find(isIt);
  return regular !== undefined && regular.containerID !== undefined && regular.containerID !== ''
    ? regular
    : (status.initContainerStatuses?.find(isIt) ?? regular);
}

/** `containerd://abc` or `abc` → `abc`; undefined for nothing. */
export function bareContainerId(id: string | undefined): string | undefined {
  return id === undefined || id === '' ? undefined : id.replace(/^[\w.-]+:\/\//, '');
}

export interface ResultCount {
  last: ProbeResult | undefined;
  run: number;
}

/** Counts equal results in a row; a result is published when there are enough of them. */
export function countResult(
  { last, run }: ResultCount,
  result: 'success' | 'failure',
  { failureThreshold = 3, successThreshold = 1 }: Pick<Probe, 'failureThreshold' | 'successThreshold'>,
): { count: ResultCount; isPublished: boolean } {
  const count = { last: result, run: last === result ? run + 1 : 1 };
  return { count, isPublished: count.run >= (result === 'failure' ? failureThreshold : successThreshold) };
}

/** Whether a published result is the last word about this container instance. */
export const endsProbing = (kind: ProbeKind, result: ProbeResult): boolean =>
  kind === 'startup' || (kind === 'liveness' && result === 'failure');
