import { expect, it } from 'vitest';
import type { RestoreInput } from '../../../adapters/iptables/iptables.ts';
import { kernelSetName } from '../../compute/ipvs/ip-sets.ts';
import { cleanUpModeRules, setRemovals } from './clean-up.ts';

it('removes jumps and chains of mode ipvs, and only empties those that others still lead to', async () => {
  const saved: Record<string, string[]> = {
    nat: [
      ':OUTPUT ACCEPT [0:0]',
      ':KUBE-SERVICES - [0:0]',
      ':KUBE-MARK-MASQ - [0:0]',
      ':KUBE-LOAD-BALANCER - [0:0]',
      ':KUBE-SVC-X - [0:0]',
      ':FOREIGN - [0:0]',
      '-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
      '-A KUBE-SERVICES -j KUBE-LOAD-BALANCER',
      '-A KUBE-LOAD-BALANCER -j KUBE-MARK-MASQ',
      '-A KUBE-SVC-X -j KUBE-MARK-MASQ',
    ],
    filter: [':FOREIGN - [0:0]'],
  };
  const did: string[] = [];
  const iptables = {
    save: async (table: string, onLine: (line: string) => void) => saved[table]?.forEach(onLine),
    restore: async (input: RestoreInput) => {
      for await (const text of input()) did.push(text);
    },
    deleteRule: async (table: string, chain: string, rule: readonly string[]) => {
      did.push([table, chain, ...rule].join(' '));
    },
  };
  await cleanUpModeRules(iptables, 'IPv4', new AbortController().signal);
  expect(did).toEqual([
    'nat OUTPUT -m comment --comment kubernetes service portals -j KUBE-SERVICES',
    '*nat\n:KUBE-SERVICES - [0:0]\n:KUBE-MARK-MASQ - [0:0]\n:KUBE-LOAD-BALANCER - [0:0]\n' +
      '-X KUBE-SERVICES\n-X KUBE-LOAD-BALANCER\nCOMMIT\n',
  ]);
});

it('destroys the sets that there are, and no foreign one', () => {
  const name = kernelSetName('CLUSTER-IP', 'IPv6');
  expect(
    setRemovals(
      new Map([
        ['foreign', 1],
        [name, 1],
      ] as const),
    ),
  ).toEqual([`destroy ${name}`]);
});
