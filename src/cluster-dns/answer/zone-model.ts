/** What the files of this room share. Pure. */
import { type DnsRecord, type PodMode, recordTypes } from '../dns-model.ts';
import { familyOf } from './address-names.ts';

export interface ZoneConfig {
  /** In lower case, without a dot at its end: `cluster.local`. */
  domain: string;
  ttl: number;
  podMode: PodMode;
  /** Where this server can be reached, for the zone's name server. */
  ownAddresses: readonly string[];
}

/** What there is below a name: no answers is NODATA. */
export interface Found {
  answers: DnsRecord[];
  additionals?: DnsRecord[];
  target?: string;
}

export function found(answers: DnsRecord[]): Found {
  return { answers };
}

/** The addresses of the family that `type` asks for. */
export function addressRecords(name: string, type: number, addresses: readonly string[], ttl: number): DnsRecord[] {
  return allAddressRecords(name, addresses, ttl).filter((address) => recordTypes[address.type] === type);
}

export function allAddressRecords(
  name: string,
  addresses: readonly string[],
  ttl: number,
): Array<DnsRecord & { type: 'A' | 'AAAA' }> {
  return addresses.map((data) => ({ name, ttl, type: familyOf(data) === 'IPv6' ? 'AAAA' : 'A', data }));
}
