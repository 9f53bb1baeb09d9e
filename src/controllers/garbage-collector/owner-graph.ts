/** Every object by uid, with its owners and those that it owns. No I/O. */
import type { ObjectMeta, OwnerReference } from '../../objects/generated/meta-v1.ts';
import type { DiscoveredResource } from '../discover-resources.ts';

export const foregroundFinalizer = 'foregroundDeletion';
export const orphanFinalizer = 'orphan';

export interface GraphNode {
  readonly uid: string;
  readonly resource: DiscoveredResource;
  readonly namespace: string | undefined;
  readonly name: string;
  readonly owners: readonly OwnerReference[];
  readonly finalizers: readonly string[];
  readonly isDeleting: boolean;
}

export function graphNodeOf(resource: DiscoveredResource, metadata: ObjectMeta): GraphNode {
  return {
    uid: metadata.uid ?? '',
    resource,
    namespace: metadata.namespace,
    name: metadata.name,
    owners: metadata.ownerReferences ?? [],
    finalizers: metadata.finalizers ?? [],
    isDeleting: metadata.deletionTimestamp !== undefined,
  };
}

/** The object is being deleted and waits for those that it owns. */
export const isForeground = (node: GraphNode): boolean =>
  node.isDeleting && node.finalizers.includes(foregroundFinalizer);
export const isOrphaning = (node: GraphNode): boolean => node.isDeleting && node.finalizers.includes(orphanFinalizer);

export class OwnerGraph {
  readonly #nodes = new Map<string, GraphNode>();
  /** Also for owners that we have never seen. */
  readonly #dependents = new Map<string, Set<string>>();

  get(uid: string): GraphNode | undefined {
    return this.#nodes.get(uid);
  }

  dependentsOf(uid: string): GraphNode[] {
    return [...(this.#dependents.get(uid) ?? [])].flatMap((dependent) => this.#nodes.get(dependent) ?? []);
  }

  /** Takes in the newest state of an object. Returns the uids of those to look at since it changed. */
  put(node: GraphNode): string[] {
    const before = this.#nodes.get(node.uid);
    this.#unlink(before);
    this.#nodes.set(node.uid, node);
    for (const { uid } of node.owners) {
      const dependents = this.#dependents.get(uid) ?? new Set<string>();
      dependents.add(node.uid);
      this.#dependents.set(uid, dependents);
    }
    const affected: string[] = [];
    const mayBeUnowned = node.owners.some(({ uid }) => {
      const owner = this.#nodes.get(uid);
      return owner === undefined || owner.isDeleting;
    });
    const ownersChanged = JSON.stringify(before?.owners) !== JSON.stringify(node.owners);
    if (mayBeUnowned && (ownersChanged || before === undefined)) affected.push(node.uid);
    const isSpecial = isForeground(node) || isOrphaning(node);
    const wasSpecial = before !== undefined && (isForeground(before) || isOrphaning(before));
    if (isSpecial && !wasSpecial) {
      affected.push(node.uid);
      if (isForeground(node)) affected.push(...(this.#dependents.get(node.uid) ?? []));
    }
    // a dependent that no longer blocks may let its owner go
    if (before !== undefined && ownersChanged) affected.push(...this.#waitingOwners(before));
    return affected;
  }

  /** Takes an object out. Returns the uids of those to look at since it is gone. */
  remove(uid: string): string[] {
    const node = this.#nodes.get(uid);
    if (node === undefined) return [];
    this.#unlink(node);
    this.#nodes.delete(uid);
    return [...(this.#dependents.get(uid) ?? []), ...this.#waitingOwners(node)];
  }

  #waitingOwners({ owners }: GraphNode): string[] {
    return owners
      .map(({ uid }) => uid)
      .filter((uid) => {
        const owner = this.#nodes.get(uid);
        return owner !== undefined && isForeground(owner);
      });
  }

  #unlink(node: GraphNode | undefined): void {
    for (const { uid } of node?.owners ?? []) {
      const dependents = this.#dependents.get(uid);
      dependents?.delete(node?.uid ?? '');
      if (dependents?.size === 0) this.#dependents.delete(uid);
    }
  }
}
