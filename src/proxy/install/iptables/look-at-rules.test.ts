import { describe, expect, it } from 'vitest';
import { jumpRule, jumps } from '../../compute/iptables/static-rules.ts';
import { lookQuickly, lookThoroughly } from './look-at-rules.ts';

const signal = new AbortController().signal;
const counts: Record<string, number> = { 'nat KUBE-SERVICES': 2, 'filter KUBE-FORWARD': 1, 'nat KUBE-MARK-MASQ': 1 };
const expected = { inChain: (chain: string) => counts[chain] ?? 0, inServiceChains: 2 };

const saved = {
  filter: [':KUBE-PROXY-CANARY - [0:0]', ...jumpLines('filter'), '-A KUBE-FORWARD -j ACCEPT'],
  nat: [
    ':KUBE-PROXY-CANARY - [0:0]',
    ...jumpLines('nat'),
    '-A KUBE-SERVICES -j KUBE-SVC-A',
    '-A KUBE-SERVICES -j KUBE-NODEPORTS',
    '-A KUBE-MARK-MASQ -j MARK',
    '-A KUBE-SVC-A -j KUBE-SEP-A',
    '-A KUBE-SEP-A -j DNAT',
  ],
};

function jumpLines(table: string): string[] {
  return jumps.filter((jump) => jump.table === table).map((jump) => `-A ${jump.from} ${jumpRule(jump)}`);
}

function tools(without: RegExp, mangleCanary: number | undefined = 0) {
  const lines = (table: string): string[] =>
    (table === 'nat' ? saved.nat : saved.filter).filter((line) => !without.test(line));
  return {
    save: async (table: string, onLine: (line: string) => void): Promise<void> => lines(table).forEach(onLine),
    ruleCount: async (table: string, chain: string): Promise<number | undefined> =>
      table === 'mangle' ? mangleCanary : lines(table).filter((line) => line.startsWith(`-A ${chain} `)).length,
  };
}

describe('a look at the rules', () => {
  it.each([
    { name: 'all there', without: /^$/, quick: [], thorough: [] },
    {
      name: 'a flushed chain',
      without: /^-A KUBE-SERVICES/,
      quick: ['nat KUBE-SERVICES'],
      thorough: ['nat KUBE-SERVICES'],
    },
    {
      name: 'a rule less',
      without: /KUBE-NODEPORTS$/,
      quick: ['nat KUBE-SERVICES'],
      thorough: ['nat KUBE-SERVICES', 'INPUT to KUBE-NODEPORTS'],
    },
    { name: 'a flushed chain of a Service', without: /^-A KUBE-SVC-A/, quick: [], thorough: ['nat rules of Services'] },
    {
      name: 'a chain flushed that leads nowhere',
      without: /^-A KUBE-MARK/,
      quick: [],
      thorough: ['nat KUBE-MARK-MASQ'],
    },
    { name: 'a jump', without: /^-A PREROUTING/, quick: [], thorough: ['PREROUTING to KUBE-SERVICES'] },
    { name: 'a canary', without: /^:/, quick: [], thorough: ['filter KUBE-PROXY-CANARY', 'nat KUBE-PROXY-CANARY'] },
  ])('$name', async ({ without, quick, thorough }) => {
    expect(await lookQuickly(tools(without), expected, signal)).toEqual(quick);
    expect((await lookThoroughly(tools(without), expected, signal)).toSorted()).toEqual(thorough.toSorted());
  });

  it('misses the canary of table mangle', async () => {
    const lost = await lookThoroughly({ ...tools(/^$/), ruleCount: async () => undefined }, expected, signal);
    expect(lost).toEqual(['mangle KUBE-PROXY-CANARY']);
  });

  it('does not mind rules that others add to our chains, nor a rule of theirs that leads to one', async () => {
    saved.nat.push('-A KUBE-MARK-MASQ -j LOG', '-A PREROUTING -i eth0 -j KUBE-SERVICES');
    expect(await lookThoroughly(tools(/^$/), expected, signal)).toEqual([]);
  });
});
