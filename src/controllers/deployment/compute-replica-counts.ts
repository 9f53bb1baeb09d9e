/** How many replicas each ReplicaSet of a Deployment should have. Pure. */
import type { Deployment, ReplicaSet } from '../../objects/generated/apps-v1.ts';

export const desiredAnnotation = 'deployment.kubernetes.io/desired-replicas';
export const maxAnnotation = 'deployment.kubernetes.io/max-replicas';

export interface RolloutLimits {
  /** Pods above `spec.replicas`. */
  maxSurge: number;
  /** Pods below `spec.replicas`. */
  maxUnavailable: number;
}

export const replicasOf = ({ spec }: { spec: { replicas?: number | undefined } }): number => spec.replicas ?? 1;
export const sumReplicas = (sets: readonly ReplicaSet[]): number => sets.reduce((sum, rs) => sum + replicasOf(rs), 0);
export const sumAvailable = (sets: readonly ReplicaSet[]): number =>
  sets.reduce((sum, rs) => sum + (rs.status?.availableReplicas ?? 0), 0);

export function isRollingUpdate({ spec }: Deployment): boolean {
  return (spec.strategy?.type ?? 'RollingUpdate') === 'RollingUpdate';
}

/** Percentages are of `spec.replicas`: surge is rounded up, unavailable down; both zero would never move. */
export function rolloutLimits(deployment: Deployment): RolloutLimits {
  const replicas = replicasOf(deployment);
  if (!isRollingUpdate(deployment)) return { maxSurge: 0, maxUnavailable: 0 };
  const { maxSurge = '25%', maxUnavailable = '25%' } = deployment.spec.strategy?.rollingUpdate ?? {};
  const surge = resolve(maxSurge, replicas, Math.ceil);
  const unavailable = resolve(maxUnavailable, replicas, Math.floor);
  if (surge === 0 && unavailable === 0) return { maxSurge: 0, maxUnavailable: Math.min(1, replicas) };
  return { maxSurge: surge, maxUnavailable: replicas === 0 ? 0 : Math.min(unavailable, replicas) };
}

function resolve(value: number | string, of: number, round: (n: number) => number): number {
  if (typeof value === 'number') return value;
  const percent = /^(\d+)%$/.exec(value)?.[1];
  if (percent === undefined) {
    const number = Number(value);
    return Number.isInteger(number) ? number : 0;
  }
  return round((Number(percent) * of) / 100);
}

/** The size for the ReplicaSet with the current template: as far as the surge allows. */
export function newReplicaSetSize(deployment: Deployment, all: readonly ReplicaSet[], newSet: ReplicaSet): number {
  const replicas = replicasOf(deployment);
  if (!isRollingUpdate(deployment)) return replicas;
  const current = replicasOf(newSet);
  const room = replicas + rolloutLimits(deployment).maxSurge - sumReplicas(all);
  return room <= 0 ? current : current + Math.min(room, replicas - current);
}

export interface Resize {
  replicaSet: ReplicaSet;
  size: number;
}

/** Which old ReplicaSets shrink in a rolling update: unhealthy pods first, then as many as availability allows. */
export function shrinkOld(
  deployment: Deployment,
  all: readonly ReplicaSet[],
  old: readonly ReplicaSet[],
  newSet: ReplicaSet,
): Resize[] {
  if (sumReplicas(old) === 0) return [];
  const minAvailable = replicasOf(deployment) - rolloutLimits(deployment).maxUnavailable;
  const newUnavailable = replicasOf(newSet) - (newSet.status?.availableReplicas ?? 0);
  let budget = sumReplicas(all) - minAvailable - newUnavailable;
  if (budget <= 0) return [];
  const oldestFirst = old.filter((rs) => replicasOf(rs) > 0).toSorted(byAge);
  const sizes = new Map(oldestFirst.map((rs) => [rs, replicasOf(rs)]));
  for (const rs of oldestFirst) {
    const unhealthy = replicasOf(rs) - (rs.status?.availableReplicas ?? 0);
    const cut = Math.min(budget, Math.max(0, unhealthy));
    sizes.set(rs, replicasOf(rs) - cut);
    budget -= cut;
  }
  let spare = sumAvailable(all) - minAvailable;
  for (const rs of oldestFirst) {
    if (spare <= 0) break;
    const size = sizes.get(rs) ?? 0;
    const cut = Math.min(size, spare);
    sizes.set(rs, size - cut);
    spare -= cut;
  }
  return oldestFirst
    .map((replicaSet) => ({ replicaSet, size: sizes.get(replicaSet) ?? 0 }))
    .filter(({ replicaSet, size }) => size !== replicasOf(replicaSet));
}

/** What becomes of every ReplicaSet when the Deployment was scaled and not rolled out. */
export function scaleAll(deployment: Deployment, old: readonly ReplicaSet[], newSet: ReplicaSet | undefined): Resize[] {
  const replicas = replicasOf(deployment);
  const all = newSet === undefined ? [...old] : [...old, newSet];
  const active = all.filter((rs) => replicasOf(rs) > 0);
  const single =
    active.length === 0 ? (newSet ?? old.toSorted(byAge).at(-1)) : active.length === 1 ? active[0] : undefined;
  if (single !== undefined) return [{ replicaSet: single, size: replicas }];
  if (newSet !== undefined && isSaturated(deployment, newSet)) {
    return old.filter((rs) => replicasOf(rs) > 0).map((replicaSet) => ({ replicaSet, size: 0 }));
  }
  if (!isRollingUpdate(deployment)) return [];
  return scaleInProportion(deployment, active);
}

/** Whether the new ReplicaSet has all the replicas that the Deployment wants, as it wanted them last. */
export function isSaturated(deployment: Deployment, rs: ReplicaSet): boolean {
  const replicas = replicasOf(deployment);
  const desired = Number(rs.metadata.annotations?.[desiredAnnotation] ?? Number.NaN);
  return replicasOf(rs) === replicas && desired === replicas && rs.status?.availableReplicas === replicas;
}

function scaleInProportion(deployment: Deployment, active: readonly ReplicaSet[]): Resize[] {
  const replicas = replicasOf(deployment);
  const allowed = replicas > 0 ? replicas + rolloutLimits(deployment).maxSurge : 0;
  const toAdd = allowed - sumReplicas(active);
  const sorted = active.toSorted((a, b) => replicasOf(b) - replicasOf(a) || (toAdd > 0 ? byAge(b, a) : byAge(a, b)));
  let added = 0;
  const resizes = sorted.map((replicaSet) => {
    const share = toAdd === 0 ? 0 : shareOf(replicaSet, allowed, toAdd, added);
    added += share;
    return { replicaSet, size: replicasOf(replicaSet) + share };
  });
  const first = resizes[0];
  if (first !== undefined) first.size = Math.max(0, first.size + toAdd - added);
  return resizes;
}

function shareOf(rs: ReplicaSet, allowed: number, toAdd: number, added: number): number {
  const rest = toAdd - added;
  if (replicasOf(rs) === 0 || rest === 0) return 0;
  const annotated = Number(rs.metadata.annotations?.[maxAnnotation] ?? Number.NaN);
  const before = Number.isInteger(annotated) && annotated > 0 ? annotated : (rs.status?.replicas ?? 0);
  const wanted = before === 0 ? 0 : roundAway((replicasOf(rs) * allowed) / before) - replicasOf(rs);
  return toAdd > 0 ? Math.min(wanted, rest) : Math.max(wanted, rest);
}

function roundAway(value: number): number {
  return Math.sign(value) * Math.round(Math.abs(value));
}

/** Oldest first, then by name. */
export function byAge(a: ReplicaSet, b: ReplicaSet): number {
  const [x, y] = [a.metadata.creationTimestamp ?? '', b.metadata.creationTimestamp ?? ''];
  if (x !== y) return x < y ? -1 : 1;
  return a.metadata.name < b.metadata.name ? -1 : a.metadata.name > b.metadata.name ? 1 : 0;
}
