/** Upstream's chain names: other tools, and people, look for exactly these. Pure. */
import { hash } from 'node:crypto';
import { type Endpoint, type ServicePort, endpointAddress, servicePortName } from '../../proxy-model.ts';

export interface ServiceChainNames {
  /** Endpoints that traffic may go to from anywhere. */
  readonly cluster: string;
  /** Endpoints on this node. */
  readonly local: string;
  /** Where traffic to external addresses and NodePorts enters. */
  readonly external: string;
  /** Source ranges of a load balancer. */
  readonly firewall: string;
}

/** A chain that belongs to one service port: what a sync may remove when no Service claims it. */
export const isServiceChain = (chain: string): boolean => /^KUBE-(SVC|SVL|SEP|FW|EXT)-/.test(chain);

export function serviceChainNames(port: ServicePort): ServiceChainNames {
  const hash = hashOf(servicePortName(port) + port.protocol);
  return {
    cluster: `KUBE-SVC-${hash}`,
    local: `KUBE-SVL-${hash}`,
    external: `KUBE-EXT-${hash}`,
    firewall: `KUBE-FW-${hash}`,
  };
}

export function endpointChainName(port: ServicePort, endpoint: Endpoint): string {
  return `KUBE-SEP-${hashOf(servicePortName(port) + port.protocol + endpointAddress(endpoint))}`;
}

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

/** The first 16 letters of base32(sha256(text)): ten bytes. */
function hashOf(text: string): string {
  const digest = hash('sha256', text, 'buffer');
  let letters = '';
  let bits = 0;
  let bitCount = 0;
  for (const byte of digest.subarray(0, 10)) {
    bits = (bits << 8) | byte;
    bitCount += 8;
    while (bitCount >= 5) {
      bitCount -= 5;
      letters += alphabet.charAt((bits >> bitCount) & 31);
    }
    bits &= (1 << bitCount) - 1;
  }
  return letters;
}
