/** Lists of conditions, as pods, nodes and workloads have them. Pure: every change is a new list. */

export interface ConditionLike {
  type: string;
  status: string;
  lastTransitionTime?: string | undefined;
}

export function findCondition<C extends ConditionLike>(
  conditions: readonly C[] | undefined,
  type: string,
): C | undefined {
  return conditions?.find((condition) => condition.type === type);
}

export function isConditionTrue(conditions: readonly ConditionLike[] | undefined, type: string): boolean {
  return findCondition(conditions, type)?.status === 'True';
}

/**
 * The list with `next` in the place of its type's condition, or at the end. `lastTransitionTime` becomes `now` (RFC
 * 3339) when the status is another than before; otherwise the old one stays.
 */
export function setCondition<C extends ConditionLike>(conditions: readonly C[] | undefined, next: C, now: string): C[] {
  const list = [...(conditions ?? [])];
  const index = list.findIndex(({ type }) => type === next.type);
  const old = index === -1 ? undefined : list[index];
  const isFlip = old === undefined || old.status !== next.status || old.lastTransitionTime === undefined;
  const dated = { ...next, lastTransitionTime: isFlip ? now : old.lastTransitionTime };
  if (index === -1) list.push(dated);
  else list[index] = dated;
  return list;
}

export function removeCondition<C extends ConditionLike>(conditions: readonly C[] | undefined, type: string): C[] {
  return (conditions ?? []).filter((condition) => condition.type !== type);
}
