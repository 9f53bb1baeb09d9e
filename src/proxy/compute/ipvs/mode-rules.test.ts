import { describe, expect, it } from 'vitest';
import { jumpRule } from '../iptables/static-rules.ts';
import { type SetName, setNames } from './ip-sets.ts';
import { type ModeRulesContext, modeJumps, modeRulesText } from './mode-rules.ts';

const filled = (...names: readonly SetName[]) => new Map(names.map((name) => [name, new Set(['an entry'])]));

const base: ModeRulesContext = {
  family: 'IPv4',
  masqueradeMark: '0x00004000',
  masqueradeAll: false,
  localTraffic: { kind: 'source', cidr: '10.244.0.0/16' },
  sets: filled(...setNames),
};

function rulesOf(tableName: string, chain: string, changes: Partial<ModeRulesContext> = {}): string[] {
  const text = modeRulesText({ ...base, ...changes });
  const body = text.slice(text.indexOf(`*${tableName}\n`)).split('COMMIT')[0] ?? '';
  const start = `-A ${chain} `;
  return body
    .split('\n')
    .filter((line) => line.startsWith(start))
    .map((line) => line.slice(start.length));
}

describe('modeRulesText', () => {
  it('looks at Services in order: balancers, cluster IPs, external IPs, NodePorts', () => {
    const ask = (set: string): string => `-m set --match-set KUBE-${set} dst,dst`;
    const fromOutside = '-m physdev ! --physdev-is-in -m addrtype ! --src-type LOCAL -j ACCEPT';
    const toNode = '-m addrtype --dst-type LOCAL';
    expect(rulesOf('nat', 'KUBE-SERVICES')).toEqual([
      '-s 127.0.0.0/8 -j RETURN',
      `${ask('LOAD-BALANCER')} -j KUBE-LOAD-BALANCER`,
      `${ask('CLUSTER-IP')} ! -s 10.244.0.0/16 -j KUBE-MARK-MASQ`,
      `${ask('EXTERNAL-IP')} -j KUBE-MARK-MASQ`,
      `${ask('EXTERNAL-IP')} ${fromOutside}`,
      `${ask('EXTERNAL-IP')} ${toNode} -j ACCEPT`,
      `${ask('EXTERNAL-IP-LOCAL')} ${fromOutside}`,
      `${ask('EXTERNAL-IP-LOCAL')} ${toNode} -j ACCEPT`,
      `${toNode} -j KUBE-NODE-PORT`,
      `${ask('CLUSTER-IP')} -j ACCEPT`,
      `${ask('LOAD-BALANCER')} -j ACCEPT`,
    ]);
  });

  it.each([
    { name: 'everybody', with: { masqueradeAll: true }, want: 'dst,dst -j KUBE-MARK-MASQ' },
    {
      name: 'who has such a source, without a detector',
      with: { localTraffic: undefined },
      want: 'src,dst -j KUBE-MARK-MASQ',
    },
    {
      name: 'who comes by another interface',
      with: { localTraffic: { kind: 'interface', pattern: 'cali+' } },
      want: 'dst,dst ! -i cali+ -j KUBE-MARK-MASQ',
    },
  ] as const)('on the way to cluster IPs masquerades $name', ({ with: changes, want }) => {
    expect(rulesOf('nat', 'KUBE-SERVICES', changes)[2]).toBe(`-m set --match-set KUBE-CLUSTER-IP ${want}`);
  });

  it('asks no set that is empty', () => {
    const sets = filled('CLUSTER-IP', 'IPVS-IPS');
    const asked = [...modeRulesText({ ...base, sets }).matchAll(/--match-set (\S+)/g)].map(([, name]) => name);
    expect(new Set(asked)).toEqual(new Set(['KUBE-CLUSTER-IP', 'KUBE-IPVS-IPS']));
  });

  it('asks every set that has entries', () => {
    const asked = [...modeRulesText(base).matchAll(/--match-set KUBE-(\S+)/g)].map(([, name]) => name);
    expect(new Set(asked)).toEqual(new Set(setNames));
  });

  it.each([
    {
      place: ['nat', 'KUBE-LOAD-BALANCER'],
      want: ['-m set --match-set KUBE-LOAD-BALANCER-LOCAL dst,dst -j RETURN', '-j KUBE-MARK-MASQ'],
    },
    {
      place: ['nat', 'KUBE-NODE-PORT'],
      want: [
        '-p tcp -m set --match-set KUBE-NODE-PORT-LOCAL-TCP dst -j RETURN',
        '-p tcp -m set --match-set KUBE-NODE-PORT-TCP dst -j KUBE-MARK-MASQ',
        '-p udp -m set --match-set KUBE-NODE-PORT-LOCAL-UDP dst -j RETURN',
        '-p udp -m set --match-set KUBE-NODE-PORT-UDP dst -j KUBE-MARK-MASQ',
        '-p sctp -m set --match-set KUBE-NODE-PORT-LOCAL-SCTP-HASH dst,dst -j RETURN',
        '-p sctp -m set --match-set KUBE-NODE-PORT-SCTP-HASH dst,dst -j KUBE-MARK-MASQ',
      ],
    },
    {
      place: ['nat', 'KUBE-POSTROUTING'],
      want: [
        '-m set --match-set KUBE-LOOP-BACK dst,dst,src -j MASQUERADE',
        '-m mark ! --mark 0x00004000/0x00004000 -j RETURN',
        '-j MARK --xor-mark 0x00004000',
        '-m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully',
      ],
    },
    { place: ['filter', 'KUBE-NODE-PORT'], want: ['-m set --match-set KUBE-HEALTH-CHECK-NODE-PORT dst -j ACCEPT'] },
    {
      place: ['filter', 'KUBE-PROXY-FIREWALL'],
      want: ['-m set --match-set KUBE-LOAD-BALANCER-FW dst,dst -j KUBE-SOURCE-RANGES-FIREWALL'],
    },
    {
      place: ['filter', 'KUBE-SOURCE-RANGES-FIREWALL'],
      want: [
        '-m set --match-set KUBE-LOAD-BALANCER-SOURCE-CIDR dst,dst,src -j RETURN',
        '-m set --match-set KUBE-LOAD-BALANCER-SOURCE-IP dst,dst,src -j RETURN',
        '-j DROP',
      ],
    },
    {
      place: ['filter', 'KUBE-IPVS-FILTER'],
      want: [
        '-m set --match-set KUBE-LOAD-BALANCER dst,dst -j RETURN',
        '-m set --match-set KUBE-CLUSTER-IP dst,dst -j RETURN',
        '-m set --match-set KUBE-EXTERNAL-IP dst,dst -j RETURN',
        '-m set --match-set KUBE-EXTERNAL-IP-LOCAL dst,dst -j RETURN',
        '-m set --match-set KUBE-HEALTH-CHECK-NODE-PORT dst -j RETURN',
        '-m conntrack --ctstate NEW -m set --match-set KUBE-IPVS-IPS dst -j REJECT',
      ],
    },
  ])('$place', ({ place: [tableName = '', chain = ''], want }) => {
    expect(rulesOf(tableName, chain)).toEqual(want);
  });

  it('speaks IPv6', () => {
    const rules = rulesOf('nat', 'KUBE-SERVICES', { family: 'IPv6' });
    expect(rules[0]).toBe('-s ::1/128 -j RETURN');
    expect(rules[1]).toBe('-m set --match-set KUBE-6-LOAD-BALANCER dst,dst -j KUBE-LOAD-BALANCER');
  });

  it('declares every chain that a rule or a jump leads to', () => {
    for (const tableName of ['nat', 'filter'] as const) {
      const text = modeRulesText(base);
      const body = text.slice(text.indexOf(`*${tableName}\n`)).split('COMMIT')[0] ?? '';
      const declared = [...body.matchAll(/^:(\S+)/gm)].map(([, chain]) => chain);
      const targets = [...body.matchAll(/-j (KUBE-\S+)/g)].map(([, chain]) => chain);
      const jumped = modeJumps.filter(({ table }) => table === tableName).map(({ to }) => to);
      expect(declared).toEqual(expect.arrayContaining([...targets, ...jumped]));
    }
  });
});

describe('modeJumps', () => {
  it('says why each is there', () => {
    expect(modeJumps.filter(({ to }) => to.startsWith('KUBE-IPVS')).map(jumpRule)).toEqual([
      '-m comment --comment "kubernetes ipvs access filter" -j KUBE-IPVS-FILTER',
      '-m comment --comment "kubernetes ipvs access filter" -j KUBE-IPVS-OUT-FILTER',
    ]);
  });
});
