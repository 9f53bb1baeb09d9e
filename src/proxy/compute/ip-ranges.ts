/** Addresses and CIDRs as strings: which family, what contains what. Pure. */
import { BlockList, isIP, isIPv4 } from 'node:net';
import type { IpFamily } from '../proxy-model.ts';

/** Undefined for what is no address. */
export function familyOfIp(ip: string): IpFamily | undefined {
  const version = isIP(ip);
  // a scoped address ("fe80::1%eth0") means nothing on another node
  if (version === 0 || ip.includes('%')) return undefined;
  return version === 4 ? 'IPv4' : 'IPv6';
}

export interface Cidr {
  readonly text: string;
  readonly family: IpFamily;
  readonly address: string;
  readonly prefix: number;
}

/** Undefined for what is no CIDR. */
export function parseCidr(text: string): Cidr | undefined {
  const slash = text.indexOf('/');
  if (slash < 0) return undefined;
  const address = text.slice(0, slash);
  const prefixText = text.slice(slash + 1);
  const family = familyOfIp(address);
  if (family === undefined || !/^(0|[1-9]\d{0,2})$/.test(prefixText)) return undefined;
  const prefix = Number(prefixText);
  return prefix > (family === 'IPv4' ? 32 : 128) ? undefined : { text, family, address, prefix };
}

export function cidrContains(cidr: Cidr, ip: string): boolean {
  if (familyOfIp(ip) !== cidr.family) return false;
  const type = cidr.family === 'IPv4' ? 'ipv4' : 'ipv6';
  const list = new BlockList();
  list.addSubnet(cidr.address, cidr.prefix, type);
  return list.check(ip, type);
}

export function isLoopback(ip: string): boolean {
  return isIPv4(ip) ? ip.startsWith('127.') : ip === '::1';
}
