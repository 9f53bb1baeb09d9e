/**
 * Gives every node its block of pod addresses.
 *
 * Owns: which blocks are taken. Needs: an informer of nodes.
 */
import { isNotFound } from '../../base/errors.ts';
import type { WorkQueue } from '../../base/work-queue.ts';
import { type EventSink, eventTarget } from '../../client/event-recorder.ts';
import type { Informer } from '../../client/informer.ts';
import { nodes as nodeType } from '../../client/resource-types.ts';
import type { Node } from '../../objects/generated/core-v1.ts';
import { type Controller, type ControllerContext, reconcileQueue } from '../controller.ts';
import { CidrPool } from './cidr-pool.ts';

export interface NodeIpamOptions {
  /** One block, or two of different families. */
  clusterCidrs: readonly string[];
  maskSizeIpv4: number;
  maskSizeIpv6: number;
  /** Blocks that nodes must not get, e.g. the range of Services. */
  reservedCidrs: readonly string[];
  /** So long after a node's creation somebody else may give it a block; default 0. */
  delayMs?: number;
}

export class NodeIpamController implements Controller {
  readonly #context: ControllerContext;
  readonly #pools: readonly CidrPool[];
  readonly #delayMs: number;
  readonly #events: EventSink;
  readonly #queue: WorkQueue;
  readonly #nodes: Informer<Node>;

  constructor(context: ControllerContext, options: NodeIpamOptions) {
    const { clusterCidrs, maskSizeIpv4, maskSizeIpv6, reservedCidrs, delayMs = 0 } = options;
    this.#delayMs = delayMs;
    this.#context = context;
    this.#pools = clusterCidrs.map((cidr) => new CidrPool(cidr, cidr.includes(':') ? maskSizeIpv6 : maskSizeIpv4));
    for (const pool of this.#pools) for (const cidr of reservedCidrs) pool.occupy(cidr);
    this.#events = context.eventsOf('cidrAllocator');
    this.#queue = reconcileQueue(context, 'node-ipam', 1);
    this.#nodes = context.informers.of(nodeType);
    this.#nodes.addHandlers({
      onAdd: (node) => this.#onNode(node),
      onUpdate: (_, node) => this.#onNode(node),
      onDelete: (node) => {
        for (const cidr of cidrsOf(node)) for (const pool of this.#pools) pool.release(cidr);
        for (const other of this.#nodes.list()) if (cidrsOf(other).length === 0) this.#onNode(other); // one is free now
      },
    });
  }

  /** No block is given out before all those are known that nodes have already. */
  async run(signal: AbortSignal): Promise<void> {
    await this.#nodes.whenSynced(signal);
    await this.#queue.run((key, inner) => this.#sync(key, inner), signal);
  }

  #onNode(node: Node): void {
    const cidrs = cidrsOf(node);
    for (const cidr of cidrs) for (const pool of this.#pools) pool.occupy(cidr);
    if (cidrs.length === 0) this.#queue.add(node.metadata.name);
  }

  async #sync(name: string, signal: AbortSignal): Promise<void> {
    const node = this.#nodes.get({ name });
    if (node === undefined || cidrsOf(node).length > 0) return;
    const waitMs = Date.parse(node.metadata.creationTimestamp ?? '') + this.#delayMs - this.#context.clock.nowMs();
    if (this.#delayMs > 0 && waitMs > 0) return this.#queue.addAfter(name, waitMs, signal);
    const podCIDRs: string[] = [];
    for (const pool of this.#pools) {
      const cidr = pool.allocate();
      if (cidr === undefined) {
        this.#release(podCIDRs);
        const message = `Node ${name} status is now: CIDRNotAvailable`;
        this.#events.record(eventTarget(nodeType, node), 'Normal', 'CIDRNotAvailable', message);
        throw new Error(`Cannot give node "${name}" a pod CIDR: every block of the cluster CIDR is taken`);
      }
      podCIDRs.push(cidr);
    }
    try {
      const live = await this.#context.client.get(nodeType, { name }, signal);
      if (cidrsOf(live).length > 0) {
        this.#release(podCIDRs);
        return;
      }
      const body = { metadata: { uid: live.metadata.uid }, spec: { podCIDR: podCIDRs[0], podCIDRs } };
      await this.#context.client.patch(nodeType, { name }, 'strategic', body, signal);
    } catch (err) {
      this.#release(podCIDRs);
      if (isNotFound(err)) return;
      const message = `Node ${name} status is now: CIDRAssignmentFailed`;
      if (!signal.aborted) this.#events.record(eventTarget(nodeType, node), 'Normal', 'CIDRAssignmentFailed', message);
      throw err;
    }
  }

  #release(cidrs: readonly string[]): void {
    for (const cidr of cidrs) for (const pool of this.#pools) pool.release(cidr);
  }
}

function cidrsOf({ spec }: Node): readonly string[] {
  const { podCIDRs = [], podCIDR = '' } = spec ?? {};
  return podCIDRs.length > 0 ? podCIDRs : podCIDR === '' ? [] : [podCIDR];
}
