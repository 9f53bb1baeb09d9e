/** Addresses as names, and names as addresses. Pure. */
import { isIP } from 'node:net';
import type { AddressKey, IpFamily } from '../dns-model.ts';

/** @returns undefined for what is no address */
export function addressKey(address: string): AddressKey | undefined {
  const version = isIP(address);
  if (version === 4) return address;
  return version === 6 && !address.includes('%') ? expandIpv6(address) : undefined;
}

export function familyOf(address: string): IpFamily {
  return address.includes(':') ? 'IPv6' : 'IPv4';
}

/** The label of an endpoint that has no host name. A label may not end in a dash. */
export function addressLabel(address: string): string {
  const label = address.replaceAll(/[.:]/g, '-');
  return label.endsWith('-') ? `${label}0` : label;
}

/** `10-0-0-1` or `fd00--1`, as pods are named, as an address. @returns undefined for what is none */
export function labelAddress(label: string): string | undefined {
  const dotted = label.replaceAll('-', '.');
  if (isIP(dotted) === 4) return dotted;
  const coloned = label.replaceAll('-', ':');
  return isIP(coloned) === 6 ? coloned : undefined;
}

/** What a name below `in-addr.arpa` or `ip6.arpa` stands for; undefined when it is no whole address. */
export function reverseAddress(name: string): AddressKey | undefined {
  if (name.endsWith('.in-addr.arpa')) {
    const address = name.slice(0, -'.in-addr.arpa'.length).split('.').toReversed().join('.');
    return isIP(address) === 4 ? address : undefined;
  }
  if (!name.endsWith('.ip6.arpa')) return undefined;
  const nibbles = name.slice(0, -'.ip6.arpa'.length);
  return /^(?:[0-9a-f]\.){31}[0-9a-f]$/.test(nibbles) ? nibbles.split('.').toReversed().join('') : undefined;
}

function expandIpv6(address: string): string {
  const [head = '', tail] = address.split('::');
  const before = hextets(head);
  const after = tail === undefined ? '' : hextets(tail);
  return before + '0'.repeat(32 - before.length - after.length) + after;
}

function hextets(part: string): string {
  if (part === '') return '';
  return part
    .split(':')
    .map((group) =>
      group.includes('.')
        ? group
            .split('.')
            .map((byte) => Number(byte).toString(16).padStart(2, '0'))
            .join('')
        : group.toLowerCase().padStart(4, '0'),
    )
    .join('');
}
