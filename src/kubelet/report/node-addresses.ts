/** Which addresses the Node object shows. Pure; what must be asked of the host comes in as `HostNetworkView`. */
import { isIP } from 'node:net';
import type { HostAddress } from '../../adapters/host/host.ts';
import type { NodeAddress } from '../../objects/generated/core-v1.ts';

export interface NodeIpChoice {
  /** From `--node-ip`: none, one, or one of each family, primary first. */
  ips: readonly string[];
  preferredFamily: 4 | 6;
}

export interface HostNetworkView {
  addresses: readonly HostAddress[];
  /** What the name service says about the node's name. */
  ofName: readonly string[];
  /** Of the interface with the default route of the preferred family. */
  ofDefaultRoute: string | undefined;
}

/** @throws {Error} in upstream's words when no address is fit: the addresses shown before then stay */
export function computeNodeAddresses(
  nodeName: string,
  { ips, preferredFamily }: NodeIpChoice,
  isCloudExternal: boolean,
  view: HostNetworkView,
  existing: readonly NodeAddress[],
): NodeAddress[] {
  for (const ip of ips) checkNodeIp(ip, view.addresses);
  const name: NodeAddress = { type: 'Hostname', address: nodeName };
  const internal = (address: string): NodeAddress => ({ type: 'InternalIP', address });
  if (isCloudExternal) {
    // the cloud's own controller knows better, once it has spoken
    if (existing.length > 0) return [...existing];
    if (ips.length === 0) return [name];
  }
  if (ips.length > 0) return [...ips.map(internal), name];
  const address = findAddress(nodeName, preferredFamily, view);
  if (address === undefined) {
    throw new Error(
      `can't get ip address of node ${nodeName}. error: no default routes found: set --node-ip to an address of this host`,
    );
  }
  return [internal(address), name];
}

function findAddress(nodeName: string, preferredFamily: 4 | 6, view: HostNetworkView): string | undefined {
  if (isIP(nodeName) !== 0) return nodeName;
  const usable = view.ofName.filter((ip) => nodeIpProblem(ip, view.addresses) === undefined);
  return usable.find((ip) => isIP(ip) === preferredFamily) ?? usable[0] ?? view.ofDefaultRoute;
}

function checkNodeIp(ip: string, addresses: readonly HostAddress[]): void {
  const problem = nodeIpProblem(ip, addresses);
  if (problem !== undefined) throw new Error(`failed to validate nodeIP: ${problem}`);
}

function nodeIpProblem(ip: string, addresses: readonly HostAddress[]): string | undefined {
  const family = isIP(ip);
  if (family === 0) return `node IP: "${ip}" is no IP address`;
  if (/^127\.|^::1$/.test(ip)) return `nodeIP can't be loopback address`;
  if (isMulticast(ip)) return `nodeIP can't be a multicast address`;
  if (/^169\.254\.|^fe[89ab][0-9a-f]:/i.test(ip)) return `nodeIP can't be a link-local unicast address`;
  if (ip === '0.0.0.0' || ip === '::') return `nodeIP can't be an all zeros address`;
  const isOurs = addresses.some(({ address }) => address.toLowerCase() === ip.toLowerCase());
  return isOurs ? undefined : `node IP: "${ip}" not found in the host's network interfaces`;
}

function isMulticast(ip: string): boolean {
  const first = Number(ip.split('.')[0]);
  return isIP(ip) === 4 ? first >= 224 && first <= 239 : /^ff/i.test(ip);
}
