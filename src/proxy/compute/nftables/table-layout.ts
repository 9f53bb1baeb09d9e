/**
 * The table `kube-proxy`: its chains, sets and maps, and the rules that are the same whatever the Services. Pure.
 *
 * Hooks and priorities are upstream's, and so are the sets and maps that say which packets are ours. Where upstream has
 * a chain per Service, we have maps: `service-ips` leads a packet to the chain for so many endpoints, and that chain
 * looks its draw up in `<protocol>-endpoints`. So one change is a few elements, whatever the number of Services.
 */
import type { IpFamily, Protocol } from '../../proxy-model.ts';
import type { LocalTraffic } from '../local-traffic.ts';

export const tableName = 'kube-proxy';
export const rejectChain = 'reject-chain';
export const protocols: readonly Protocol[] = ['tcp', 'udp', 'sctp'];

/** What all rules depend on; another one means another full sync. */
export interface LayoutContext {
  readonly family: IpFamily;
  /** `0x00004000` unless configured. */
  readonly masqueradeMark: string;
  readonly masqueradeAll: boolean;
  readonly localTraffic: LocalTraffic | undefined;
  /** Addresses that NodePorts answer on; undefined: all of the node's but loopback. */
  readonly nodePortIps: readonly string[] | undefined;
  /** Ranges that cluster IPs come from: what of them is no Service's leads nowhere. */
  readonly serviceCidrs: readonly string[];
}

/** The words of the nft language for a family. */
export function familyWords(family: IpFamily): { table: 'ip' | 'ip6'; ip: 'ip' | 'ip6'; address: string } {
  return family === 'IPv4'
    ? { table: 'ip', ip: 'ip', address: 'ipv4_addr' }
    : { table: 'ip6', ip: 'ip6', address: 'ipv6_addr' };
}

export const baseChains: Readonly<Record<string, string>> = {
  'filter-prerouting-pre-dnat': 'type filter hook prerouting priority -110 ;',
  'filter-output-pre-dnat': 'type filter hook output priority -110 ;',
  'filter-input': 'type filter hook input priority 0 ;',
  'filter-forward': 'type filter hook forward priority 0 ;',
  'filter-output': 'type filter hook output priority 0 ;',
  'nat-prerouting': 'type nat hook prerouting priority -100 ;',
  'nat-output': 'type nat hook output priority -100 ;',
  'nat-postrouting': 'type nat hook postrouting priority 100 ;',
};

export const topChains = [
  'services',
  'service-endpoints-check',
  'nodeport-endpoints-check',
  'firewall-check',
  'cluster-ips-check',
  'masquerading',
  rejectChain,
] as const;

const jumps: ReadonlyArray<readonly [chain: string, rule: string]> = [
  ['filter-input', 'ct state new jump nodeport-endpoints-check'],
  ['filter-input', 'ct state new jump service-endpoints-check'],
  ['filter-forward', 'ct state new jump service-endpoints-check'],
  ['filter-output', 'ct state new jump service-endpoints-check'],
  ['filter-prerouting-pre-dnat', 'ct state new jump firewall-check'],
  ['filter-output-pre-dnat', 'ct state new jump firewall-check'],
  ['nat-output', 'jump services'],
  ['nat-prerouting', 'jump services'],
  ['nat-postrouting', 'jump masquerading'],
  ['filter-forward', 'ct state new jump cluster-ips-check'],
  ['filter-output', 'ct state new jump cluster-ips-check'],
];

export interface SetDefinition {
  readonly kind: 'set' | 'map';
  readonly definition: string;
  /** Filled by the kernel itself: kept when everything else is written again. */
  readonly isDynamic?: boolean;
}

/** Clients that can be remembered at once; the kernel takes memory for those there are. */
const affinitySizeMax = 1_048_576;

/** Sets and maps by name, in the order in which they are made. */
export function setDefinitions({
  family,
  nodePortIps,
}: Pick<LayoutContext, 'family' | 'nodePortIps'>): Map<string, SetDefinition> {
  const { ip, address } = familyWords(family);
  const frontend = `${address} . inet_proto . inet_service`;
  const set = (definition: string): SetDefinition => ({ kind: 'set', definition });
  const map = (definition: string): SetDefinition => ({ kind: 'map', definition });
  const definitions = new Map<string, SetDefinition>([
    ['cluster-ips', set(`type ${address} ; comment "Active ClusterIPs" ;`)],
    ['service-cidrs', set(`type ${address} ; flags interval ; comment "ranges of ClusterIPs" ;`)],
    ['hairpin-connections', set(`type ${address} . ${frontend} ; comment "service hairpin connections" ;`)],
    ['service-ips', map(`type ${frontend} : verdict ; comment "ClusterIP, ExternalIP and LoadBalancer IP traffic" ;`)],
    ['service-nodeports', map('type inet_proto . inet_service : verdict ; comment "NodePort traffic" ;')],
    [
      'no-endpoint-services',
      map(`type ${frontend} : verdict ; comment "vmap to drop or reject packets to services with no endpoints" ;`),
    ],
    [
      'no-endpoint-nodeports',
      map(
        'type inet_proto . inet_service : verdict ; comment "vmap to drop or reject packets to service nodeports with no endpoints" ;',
      ),
    ],
    ['firewall-ips', set(`type ${frontend} ; comment "destinations that are subject to LoadBalancerSourceRanges" ;`)],
    ['source-ranges', set(`type ${frontend} . ${address} ; flags interval ; comment "who may send to them" ;`)],
    [
      'local-traffic-ips',
      map(`type ${frontend} : verdict ; comment "where pods and the node itself may go despite a Local policy" ;`),
    ],
    ['local-traffic-nodeports', map('type inet_proto . inet_service : verdict ; comment "the same for NodePorts" ;')],
    [
      'affinity',
      {
        kind: 'set',
        definition: `typeof ${ip} saddr . numgen random mod 2 ; flags dynamic,timeout ; size ${affinitySizeMax} ; comment "clients and their endpoints" ;`,
        isDynamic: true,
      },
    ],
  ]);
  if (nodePortIps !== undefined) {
    definitions.set('nodeport-ips', set(`type ${address} ; comment "IPs that accept NodePort traffic" ;`));
  }
  for (const protocol of protocols) {
    // a map per protocol: nft takes a port in a map's value for one of a certain protocol, and checks for that protocol
    const value = `${ip} daddr . ${protocol} dport`;
    definitions.set(
      endpointsMap(protocol),
      map(`typeof ${ip} daddr . ${protocol} dport . numgen random mod 2 : ${value} ; comment "endpoints by number" ;`),
    );
    definitions.set(
      nodePortEndpointsMap(protocol),
      map(`typeof ${protocol} dport . numgen random mod 2 : ${value} ; comment "the same for NodePorts" ;`),
    );
  }
  return definitions;
}

export const endpointsMap = (protocol: Protocol): string => `${protocol}-endpoints`;
export const nodePortEndpointsMap = (protocol: Protocol): string => `${protocol}-nodeport-endpoints`;
/** Their keys have no protocol: it is in the map's name. */
export const isEndpointsMap = (set: string): boolean => /^(tcp|udp|sctp)-/.test(set);

/** Rules of chains that are always there, in order. */
export function staticRules(context: LayoutContext): ReadonlyArray<readonly [chain: string, rule: string]> {
  const { family, masqueradeMark: mark, nodePortIps } = context;
  const { ip } = familyWords(family);
  const frontend = `${ip} daddr . meta l4proto . th dport`;
  const nodePort =
    nodePortIps === undefined
      ? `${ip} daddr != ${family === 'IPv4' ? '127.0.0.0/8' : '::1'} meta l4proto . th dport`
      : `${ip} daddr @nodeport-ips meta l4proto . th dport`;
  const masquerade = masqueradeClusterIps(context);
  return [
    ...jumps,
    ['masquerading', `mark and ${mark} != 0 mark set mark xor ${mark} masquerade fully-random`],
    [
      'masquerading',
      `ct status dnat ${ip} saddr . ${ip} daddr . meta l4proto . th dport @hairpin-connections masquerade fully-random`,
    ],
    ['cluster-ips-check', `${ip} daddr @cluster-ips reject comment "Reject traffic to invalid ports of ClusterIPs"`],
    ['cluster-ips-check', `${ip} daddr @service-cidrs drop comment "Drop traffic to unallocated ClusterIPs"`],
    [rejectChain, 'reject'],
    ['service-endpoints-check', `${frontend} vmap @no-endpoint-services`],
    ['nodeport-endpoints-check', `${nodePort} vmap @no-endpoint-nodeports`],
    ['firewall-check', `${frontend} @firewall-ips ${frontend} . ${ip} saddr != @source-ranges drop`],
    ...(masquerade === undefined ? [] : [['services', masquerade] as const]),
    ['services', `${frontend} vmap @service-ips`],
    ['services', `${nodePortIps === undefined ? 'fib daddr type local ' : ''}${nodePort} vmap @service-nodeports`],
  ];
}

/** Replies to clients that are no pods must come back through this node. */
function masqueradeClusterIps({
  family,
  masqueradeAll,
  masqueradeMark,
  localTraffic,
}: LayoutContext): string | undefined {
  const { ip } = familyWords(family);
  const setMark = `mark set mark or ${masqueradeMark}`;
  if (masqueradeAll) return `${ip} daddr @cluster-ips ${setMark} comment "masquerade all clusterIP traffic"`;
  if (localTraffic === undefined) return undefined;
  const about = 'comment "masquerade clusterIP traffic from outside cluster"';
  return `${ip} daddr @cluster-ips ${fromElsewhere(family, localTraffic)} ${setMark} ${about}`;
}

export function fromHere(family: IpFamily, local: LocalTraffic): string {
  return local.kind === 'source'
    ? `${familyWords(family).ip} saddr ${local.cidr}`
    : `iifname ${interfacePattern(local.pattern)}`;
}

function fromElsewhere(family: IpFamily, local: LocalTraffic): string {
  return local.kind === 'source'
    ? `${familyWords(family).ip} saddr != ${local.cidr}`
    : `iifname != ${interfacePattern(local.pattern)}`;
}

/** A trailing `+` is iptables' word for "and whatever follows". */
function interfacePattern(pattern: string): string {
  return `"${pattern.replace(/\+$/, '*')}"`;
}
