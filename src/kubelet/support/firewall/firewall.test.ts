import { describe, expect, it } from 'vitest';
import { FakeClock } from '../../../base/clock.ts';
import { silentLogger } from '../../../base/logger.ts';
import { type FirewallTools, runFirewall } from './firewall.ts';

/** Chains and rules of one family, as the tools would keep them. */
class Tables implements FirewallTools {
  readonly chains = new Map<string, string[]>();
  isThere = true;
  failures = 0;

  isUsable = (): Promise<boolean> => Promise.resolve(this.isThere);
  ruleCount = async (table: string, chain: string): Promise<number | undefined> =>
    this.chains.get(`${table} ${chain}`)?.length;
  ensureChain = async (table: string, chain: string): Promise<void> => {
    if (this.failures-- > 0) throw new Error('the lock is held');
    if (!this.chains.has(`${table} ${chain}`)) this.chains.set(`${table} ${chain}`, []);
  };
  ensureRule = async (place: string, table: string, chain: string, rule: readonly string[]): Promise<void> => {
    const rules = this.chains.get(`${table} ${chain}`) ?? [];
    this.chains.set(`${table} ${chain}`, rules);
    const text = rule.join(' ');
    if (rules.includes(text)) return;
    if (place === 'first') rules.unshift(text);
    else rules.push(text);
  };
}

const empty = {
  'mangle KUBE-IPTABLES-HINT': [],
  'filter KUBE-KUBELET-CANARY': [],
  'nat KUBE-KUBELET-CANARY': [],
  'mangle KUBE-KUBELET-CANARY': [],
};
const guarded = {
  ...empty,
  'filter KUBE-FIREWALL': [
    '-m comment --comment block incoming localnet connections --dst 127.0.0.0/8 ! --src 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP',
  ],
  'filter OUTPUT': ['-j KUBE-FIREWALL'],
  'filter INPUT': ['-j KUBE-FIREWALL'],
};

describe('the firewall of the kubelet', () => {
  const run = async (prepare: (ipv4: Tables, ipv6: Tables) => void, meanwhile: (ipv4: Tables) => void = () => {}) => {
    const tools = { IPv4: new Tables(), IPv6: new Tables() };
    prepare(tools.IPv4, tools.IPv6);
    const clock = new FakeClock();
    const stop = new AbortController();
    const done = runFirewall({ tools, clock, log: silentLogger }, stop.signal);
    await clock.advance(1000);
    meanwhile(tools.IPv4);
    await clock.advance(60_000);
    stop.abort();
    await done;
    return { IPv4: Object.fromEntries(tools.IPv4.chains), IPv6: Object.fromEntries(tools.IPv6.chains) };
  };

  it('is upstream’s: the guard in IPv4, hint and canary in both', async () => {
    expect(await run(() => {})).toEqual({ IPv4: guarded, IPv6: empty });
  });

  it('comes back when somebody has replaced the tables', async () => {
    expect(
      (
        await run(
          () => {},
          (ipv4) => ipv4.chains.clear(),
        )
      ).IPv4,
    ).toEqual(guarded);
  });

  it('is tried again when the tools fail', async () => {
    expect((await run((ipv4) => (ipv4.failures = 1))).IPv4).toEqual(guarded);
  });

  it('leaves what is there as it is', async () => {
    const kept = { 'filter INPUT': ['-j ACCEPT', '-j KUBE-FIREWALL'], 'filter KUBE-FIREWALL': ['-j OTHERS'] };
    const { IPv4 } = await run((ipv4) =>
      Object.entries(kept).forEach(([chain, rules]) => ipv4.chains.set(chain, rules)),
    );
    expect(IPv4['filter INPUT']).toEqual(['-j ACCEPT', '-j KUBE-FIREWALL']);
    expect(IPv4['filter KUBE-FIREWALL']).toEqual(['-j OTHERS', ...guarded['filter KUBE-FIREWALL']]);
  });

  it('is nothing where there is no iptables', async () => {
    const none = await run((ipv4, ipv6) => void (ipv4.isThere = ipv6.isThere = false));
    expect(none).toEqual({ IPv4: {}, IPv6: {} });
  });
});
