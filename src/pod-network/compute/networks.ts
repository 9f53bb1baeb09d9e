/** Addresses and networks in the spelling that the kernel prints. Pure. */
import { SocketAddress, isIP } from 'node:net';
import type { IpFamily } from '../pod-network-model.ts';

export function familyOf(addressOrCidr: string): IpFamily {
  return addressOrCidr.includes(':') ? 'IPv6' : 'IPv4';
}

/** Undefined when it is no address. */
export function usualAddress(text: string): string | undefined {
  const version = isIP(text);
  if (version === 0) return undefined;
  return new SocketAddress({ address: text, family: version === 4 ? 'ipv4' : 'ipv6' }).address;
}

/** Undefined when it is no network. */
export function usualCidr(text: string): string | undefined {
  const [address = '', length = '', ...more] = text.split('/');
  const usual = usualAddress(address);
  if (usual === undefined || more.length > 0 || !/^\d{1,3}$/.test(length)) return undefined;
  const prefixLength = Number(length);
  return prefixLength > (familyOf(usual) === 'IPv4' ? 32 : 128) ? undefined : `${usual}/${prefixLength}`;
}
