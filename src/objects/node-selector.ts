/** Which nodes a pod may go to by its node selector and required node affinity. Pure. */
import type { Node, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Pod } from './generated/core-v1.ts';
import { type LabelOperator, matchesRequirements } from './label-selector.ts';

const operators: ReadonlySet<string> = new Set(['In', 'NotIn', 'Exists', 'DoesNotExist', 'Gt', 'Lt']);

/** `spec.nodeSelector` and the required terms of `spec.affinity.nodeAffinity` must both hold. */
export function matchesNodeAffinity({ spec }: Pod, node: Node): boolean {
  const labels = node.metadata.labels ?? {};
  if (!Object.entries(spec.nodeSelector ?? {}).every(([key, value]) => labels[key] === value)) return false;
  const required = spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  return required === undefined || matchesNodeSelector(required, node);
}

/** Terms are alternatives. */
export function matchesNodeSelector({ nodeSelectorTerms }: NodeSelector, node: Node): boolean {
  return nodeSelectorTerms.some((term) => matchesNodeSelectorTerm(term, node));
}

/** All expressions and fields of a term must hold; an empty term matches nothing. */
export function matchesNodeSelectorTerm({ matchExpressions, matchFields }: NodeSelectorTerm, node: Node): boolean {
  if ((matchExpressions ?? []).length === 0 && (matchFields ?? []).length === 0) return false;
  return (
    holds(matchExpressions ?? [], node.metadata.labels ?? {}) &&
    holds(matchFields ?? [], { 'metadata.name': node.metadata.name })
  );
}

function holds(requirements: readonly NodeSelectorRequirement[], labels: Readonly<Record<string, string>>): boolean {
  return requirements.every(
    ({ key, operator, values = [] }) =>
      operators.has(operator) && matchesRequirements([{ key, operator: operator as LabelOperator, values }], labels), // checked just now
  );
}
