/** The rules that every sync needs whatever the Services: jumps from the built-in chains, marks, forwarding. Pure. */
import type { IpFamily } from '../../proxy-model.ts';
import { isLoopback } from '../ip-ranges.ts';

export type Table = 'filter' | 'nat' | 'mangle';

/** How a built-in chain leads to one of ours. */
export interface Jump {
  readonly table: Table;
  readonly from: string;
  readonly match: string;
  readonly comment: string;
  readonly to: string;
}

const isNew = '-m conntrack --ctstate NEW';
const portals = 'kubernetes service portals';
const external = 'kubernetes externally-visible service portals';
const firewall = 'kubernetes load balancer firewall';

/** In the order in which they are put on top of their chains: the last one ends up first. */
export const jumps: readonly Jump[] = [
  { table: 'filter', from: 'INPUT', match: isNew, comment: external, to: 'KUBE-EXTERNAL-SERVICES' },
  { table: 'filter', from: 'FORWARD', match: isNew, comment: external, to: 'KUBE-EXTERNAL-SERVICES' },
  { table: 'filter', from: 'INPUT', match: '', comment: 'kubernetes health check service ports', to: 'KUBE-NODEPORTS' },
  { table: 'filter', from: 'FORWARD', match: isNew, comment: portals, to: 'KUBE-SERVICES' },
  { table: 'filter', from: 'OUTPUT', match: isNew, comment: portals, to: 'KUBE-SERVICES' },
  { table: 'filter', from: 'FORWARD', match: '', comment: 'kubernetes forwarding rules', to: 'KUBE-FORWARD' },
  { table: 'filter', from: 'INPUT', match: isNew, comment: firewall, to: 'KUBE-PROXY-FIREWALL' },
  { table: 'filter', from: 'OUTPUT', match: isNew, comment: firewall, to: 'KUBE-PROXY-FIREWALL' },
  { table: 'filter', from: 'FORWARD', match: isNew, comment: firewall, to: 'KUBE-PROXY-FIREWALL' },
  { table: 'nat', from: 'OUTPUT', match: '', comment: portals, to: 'KUBE-SERVICES' },
  { table: 'nat', from: 'PREROUTING', match: '', comment: portals, to: 'KUBE-SERVICES' },
  { table: 'nat', from: 'POSTROUTING', match: '', comment: 'kubernetes postrouting rules', to: 'KUBE-POSTROUTING' },
  { table: 'filter', from: 'INPUT', match: '', comment: '', to: 'KUBE-FIREWALL' },
  { table: 'filter', from: 'OUTPUT', match: '', comment: '', to: 'KUBE-FIREWALL' },
];

export function jumpRule({ match, comment, to }: Jump): string {
  const about = comment === '' ? '' : `-m comment --comment "${comment}"`;
  return [match, about, `-j ${to}`].filter((part) => part !== '').join(' ');
}

/** The same as arguments of a command. */
export function jumpArguments({ match, comment, to }: Jump): string[] {
  return [
    ...match.split(' ').filter((word) => word !== ''),
    ...(comment === '' ? [] : ['-m', 'comment', '--comment', comment]),
    '-j',
    to,
  ];
}

/** Chains that a full sync writes whole, by table, in upstream's order. */
export const sharedChains = {
  filter: [
    'KUBE-SERVICES',
    'KUBE-EXTERNAL-SERVICES',
    'KUBE-FORWARD',
    'KUBE-NODEPORTS',
    'KUBE-PROXY-FIREWALL',
    'KUBE-FIREWALL',
  ],
  nat: ['KUBE-SERVICES', 'KUBE-NODEPORTS', 'KUBE-POSTROUTING', 'KUBE-MARK-MASQ'],
} as const;

export const canaryChain = 'KUBE-PROXY-CANARY';
/** Packets of connections that conntrack finds invalid, as the kernel counts them. */
export const invalidCounter = 'ct_state_invalid_dropped_pkts';

export interface StaticContext {
  readonly family: IpFamily;
  /** The bit's mask, `0x00004000` unless configured. */
  readonly masqueradeMark: string;
  /** Whether packets that conntrack finds invalid are dropped on their way; not when the kernel is told to be liberal. */
  readonly dropsInvalid: boolean;
  /** The counter for them exists. */
  readonly countsInvalid: boolean;
  /** NodePorts answer on 127.0.0.1, so the node must guard what listens there only. */
  readonly localhostNodePorts: boolean;
}

export function masqueradeMark(bit: number): string {
  // `>>> 0`: bit 31 is a positive number, too
  return `0x${((1 << bit) >>> 0).toString(16).padStart(8, '0')}`;
}

/** Rules of the chains that no Service adds to. */
export function staticRules(context: StaticContext): Record<string, readonly string[]> {
  const { masqueradeMark: mark } = context;
  const countInvalid = context.countsInvalid ? `-m nfacct --nfacct-name ${invalidCounter} ` : '';
  const forwarding = '-m comment --comment "kubernetes forwarding rules"';
  return {
    'nat KUBE-POSTROUTING': [
      `-m mark ! --mark ${mark}/${mark} -j RETURN`,
      // taken off again, so that a packet that passes here twice (overlay networks) is not masqueraded twice
      `-j MARK --xor-mark ${mark}`,
      '-m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully',
    ],
    'nat KUBE-MARK-MASQ': [`-j MARK --or-mark ${mark}`],
    'filter KUBE-FORWARD': [
      ...(context.dropsInvalid ? [`-m conntrack --ctstate INVALID ${countInvalid}-j DROP`] : []),
      `${forwarding} -m mark --mark ${mark}/${mark} -j ACCEPT`,
      '-m comment --comment "kubernetes forwarding conntrack rule" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
    ],
    'filter KUBE-FIREWALL':
      context.family === 'IPv4' && context.localhostNodePorts
        ? [
            '-m comment --comment "block incoming localnet connections" -d 127.0.0.0/8 ! -s 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP',
          ]
        : [],
  };
}

/** Where NodePorts are looked up; these end the nat KUBE-SERVICES chain. `addresses` undefined: on every local address. */
export function nodePortJumps(
  family: IpFamily,
  addresses: readonly string[] | undefined,
  localhostNodePorts: boolean,
): string[] {
  const comment = '-m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule in this chain"';
  const worksOn = (ip: string): boolean => !isLoopback(ip) || (family === 'IPv4' && localhostNodePorts);
  if (addresses !== undefined) {
    return addresses.filter(worksOn).map((ip) => `${comment} -d ${ip} -j KUBE-NODEPORTS`);
  }
  const notLoopback = family === 'IPv6' ? ' ! -d ::1/128' : localhostNodePorts ? '' : ' ! -d 127.0.0.0/8';
  return [`${comment} -m addrtype --dst-type LOCAL${notLoopback} -j KUBE-NODEPORTS`];
}
