/**
 * The iptables rules around the virtual servers: what is masqueraded, accepted, refused. Unlike in other modes there
 * are as many of them for ten thousand Services as for one, since they ask ipsets. Pure.
 */
import type { IpFamily } from '../../proxy-model.ts';
import type { Jump } from '../iptables/static-rules.ts';
import type { LocalTraffic } from '../local-traffic.ts';
import { type SetEntries, type SetName, kernelSetName } from './ip-sets.ts';

export interface ModeRulesContext {
  readonly family: IpFamily;
  /** The bit's mask, `0x00004000` unless configured. */
  readonly masqueradeMark: string;
  readonly masqueradeAll: boolean;
  readonly localTraffic: LocalTraffic | undefined;
  /** Rules that ask a set are there only while it has entries. */
  readonly sets: SetEntries;
}

const access = 'kubernetes ipvs access filter';
const firewall = 'kube-proxy firewall rules';
const portals = 'kubernetes service portals';

/** In the order in which they are put on top of their chains: the last one ends up first. */
export const modeJumps: readonly Jump[] = [
  { table: 'nat', from: 'OUTPUT', match: '', comment: portals, to: 'KUBE-SERVICES' },
  { table: 'nat', from: 'PREROUTING', match: '', comment: portals, to: 'KUBE-SERVICES' },
  { table: 'nat', from: 'POSTROUTING', match: '', comment: 'kubernetes postrouting rules', to: 'KUBE-POSTROUTING' },
  { table: 'filter', from: 'FORWARD', match: '', comment: 'kubernetes forwarding rules', to: 'KUBE-FORWARD' },
  { table: 'filter', from: 'INPUT', match: '', comment: 'kubernetes health check rules', to: 'KUBE-NODE-PORT' },
  { table: 'filter', from: 'INPUT', match: '', comment: firewall, to: 'KUBE-PROXY-FIREWALL' },
  { table: 'filter', from: 'FORWARD', match: '', comment: firewall, to: 'KUBE-PROXY-FIREWALL' },
  { table: 'filter', from: 'INPUT', match: '', comment: access, to: 'KUBE-IPVS-FILTER' },
  { table: 'filter', from: 'OUTPUT', match: '', comment: access, to: 'KUBE-IPVS-OUT-FILTER' },
];

type Chains = ReadonlyArray<readonly [chain: string, rules: readonly string[]]>;

/** Text for `iptables-restore --noflush`: every chain of the mode, whole. Table nat comes first. */
export function modeRulesText(context: ModeRulesContext): string {
  return [table('nat', natChains(context)), table('filter', filterChains(context))].join('');
}

function table(name: string, chains: Chains): string {
  const declared = chains.map(([chain]) => `:${chain} - [0:0]\n`);
  const rules = chains.flatMap(([chain, lines]) => lines.map((line) => `-A ${chain} ${line}\n`));
  return `*${name}\n${declared.join('')}${rules.join('')}COMMIT\n`;
}

function natChains(context: ModeRulesContext): Chains {
  const { family, masqueradeMark: mark } = context;
  const ask = asker(context);
  return [
    [
      'KUBE-SERVICES',
      [
        `-s ${family === 'IPv6' ? '::1/128' : '127.0.0.0/8'} -j RETURN`,
        ...ask('LOAD-BALANCER', 'dst,dst', '-j KUBE-LOAD-BALANCER'),
        ...masqueradeToClusterIps(context),
        ...ask('EXTERNAL-IP', 'dst,dst', '-j KUBE-MARK-MASQ'),
        ...['EXTERNAL-IP' as const, 'EXTERNAL-IP-LOCAL' as const].flatMap((set) => [
          // from elsewhere: not from a pod behind a bridge, nor from the node itself
          ...ask(set, 'dst,dst', '-m physdev ! --physdev-is-in -m addrtype ! --src-type LOCAL -j ACCEPT'),
          ...ask(set, 'dst,dst', '-m addrtype --dst-type LOCAL -j ACCEPT'),
        ]),
        '-m addrtype --dst-type LOCAL -j KUBE-NODE-PORT',
        ...ask('CLUSTER-IP', 'dst,dst', '-j ACCEPT'),
        ...ask('LOAD-BALANCER', 'dst,dst', '-j ACCEPT'),
      ],
    ],
    ['KUBE-LOAD-BALANCER', [...ask('LOAD-BALANCER-LOCAL', 'dst,dst', '-j RETURN'), '-j KUBE-MARK-MASQ']],
    [
      'KUBE-NODE-PORT',
      [
        ...ask('NODE-PORT-LOCAL-TCP', 'dst', '-j RETURN', '-p tcp '),
        ...ask('NODE-PORT-TCP', 'dst', '-j KUBE-MARK-MASQ', '-p tcp '),
        ...ask('NODE-PORT-LOCAL-UDP', 'dst', '-j RETURN', '-p udp '),
        ...ask('NODE-PORT-UDP', 'dst', '-j KUBE-MARK-MASQ', '-p udp '),
        ...ask('NODE-PORT-LOCAL-SCTP-HASH', 'dst,dst', '-j RETURN', '-p sctp '),
        ...ask('NODE-PORT-SCTP-HASH', 'dst,dst', '-j KUBE-MARK-MASQ', '-p sctp '),
      ],
    ],
    [
      'KUBE-POSTROUTING',
      [
        ...ask('LOOP-BACK', 'dst,dst,src', '-j MASQUERADE'),
        `-m mark ! --mark ${mark}/${mark} -j RETURN`,
        `-j MARK --xor-mark ${mark}`,
        '-m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully',
      ],
    ],
    ['KUBE-MARK-MASQ', [`-j MARK --or-mark ${mark}`]],
  ];
}

/** Replies to clients that are no pods must come back through this node. */
function masqueradeToClusterIps(context: ModeRulesContext): string[] {
  const { masqueradeAll, localTraffic } = context;
  const ask = asker(context);
  if (masqueradeAll) return ask('CLUSTER-IP', 'dst,dst', '-j KUBE-MARK-MASQ');
  // nobody can tell pods apart: only what has a cluster IP as its own source, as the node has, is sure to need it
  if (localTraffic === undefined) return ask('CLUSTER-IP', 'src,dst', '-j KUBE-MARK-MASQ');
  const isElsewhere = localTraffic.kind === 'source' ? `! -s ${localTraffic.cidr}` : `! -i ${localTraffic.pattern}`;
  return ask('CLUSTER-IP', 'dst,dst', `${isElsewhere} -j KUBE-MARK-MASQ`);
}

function filterChains(context: ModeRulesContext): Chains {
  const { masqueradeMark: mark } = context;
  const ask = asker(context);
  const forwarding = '-m comment --comment "kubernetes forwarding rules"';
  const established = '-m comment --comment "kubernetes forwarding conntrack rule"';
  return [
    [
      'KUBE-FORWARD',
      [
        `${forwarding} -m mark --mark ${mark}/${mark} -j ACCEPT`,
        `${established} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`,
      ],
    ],
    ['KUBE-NODE-PORT', ask('HEALTH-CHECK-NODE-PORT', 'dst', '-j ACCEPT')],
    ['KUBE-PROXY-FIREWALL', ask('LOAD-BALANCER-FW', 'dst,dst', '-j KUBE-SOURCE-RANGES-FIREWALL')],
    [
      'KUBE-SOURCE-RANGES-FIREWALL',
      [
        ...ask('LOAD-BALANCER-SOURCE-CIDR', 'dst,dst,src', '-j RETURN'),
        ...ask('LOAD-BALANCER-SOURCE-IP', 'dst,dst,src', '-j RETURN'),
        '-j DROP',
      ],
    ],
    [
      'KUBE-IPVS-FILTER',
      [
        ...ask('LOAD-BALANCER', 'dst,dst', '-j RETURN'),
        ...ask('CLUSTER-IP', 'dst,dst', '-j RETURN'),
        ...ask('EXTERNAL-IP', 'dst,dst', '-j RETURN'),
        ...ask('EXTERNAL-IP-LOCAL', 'dst,dst', '-j RETURN'),
        ...ask('HEALTH-CHECK-NODE-PORT', 'dst', '-j RETURN'),
        // bound addresses are the node's own: without this, its daemons would answer on them
        ...ask('IPVS-IPS', 'dst', '-j REJECT', '-m conntrack --ctstate NEW '),
      ],
    ],
    ['KUBE-IPVS-OUT-FILTER', []],
  ];
}

/** A rule for what a set holds; none while the set is empty. */
function asker({ sets, family }: ModeRulesContext) {
  return (set: SetName, sides: string, verdict: string, match = ''): string[] => {
    if ((sets.get(set)?.size ?? 0) === 0) return [];
    return [`${match}-m set --match-set ${kernelSetName(set, family)} ${sides} ${verdict}`];
  };
}
