import type { Pod } from '../../objects/generated/core-v1.ts';

/** Fields of the pod that bind it to certain nodes by rules which this scheduler does not know. Pure. */
export function findUnsupportedRules({ spec }: Pod): string[] {
  const found: string[] = [];
  if ((spec.resourceClaims ?? []).length > 0) found.push('spec.resourceClaims');
  if (spec.schedulingGroup !== undefined) found.push('spec.schedulingGroup');
  return found;
}
