/** On which of the node's addresses NodePorts answer. Pure. */
import type { IpFamily } from '../proxy-model.ts';
import { type Cidr, cidrContains, familyOfIp, isLoopback, parseCidr } from './ip-ranges.ts';

export interface NodePortAddresses {
  /** Every local address of the node answers. */
  readonly isMatchAll: boolean;
  /** A range names IPv4 loopback: it is loopback, or contains 127.0.0.0. */
  readonly containsIpv4Loopback: boolean;
  readonly cidrs: readonly Cidr[];
}

/** @param configured CIDRs, or the single word `primary` for the node's own addresses; empty: all of them */
export function nodePortAddresses(
  configured: readonly string[],
  nodeIps: readonly string[],
  family: IpFamily,
): NodePortAddresses {
  const texts =
    configured.length === 1 && configured[0] === 'primary'
      ? nodeIps.filter((ip) => !isLoopback(ip)).map((ip) => (ip.includes(':') ? `${ip}/128` : `${ip}/32`))
      : configured;
  const cidrs = texts.map(parseCidr).filter((cidr) => cidr?.family === family) as Cidr[]; // undefined has no family
  const isMatchAll = cidrs.length === 0 || cidrs.some(({ prefix }) => prefix === 0);
  return {
    isMatchAll,
    containsIpv4Loopback:
      family === 'IPv4' &&
      (isMatchAll || cidrs.some((cidr) => isLoopback(cidr.address) || cidrContains(cidr, '127.0.0.0'))),
    cidrs: isMatchAll ? [] : cidrs,
  };
}

/** Of the machine's addresses those that NodePorts answer on; only asked when not all do. */
export function matchingAddresses({ cidrs }: NodePortAddresses, interfaceIps: readonly string[]): string[] {
  return interfaceIps.filter((ip) => familyOfIp(ip) !== undefined && cidrs.some((cidr) => cidrContains(cidr, ip)));
}
