/**
 * What leaves the cluster from a pod gets the node's address; what stays in it keeps the pod's. Pure text for `nft`.
 *
 * It is a table of our own: nothing of anybody else's chains is touched, it is replaced in one transaction, and it goes
 * without a trace. It looks at packets after kube-proxy and the hostPort plugin (priority 100), so Service traffic has
 * its endpoint as destination already, and a connection that they masquerade is theirs.
 */
import { familyOf } from './networks.ts';

export const tableName = 'gantry-pod-network';
const priority = 110;

export interface MasqueradeInput {
  /** This node's pods: nobody else's packets are touched. */
  podCidrs: readonly string[];
  /** Where pods keep their addresses: all pods of the cluster, and what else is asked for. */
  keepCidrs: readonly string[];
}

/** Replaces the whole table in one transaction, whether there was one or not. */
export function masqueradeTable({ podCidrs, keepCidrs }: MasqueradeInput): string {
  const families = (['IPv4', 'IPv6'] as const).flatMap((family) => {
    const own = ofFamily(podCidrs, family);
    if (own.length === 0) return [];
    const isV4 = family === 'IPv4';
    const suffix = isV4 ? '4' : '6';
    const keep = [...new Set([...own, ...ofFamily(keepCidrs, family), isV4 ? '224.0.0.0/4' : 'ff00::/8'])].toSorted();
    const type = isV4 ? 'ipv4_addr' : 'ipv6_addr';
    const word = isV4 ? 'ip' : 'ip6';
    return [
      {
        sets: [set(`pods${suffix}`, type, own), set(`keep${suffix}`, type, keep)],
        rule: `\t\t${word} saddr @pods${suffix} ${word} daddr != @keep${suffix} fib daddr type != local masquerade fully-random comment "pods to outside of the cluster"`,
      },
    ];
  });
  return [
    ...removeTable(),
    `table inet ${tableName} {`,
    ...families.flatMap(({ sets }) => sets),
    '\tchain postrouting {',
    `\t\ttype nat hook postrouting priority ${priority}; policy accept;`,
    ...families.map(({ rule }) => rule),
    '\t}',
    '}',
    '',
  ].join('\n');
}

/** The first line makes the second succeed where there is no table. */
export function removeTable(): string[] {
  return [`add table inet ${tableName}`, `delete table inet ${tableName}`];
}

function ofFamily(cidrs: readonly string[], family: 'IPv4' | 'IPv6'): string[] {
  return cidrs.filter((cidr) => familyOf(cidr) === family);
}

function set(name: string, type: string, elements: readonly string[]): string {
  return `\tset ${name} { type ${type}; flags interval; auto-merge; elements = { ${elements.join(', ')} }; }`;
}
