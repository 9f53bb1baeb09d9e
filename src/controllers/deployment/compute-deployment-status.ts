/** The status and conditions of a Deployment from its ReplicaSets. Pure. */
import { findCondition, removeCondition } from '../../objects/conditions.ts';
import type { Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet } from '../../objects/generated/apps-v1.ts';
import { replicasOf, rolloutLimits, sumAvailable, sumReplicas } from './compute-replica-counts.ts';

const noDeadline = 2 ** 31 - 1;

export function hasProgressDeadline({ spec }: Deployment): boolean {
  return spec.progressDeadlineSeconds !== undefined && spec.progressDeadlineSeconds !== noDeadline;
}

/** Counts and the Available condition. Conditions of other types are kept. */
export function countStatus(
  deployment: Deployment,
  all: readonly ReplicaSet[],
  newSet: ReplicaSet | undefined,
  now: string,
): DeploymentStatus {
  const available = sumAvailable(all);
  const minAvailable = replicasOf(deployment) - rolloutLimits(deployment).maxUnavailable;
  const condition: DeploymentCondition =
    available >= minAvailable
      ? {
          type: 'Available',
          status: 'True',
          reason: 'MinimumReplicasAvailable',
          message: 'Deployment has minimum availability.',
        }
      : {
          type: 'Available',
          status: 'False',
          reason: 'MinimumReplicasUnavailable',
          message: 'Deployment does not have minimum availability.',
        };
  const isTerminatingKnown = all.every(
    ({ status }) => (status?.observedGeneration ?? 0) === 0 || status?.terminatingReplicas !== undefined,
  );
  return {
    observedGeneration: deployment.metadata.generation,
    replicas: all.reduce((sum, { status }) => sum + (status?.replicas ?? 0), 0),
    updatedReplicas: newSet?.status?.replicas ?? 0,
    readyReplicas: all.reduce((sum, { status }) => sum + (status?.readyReplicas ?? 0), 0),
    availableReplicas: available,
    unavailableReplicas: Math.max(0, sumReplicas(all) - available),
    terminatingReplicas: isTerminatingKnown
      ? all.reduce((sum, { status }) => sum + (status?.terminatingReplicas ?? 0), 0)
      : undefined,
    collisionCount: deployment.status?.collisionCount,
    conditions: putCondition(deployment.status?.conditions, condition, now),
  };
}

/** Adds Progressing and ReplicaFailure to what `countStatus` found. */
export function rolloutStatus(
  deployment: Deployment,
  all: readonly ReplicaSet[],
  newSet: ReplicaSet | undefined,
  nowMs: number,
  now: string,
): DeploymentStatus {
  const status = countStatus(deployment, all, newSet, now);
  let conditions = status.conditions ?? [];
  const current = findCondition(deployment.status?.conditions, 'Progressing');
  const wasComplete = status.replicas === status.updatedReplicas && current?.reason === 'NewReplicaSetAvailable';
  if (!hasProgressDeadline(deployment)) {
    conditions = removeCondition(conditions, 'Progressing');
  } else if (!wasComplete) {
    const what =
      newSet === undefined ? `Deployment "${deployment.metadata.name}"` : `ReplicaSet "${newSet.metadata.name}"`;
    if (isComplete(deployment, status)) {
      conditions = putCondition(
        conditions,
        progressing('True', 'NewReplicaSetAvailable', `${what} has successfully progressed.`),
        now,
      );
    } else if (hasProgressed(deployment.status ?? {}, status)) {
      const next = {
        ...progressing('True', 'ReplicaSetUpdated', `${what} is progressing.`),
        lastUpdateTime: now,
        lastTransitionTime: current?.status === 'True' ? (current.lastTransitionTime ?? now) : now,
      };
      conditions = [...removeCondition(conditions, 'Progressing'), next];
    } else if (hasTimedOut(deployment, current, nowMs)) {
      conditions = putCondition(
        conditions,
        progressing('False', 'ProgressDeadlineExceeded', `${what} has timed out progressing.`),
        now,
      );
    }
  }
  const failure = replicaFailure(all, newSet);
  conditions =
    failure === undefined ? removeCondition(conditions, 'ReplicaFailure') : putCondition(conditions, failure, now);
  return { ...status, conditions };
}

export function progressing(status: string, reason: string, message: string): DeploymentCondition {
  return { type: 'Progressing', status, reason, message };
}

/** A condition with the same status and reason as before is left as it is, message and times included. */
export function putCondition(
  conditions: readonly DeploymentCondition[] | undefined,
  next: DeploymentCondition,
  now: string,
): DeploymentCondition[] {
  const current = findCondition(conditions, next.type);
  if (current !== undefined && current.status === next.status && current.reason === next.reason) {
    return [...(conditions ?? [])];
  }
  const lastTransitionTime = current?.status === next.status ? (current.lastTransitionTime ?? now) : now;
  return [...removeCondition(conditions, next.type), { ...next, lastUpdateTime: now, lastTransitionTime }];
}

export function isComplete(deployment: Deployment, status: DeploymentStatus): boolean {
  const replicas = replicasOf(deployment);
  return (
    status.updatedReplicas === replicas &&
    status.replicas === replicas &&
    status.availableReplicas === replicas &&
    (status.observedGeneration ?? 0) >= (deployment.metadata.generation ?? 0)
  );
}

function hasProgressed(before: DeploymentStatus, after: DeploymentStatus): boolean {
  const old = ({ replicas = 0, updatedReplicas = 0 }: DeploymentStatus): number => replicas - updatedReplicas;
  return (
    (after.updatedReplicas ?? 0) > (before.updatedReplicas ?? 0) ||
    old(after) < old(before) ||
    (after.readyReplicas ?? 0) > (before.readyReplicas ?? 0) ||
    (after.availableReplicas ?? 0) > (before.availableReplicas ?? 0)
  );
}

function hasTimedOut(deployment: Deployment, current: DeploymentCondition | undefined, nowMs: number): boolean {
  if (current === undefined || current.reason === 'NewReplicaSetAvailable') return false;
  if (current.reason === 'ProgressDeadlineExceeded') return true;
  const endMs = deadlineEndMs(deployment, current);
  return endMs !== undefined && endMs < nowMs;
}

/** When the rollout counts as stuck, in ms since the epoch. */
export function deadlineEndMs({ spec }: Deployment, current: DeploymentCondition | undefined): number | undefined {
  const { progressDeadlineSeconds } = spec;
  if (current?.lastUpdateTime === undefined || progressDeadlineSeconds === undefined) return undefined;
  return Date.parse(current.lastUpdateTime) + progressDeadlineSeconds * 1000;
}

function replicaFailure(all: readonly ReplicaSet[], newSet: ReplicaSet | undefined): DeploymentCondition | undefined {
  for (const rs of newSet === undefined ? all : [newSet, ...all]) {
    const found = findCondition(rs.status?.conditions, 'ReplicaFailure');
    if (found !== undefined) {
      const { type, status, reason, message } = found;
      return { type, status, reason, message };
    }
  }
  return undefined;
}
