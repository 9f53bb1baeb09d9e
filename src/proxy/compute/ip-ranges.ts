/** Addresses and CIDRs as strings: which family, what contains what. Pure. */
import { BlockList, SocketAddress, isIP, isIPv4 } from 'node:net';
import type { IpFamily } from '../proxy-model.ts';

/** Undefined for what is no address. */
export function familyOfIp(ip: string): IpFamily | undefined {
  const version = isIP(ip);
  // a scoped address ("fe80::1%eth0") means nothing on another node
  if (version === 0 || ip.includes('%')) return undefined;
  return version === 4 ? 'IPv4' : 'IPv6';
}

/**
 * One spelling per address, the one that the kernel's tools print. Older objects of the API may have another:
 * `2001:DB8::1`, or `010.0.0.1`, where the zero means nothing. Undefined for what is no address.
 */
export function plainIp(ip: string): string | undefined {
  const text = /^(?=.*(?:^|\.)0\d)\d+(?:\.\d+){3}$/.test(ip) ? ip.split('.').map(Number).join('.') : ip;
  const family = familyOfIp(text);
  return family === 'IPv6' ? new SocketAddress({ address: text, family: 'ipv6' }).address : family && text;
}

/** Undefined for what is no CIDR. */
export function plainCidr(text: string): Cidr | undefined {
  const slash = text.indexOf('/');
  const ip = plainIp(text.slice(0, Math.max(0, slash)));
  return ip === undefined ? undefined : parseCidr(`${ip}${text.slice(slash)}`);
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
