import type { Node } from '../../objects/generated/core-v1.ts';
import type { NodeFacts } from '../pod-network-model.ts';
import { usualAddress, usualCidr } from './networks.ts';

/** What the pod network needs of a Node; what cannot be read as a network or an address is left out. */
export function nodeFacts({ metadata, spec, status }: Node): NodeFacts {
  const { podCIDR } = spec ?? {};
  const podCidrs = spec?.podCIDRs ?? (podCIDR === undefined ? [] : [podCIDR]);
  const internal = (status?.addresses ?? []).filter(({ type }) => type === 'InternalIP');
  return {
    name: metadata.name,
    podCidrs: podCidrs.map(usualCidr).filter((cidr) => cidr !== undefined),
    internalIps: internal.map(({ address }) => usualAddress(address)).filter((ip) => ip !== undefined),
  };
}

/** Status updates come every few minutes with images and figures: none of it is ours. */
export function trimNode({ metadata, spec, status }: Node): Node {
  const { name, uid, resourceVersion } = metadata;
  return {
    metadata: { name, uid, resourceVersion },
    spec: { podCIDR: spec?.podCIDR, podCIDRs: spec?.podCIDRs },
    status: { addresses: status?.addresses },
  };
}
