/** What a namespace that is being deleted says about how far it is. Pure. */
import { setCondition } from '../../objects/conditions.ts';
import type { NamespaceCondition } from '../../objects/generated/core-v1.ts';

export interface DeletionState {
  /** Groups that could not be discovered. */
  discoveryFailures: readonly string[];
  /** Resource types whose objects could not be deleted, with the reason. */
  contentFailures: readonly string[];
  /** `<resource>.<group>` to objects left. */
  remaining: ReadonlyMap<string, number>;
  /** Finalizer to objects that have it. */
  finalizers: ReadonlyMap<string, number>;
}

export function computeDeletionConditions(
  before: readonly NamespaceCondition[] | undefined,
  { discoveryFailures, contentFailures, remaining, finalizers }: DeletionState,
  now: string,
): NamespaceCondition[] {
  const wanted: NamespaceCondition[] = [
    condition(
      'NamespaceDeletionDiscoveryFailure',
      discoveryFailures.length > 0 && [
        'DiscoveryFailed',
        `Discovery failed for some groups, ${discoveryFailures.length} failing: ${discoveryFailures.join(', ')}`,
      ],
      ['ResourcesDiscovered', 'All resources successfully discovered'],
    ),
    condition('NamespaceDeletionGroupVersionParsingFailure', false, [
      'ParsedGroupVersions',
      'All legacy kube types successfully parsed',
    ]),
    condition(
      'NamespaceDeletionContentFailure',
      contentFailures.length > 0 && [
        'ContentDeletionFailed',
        `Failed to delete all resource types, ${contentFailures.length} remaining: ${contentFailures.join(', ')}`,
      ],
      ['ContentDeleted', 'All content successfully deleted, may be waiting on finalization'],
    ),
    condition(
      'NamespaceContentRemaining',
      remaining.size > 0 && [
        'SomeResourcesRemain',
        `Some resources are remaining: ${listed(remaining, (name, count) => `${name} has ${count} resource instances`)}`,
      ],
      ['ContentRemoved', 'All content successfully removed'],
    ),
    condition(
      'NamespaceFinalizersRemaining',
      finalizers.size > 0 && [
        'SomeFinalizersRemain',
        `Some content in the namespace has finalizers remaining: ${listed(finalizers, (name, count) => `${name} in ${count} resource instances`)}`,
      ],
      ['ContentHasNoFinalizers', 'All content-preserving finalizers finished'],
    ),
  ];
  return wanted.reduce<NamespaceCondition[]>((list, next) => setCondition(list, next, now), [...(before ?? [])]);
}

function condition(type: string, problem: false | string[], fine: [string, string]): NamespaceCondition {
  const [reason, message] = problem === false ? fine : problem;
  return { type, status: problem === false ? 'False' : 'True', reason, message };
}

function listed(counts: ReadonlyMap<string, number>, text: (name: string, count: number) => string): string {
  return [...counts]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, count]) => text(name, count))
    .join(', ');
}

/** How long the pods that are left may still take, in seconds; 0 when their time is over. */
export function podGraceSeconds(
  pods: ReadonlyArray<{ phase: string | undefined; graceSeconds: number }>,
  deletedMs: number,
  nowMs: number,
): number {
  const longest = Math.max(
    0,
    ...pods.filter(({ phase }) => phase !== 'Succeeded' && phase !== 'Failed').map(({ graceSeconds }) => graceSeconds),
  );
  return nowMs - deletedMs > longest * 1000 ? 0 : longest;
}
