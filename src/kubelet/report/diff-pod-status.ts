/** The strategic-merge patch that makes the API's copy of a status ours, and nothing else. Pure. */
import { isDeepStrictEqual } from 'node:util';
import type { PodCondition, PodStatus } from '../../objects/generated/core-v1.ts';
import { isTerminalPhase } from '../pod-model.ts';

/** Kept as the API has them: other controllers write them. */
const foreignFields = new Set<keyof PodStatus>([
  'resourceClaimStatuses',
  'extendedResourceClaimStatus',
  'nodeAllocatableResourceClaimStatuses',
  'nominatedNodeName',
  'resize',
]);

/** Conditions that only the kubelet writes: one that is no longer told is taken back. */
const ownConditions = new Set([
  'PodReadyToStartContainers',
  'Initialized',
  'Ready',
  'ContainersReady',
  'PodScheduled',
  'PodResizePending',
  'PodResizeInProgress',
  'AllContainersRestarting',
]);

/** Shared with those who evict through the API: told in one breath with the end that it explains, or never. */
const disruptionTarget = 'DisruptionTarget';

/** Lists that the API merges by key: a changed one is replaced whole. */
const keyedLists = new Set(['podIPs', 'hostIPs']);

/** What is sent: `undefined` when there is nothing to change. */
export function diffPodStatus(api: PodStatus, ours: PodStatus): Record<string, unknown> | undefined {
  const patch: Record<string, unknown> = {};
  const fields = new Set([...Object.keys(api), ...Object.keys(ours)]) as Set<keyof PodStatus>;
  for (const field of fields) {
    if (foreignFields.has(field)) continue;
    const before: unknown = api[field];
    const after: unknown = ours[field];
    if (field === 'conditions') {
      const isEndTold = isTerminalPhase(ours.phase) && !isTerminalPhase(api.phase);
      const told = (ours.conditions ?? []).filter(
        ({ type }) => ownConditions.has(type) || (type === disruptionTarget && isEndTold),
      );
      const changed = changedConditions(api.conditions ?? [], told);
      if (changed.length > 0) patch[field] = changed;
    } else if (!isDeepStrictEqual(withoutEmpty(before), withoutEmpty(after))) {
      if (after === undefined) patch[field] = null;
      else
        patch[field] =
          keyedLists.has(field) && Array.isArray(after) && before !== undefined
            ? [{ $patch: 'replace' }, ...after]
            : after;
    }
  }
  return Object.keys(patch).length === 0 ? undefined : patch;
}

/**
 * Conditions merge by type: those that are new or differ in more than a time, and those of ours that are gone. What
 * others have written meanwhile is newer than what we know of it, and is left alone.
 */
function changedConditions(
  before: readonly PodCondition[],
  after: readonly PodCondition[],
): Array<Record<string, unknown>> {
  const gone = before
    .filter(({ type }) => ownConditions.has(type) && !after.some((condition) => condition.type === type))
    .map(({ type }) => ({ $patch: 'delete', type }));
  const changed = after.flatMap((condition) => {
    const old = before.find(({ type }) => type === condition.type);
    if (old === undefined) return [{ ...condition }];
    if (
      old.status === condition.status &&
      (old.reason ?? '') === (condition.reason ?? '') &&
      (old.message ?? '') === (condition.message ?? '') &&
      old.observedGeneration === condition.observedGeneration
    ) {
      return [];
    }
    // A reason or message that is no longer there must be taken back by name.
    return [
      {
        ...condition,
        ...(old.reason !== undefined && condition.reason === undefined ? { reason: null } : {}),
        ...(old.message !== undefined && condition.message === undefined ? { message: null } : {}),
      },
    ];
  });
  return [...changed, ...gone];
}

/** Servers print or omit empty objects as they like: `{}`, `[]`, `null` and absence are the same here. */
function withoutEmpty(value: unknown): unknown {
  if (Array.isArray(value)) return value.length === 0 ? undefined : value.map(withoutEmpty);
  if (typeof value !== 'object') return value;
  const entries = Object.entries(value ?? {})
    .map(([key, item]): [string, unknown] => [key, withoutEmpty(item)])
    .filter(([, item]) => item !== undefined);
  return entries.length === 0 ? undefined : Object.fromEntries(entries);
}

/**
 * What may be told now. A pod must not look finished while one of its containers may still run: others would reuse
 * what it holds.
 */
export function releaseStatus(api: PodStatus, ours: PodStatus, couldHaveRunningContainers: boolean): PodStatus {
  if (!isTerminalPhase(ours.phase)) return ours;
  if (couldHaveRunningContainers && !isTerminalPhase(api.phase)) {
    const { phase: _phase, reason: _reason, message: _message, ...rest } = ours;
    return {
      ...rest,
      ...(api.phase === undefined ? {} : { phase: api.phase }),
      ...(api.reason === undefined ? {} : { reason: api.reason }),
      ...(api.message === undefined ? {} : { message: api.message }),
      ...(ours.conditions === undefined
        ? {}
        : { conditions: ours.conditions.filter(({ type }) => type !== disruptionTarget) }),
    };
  }
  const reason = ours.phase === 'Succeeded' ? 'PodCompleted' : 'PodFailed';
  return {
    ...ours,
    conditions: (ours.conditions ?? []).map((condition) =>
      (condition.type === 'Ready' || condition.type === 'ContainersReady') && condition.status === 'True'
        ? { ...condition, status: 'False', reason }
        : condition,
    ),
  };
}
