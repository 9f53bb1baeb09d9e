import type { ApiClient } from '../../client/api-client.ts';
import { Informer } from '../../client/informer.ts';
import { nodes } from '../../client/resource-types.ts';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import type { Node } from '../../objects/generated/core-v1.ts';
import { familyOfIp } from '../compute/ip-ranges.ts';
import type { IpFamily, NodeFacts } from '../proxy-model.ts';

const zoneLabel = 'topology.kubernetes.io/zone';
/** The cluster autoscaler's mark on a node that it is about to remove. */
const leavingTaint = 'ToBeDeletedByClusterAutoscaler';

export interface OwnNodeNeed {
  client: Pick<ApiClient, 'list' | 'watch'>;
  clock: Clock;
  log: Logger;
}

export interface OwnNodeOptions {
  name: string;
  /** The node's address, when configured; else that of the Node object. */
  bindAddress: string;
}

/** Owns what the proxy knows of its own node. Facts outlive the object: a deleted Node changes no rules. */
export class OwnNode {
  readonly #options: OwnNodeOptions;
  readonly #informer: Informer<Node>;
  readonly #onChange: Array<() => void> = [];
  #zone: string | undefined;
  #ips: readonly string[] = [];
  #podCidrs: readonly string[] = [];

  constructor(options: OwnNodeOptions, { client, clock, log }: OwnNodeNeed) {
    this.#options = options;
    const fieldSelector = `metadata.name=${options.name}`;
    this.#informer = new Informer<Node>({ client, type: nodes, fieldSelector, trim, clock, log });
    this.#informer.addHandlers({ onAdd: (node) => this.#take(node), onUpdate: (_, node) => this.#take(node) });
  }

  /** Called when the zone, the addresses or the pod CIDRs are different now. */
  onChange(handler: () => void): void {
    this.#onChange.push(handler);
  }

  facts(family: IpFamily): NodeFacts {
    return { name: this.#options.name, zone: this.#zone, ip: this.ips.find((ip) => familyOfIp(ip) === family) };
  }

  /** The node's address per family; the first is the primary one. */
  get ips(): readonly string[] {
    const { bindAddress } = this.#options;
    const isSpecific = bindAddress !== '0.0.0.0' && bindAddress !== '::';
    return isSpecific
      ? [bindAddress, ...this.#ips.filter((ip) => familyOfIp(ip) !== familyOfIp(bindAddress))]
      : this.#ips;
  }

  get podCidrs(): readonly string[] {
    return this.#podCidrs;
  }

  get exists(): boolean {
    return this.#informer.get({ name: this.#options.name }) !== undefined;
  }

  /** Whether load balancers may send to this node: it exists and is not about to go. */
  get isEligible(): boolean {
    const node = this.#informer.get({ name: this.#options.name });
    return (
      node !== undefined &&
      node.metadata.deletionTimestamp === undefined &&
      !(node.spec?.taints ?? []).some(({ key }) => key === leavingTaint)
    );
  }

  run(signal: AbortSignal): Promise<void> {
    return this.#informer.run(signal);
  }

  #take({ metadata, spec, status }: Node): void {
    const zone = metadata.labels?.[zoneLabel];
    const podCidrs = spec?.podCIDRs ?? [];
    const of = (type: string): string[] =>
      (status?.addresses ?? []).filter((a) => a.type === type).map(({ address }) => address);
    const all = [...of('InternalIP'), ...of('ExternalIP')];
    const primary = all[0];
    const second = all.find((ip) => primary !== undefined && familyOfIp(ip) !== familyOfIp(primary));
    const ips = [primary, second].filter((ip) => ip !== undefined);
    const isSame = zone === this.#zone && ips.join() === this.#ips.join() && podCidrs.join() === this.#podCidrs.join();
    this.#zone = zone;
    this.#ips = ips;
    this.#podCidrs = podCidrs;
    if (!isSame) for (const handler of this.#onChange) handler();
  }
}

/** Status updates come every few minutes with images and figures: none of it is ours. */
function trim({ metadata, spec, status }: Node): Node {
  const { name, uid, resourceVersion, labels, deletionTimestamp } = metadata;
  return {
    metadata: { name, uid, resourceVersion, labels, deletionTimestamp },
    spec: { podCIDRs: spec?.podCIDRs, taints: spec?.taints },
    status: { addresses: status?.addresses },
  };
}
