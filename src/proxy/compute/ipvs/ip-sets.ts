/** The ipsets of mode ipvs: which there are, what they are called, and how one becomes another. Pure. */
import type { IpFamily } from '../../proxy-model.ts';
import { parseCidr } from '../ip-ranges.ts';

const types = {
  'LOOP-BACK': 'hash:ip,port,ip',
  'CLUSTER-IP': 'hash:ip,port',
  'EXTERNAL-IP': 'hash:ip,port',
  'EXTERNAL-IP-LOCAL': 'hash:ip,port',
  'LOAD-BALANCER': 'hash:ip,port',
  'LOAD-BALANCER-LOCAL': 'hash:ip,port',
  'LOAD-BALANCER-FW': 'hash:ip,port',
  'LOAD-BALANCER-SOURCE-IP': 'hash:ip,port,ip',
  'LOAD-BALANCER-SOURCE-CIDR': 'hash:ip,port,net',
  'NODE-PORT-TCP': 'bitmap:port',
  'NODE-PORT-LOCAL-TCP': 'bitmap:port',
  'NODE-PORT-UDP': 'bitmap:port',
  'NODE-PORT-LOCAL-UDP': 'bitmap:port',
  'NODE-PORT-SCTP-HASH': 'hash:ip,port',
  'NODE-PORT-LOCAL-SCTP-HASH': 'hash:ip,port',
  'HEALTH-CHECK-NODE-PORT': 'bitmap:port',
  'IPVS-IPS': 'hash:ip',
} as const;

/** A set without the prefix that tells its family. */
export type SetName = keyof typeof types;
/** Entries by set, written as `ipset save` writes them. A set that is missing is empty. */
export type SetEntries = ReadonlyMap<SetName, ReadonlySet<string>>;

// Object.keys forgets what the keys are
export const setNames = Object.keys(types) as readonly SetName[];
const nameLengthMax = 31;

/** The set's name in the kernel, which takes no more than 31 characters. */
export function kernelSetName(name: SetName, family: IpFamily): string {
  return `${family === 'IPv6' ? 'KUBE-6-' : 'KUBE-'}${name}`.slice(0, nameLengthMax);
}

/** Entries by name in the kernel, of every set that `ipset save` shows. */
export function parseIpsetSave(text: string): Map<string, Set<string>> {
  const sets = new Map<string, Set<string>>();
  for (const line of text.split('\n')) {
    const [command, name, entry] = line.split(' ');
    if (name === undefined) continue;
    if (command === 'create') sets.set(name, new Set());
    if (command === 'add' && entry !== undefined) sets.get(name)?.add(entry);
  }
  return sets;
}

/** The least that `ipset restore` must do. Every set must be there, empty or not: rules are written against them. */
export function ipsetChanges(
  wanted: SetEntries,
  existing: ReadonlyMap<string, ReadonlySet<string>>,
  family: IpFamily,
): string[] {
  const lines: string[] = [];
  for (const name of setNames) {
    const inKernel = kernelSetName(name, family);
    const has = existing.get(inKernel);
    const wants = wanted.get(name) ?? new Set<string>();
    if (has === undefined) lines.push(`create ${inKernel} ${parameters(name, family)} -exist`);
    for (const entry of has ?? []) if (!wants.has(entry)) lines.push(`del ${inKernel} ${entry} -exist`);
    for (const entry of wants) if (has?.has(entry) !== true) lines.push(`add ${inKernel} ${entry} -exist`);
  }
  return lines;
}

function parameters(name: SetName, family: IpFamily): string {
  const type = types[name];
  if (type === 'bitmap:port') return `${type} range 0-65535`;
  return `${type} family ${family === 'IPv6' ? 'inet6' : 'inet'} hashsize 1024 maxelem 65536`;
}

/**
 * A range as entries of a set of networks, as the kernel shows them: it clears the bits of the host, writes a single
 * address without its length, and knows no network of length 0, so that one is two halves. Empty for what is no range.
 */
export function networkEntries(text: string): string[] {
  const cidr = parseCidr(text);
  if (cidr === undefined) return [];
  const { family, prefix } = cidr;
  if (prefix === 0) return family === 'IPv6' ? ['::/1', '8000::/1'] : ['0.0.0.0/1', '128.0.0.0/1'];
  const network = family === 'IPv6' ? networkOfIpv6(cidr.address, prefix) : networkOfIpv4(cidr.address, prefix);
  return [prefix === (family === 'IPv6' ? 128 : 32) ? network : `${network}/${prefix}`];
}

function networkOfIpv4(address: string, prefix: number): string {
  return masked(address.split('.').map(Number), 8, prefix).join('.');
}

function networkOfIpv6(address: string, prefix: number): string {
  const [left = '', right] = shortIpv6(address).split('::');
  const groupsOf = (part: string): number[] => (part === '' ? [] : part.split(':').map((group) => parseInt(group, 16)));
  const head = groupsOf(left);
  const tail = groupsOf(right ?? '');
  const groups = [...head, ...Array<number>(8 - head.length - tail.length).fill(0), ...tail];
  return shortIpv6(
    masked(groups, 16, prefix)
      .map((group) => group.toString(16))
      .join(':'),
  );
}

/** `fd00:0::0:1` and `fd00::1` are the same address: the latter. */
function shortIpv6(address: string): string {
  return new URL(`http://[${address}]`).hostname.slice(1, -1);
}

/** Clears all bits after the first `prefix`. */
function masked(parts: readonly number[], bitsEach: number, prefix: number): number[] {
  return parts.map((part, i) => {
    const bits = Math.min(Math.max(prefix - i * bitsEach, 0), bitsEach);
    return part & ~((1 << (bitsEach - bits)) - 1);
  });
}
