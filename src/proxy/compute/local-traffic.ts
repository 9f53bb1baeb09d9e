/** How a rule recognises traffic that comes from this node's own pods. Pure. */
import type { LocalDetection } from '../proxy-config.ts';
import type { IpFamily } from '../proxy-model.ts';
import { parseCidr } from './ip-ranges.ts';

export type LocalTraffic =
  | { readonly kind: 'source'; readonly cidr: string }
  | { readonly kind: 'interface'; readonly pattern: string };

/** Undefined when the family has no detector: the rules that need one are left out then. */
export function localTraffic(
  detection: LocalDetection,
  podCidrs: readonly string[],
  family: IpFamily,
): LocalTraffic | undefined {
  switch (detection.mode) {
    case 'BridgeInterface':
      return { kind: 'interface', pattern: detection.bridgeInterface };
    case 'InterfaceNamePrefix':
      return { kind: 'interface', pattern: `${detection.interfaceNamePrefix}+` };
    case 'ClusterCIDR':
      return ofSource(detection.clusterCidrs, family);
    case 'NodeCIDR':
      return ofSource(podCidrs, family);
  }
}

function ofSource(cidrs: readonly string[], family: IpFamily): LocalTraffic | undefined {
  const cidr = cidrs.find((text) => parseCidr(text)?.family === family);
  return cidr === undefined ? undefined : { kind: 'source', cidr };
}
