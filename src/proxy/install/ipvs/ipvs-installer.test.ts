import { describe, expect, it } from 'vitest';
import type { RestoreInput } from '../../../adapters/iptables/iptables.ts';
import { FakeClock } from '../../../base/clock.ts';
import { silentLogger } from '../../../base/logger.ts';
import { parseIpsetSave } from '../../compute/ipvs/ip-sets.ts';
import { nodePortAddresses } from '../../compute/node-port-addresses.ts';
import { testEndpoint, testPort, testState } from '../../compute/test-objects.ts';
import type { Endpoint } from '../../proxy-model.ts';
import { IpvsInstaller } from './ipvs-installer.ts';

const node = { name: 'here', zone: undefined, ip: '192.168.0.2' };
const web = '10.96.0.1:80';

/** A kernel as the tools show it, and all that they were told, in order. */
class Kernel {
  readonly said: string[] = [];
  links = new Map<string, string[]>([
    ['lo', ['127.0.0.1', '::1']],
    ['eth0', ['192.168.0.2', 'fe80::1']],
  ]);
  sets = '';
  servers = '';
  connections = '';
  rules: Record<string, string[]> = { nat: [], filter: [] };
  failsRestore = false;
  failures = 0;

  readonly ipset = {
    save: () => Promise.resolve(this.sets),
    restore: (lines: readonly string[]) => this.#take('ipset', lines),
  };
  readonly ipvs = {
    save: () => Promise.resolve(this.servers),
    list: () => Promise.resolve(this.connections),
    restore: (lines: readonly string[]) => this.#take('ipvsadm', lines),
  };
  readonly linkNeed = {
    addresses: () => Promise.resolve(this.links),
    ensure: async (name: string) => {
      if (!this.links.has(name)) this.links.set(name, []);
    },
    change: (name: string, { added, removed }: { added: readonly string[]; removed: readonly string[] }) =>
      this.#take(name, [...added.map((ip) => `+${ip}`), ...removed.map((ip) => `-${ip}`)]),
  };
  readonly iptables = {
    save: async (table: string, onLine: (line: string) => void): Promise<void> => {
      for (const line of this.rules[table] ?? []) onLine(line);
    },
    restore: async (input: RestoreInput): Promise<void> => {
      let text = '';
      for await (const piece of input()) text += piece;
      if (this.failsRestore) throw new Error('line 2 failed');
      await this.#take('iptables', [text]);
    },
    ruleCount: () => Promise.resolve(undefined),
  };

  #take(tool: string, lines: readonly string[]): Promise<void> {
    this.said.push(...lines.map((line) => `${tool} ${line}`));
    return Promise.resolve();
  }

  /** What a tool was told since the last question. */
  told(tool: string): string[] {
    return this.said.filter((line) => line.startsWith(`${tool} `)).map((line) => line.slice(tool.length + 1));
  }
}

function build() {
  const kernel = new Kernel();
  const clock = new FakeClock();
  const installer = new IpvsInstaller(
    {
      family: 'IPv4',
      masqueradeMark: '0x00004000',
      masqueradeAll: false,
      scheduler: 'rr',
      excludeCidrs: ['203.0.113.0/24'],
      nodePortAddresses: () => nodePortAddresses([], [], 'IPv4'),
      localTraffic: () => ({ kind: 'source', cidr: '10.1.0.0/16' }),
    },
    {
      ipset: kernel.ipset,
      ipvs: kernel.ipvs,
      links: kernel.linkNeed,
      iptables: kernel.iptables,
      onRestoreFailed: () => kernel.failures++,
      clock,
      log: silentLogger,
    },
  );
  const stop = new AbortController();
  const sync = (...endpoints: Endpoint[]) => {
    kernel.said.length = 0;
    const port = testPort({
      clusterIp: '10.96.0.1',
      nodePort: 30080,
      loadBalancerIps: ['192.168.0.2', '198.51.100.7'],
    });
    const services = new Map([['ns1/svc1', testState(port, endpoints)]]);
    return installer.sync({ services, changed: 'all', node }, stop.signal);
  };
  return { kernel, clock, installer, stop, sync };
}

describe('IpvsInstaller', () => {
  it('makes sets, then addresses, then servers, then the rules that ask the sets, and tells who is not bound', async () => {
    const { kernel, sync } = build();
    kernel.links.set('kube-ipvs0', ['10.96.9.9', 'fd00::1']);
    kernel.servers = '-A -t 10.96.9.9:1 -s rr\n-A -t 203.0.113.1:1 -s rr\n-A -t [fd00::1]:1 -s rr\n';
    await sync(testEndpoint('10.1.0.1'));
    const tools = kernel.said.map((line) => line.split(' ')[0]);
    expect([...new Set(tools)]).toEqual(['ipset', 'kube-ipvs0', 'ipvsadm', 'iptables']);
    // the node's own address is not bound, other families and other people's servers stay
    expect(kernel.told('kube-ipvs0')).toEqual(['+10.96.0.1', '+198.51.100.7', '-10.96.9.9']);
    expect(kernel.told('ipvsadm')).toEqual([
      '-D -t 10.96.9.9:1',
      ...[web, '192.168.0.2:80', '198.51.100.7:80', '192.168.0.2:30080'].flatMap((address) => [
        `-A -t ${address} -s rr`,
        `-a -t ${address} -r 10.1.0.1:80 -m -w 1`,
      ]),
    ]);
    const [rules = ''] = kernel.told('iptables');
    expect(rules).toContain('-I OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES\n');
    const asked = new Set([...rules.matchAll(/--match-set (\S+)/g)].map(([, set]) => set));
    const made = parseIpsetSave(kernel.told('ipset').join('\n'));
    expect([...asked].filter((set) => !made.has(set ?? ''))).toEqual([]);
    expect(asked.size).toBeGreaterThan(3);
  });

  it('adds only jumps that are missing', async () => {
    const { kernel, sync } = build();
    await sync();
    const jumps = (): string[] =>
      kernel
        .told('iptables')
        .join('')
        .match(/^-I .*$/gm) ?? [];
    expect(jumps()).toHaveLength(9);
    const lines = jumps().map((line) => line.replace('-I', '-A'));
    kernel.rules = { nat: lines, filter: lines.slice(1) };
    await sync();
    expect(jumps()).toEqual([]);
    kernel.rules = { nat: lines.slice(1), filter: lines };
    await sync();
    expect(jumps()).toEqual([lines[0]?.replace('-A', '-I')]);
  });

  it('keeps a real server with connections until they have ended', async () => {
    const { kernel, clock, installer, stop, sync } = build();
    const one = `-a -t ${web} -r 10.1.0.1:80 -m -w`;
    kernel.servers = `-A -t ${web} -s rr\n${one} 1\n`;
    kernel.connections = `TCP  ${web} rr\n  -> 10.1.0.1:80  Masq  1  1  0\n`;
    const ofWeb = (): string[] => kernel.told('ipvsadm').filter((line) => line.includes(`${web} `));
    await sync(testEndpoint('10.1.0.2'));
    expect(ofWeb()).toEqual([`-a -t ${web} -r 10.1.0.2:80 -m -w 1`, `-e -t ${web} -r 10.1.0.1:80 -m -w 0`]);
    kernel.servers = `-A -t ${web} -s rr\n${one} 0\n`;

    const watching = installer.watch(() => {}, stop.signal);
    kernel.said.length = 0;
    await clock.advance(60_000);
    expect(kernel.told('ipvsadm')).toEqual([]);
    kernel.connections = `TCP  ${web} rr\n  -> 10.1.0.1:80  Masq  0  0  0\n`;
    await clock.advance(60_000);
    expect(kernel.told('ipvsadm')).toEqual([`-d -t ${web} -r 10.1.0.1:80`]);
    stop.abort();
    await watching;
  });

  it('says when its rules or its interface are gone', async () => {
    const { clock, installer, stop, sync } = build();
    let lost = 0;
    const watching = installer.watch(() => lost++, stop.signal);
    await clock.advance(10_000);
    expect(lost).toBe(0); // nothing has been installed yet
    await sync();
    await clock.advance(6000);
    expect(lost).toBe(1);
    stop.abort();
    await watching;
  });

  it('counts failures of iptables-restore only', async () => {
    const { kernel, sync } = build();
    kernel.failsRestore = true;
    await expect(sync()).rejects.toThrow('line 2 failed');
    expect(kernel.failures).toBe(1);
    kernel.ipset.save = () => Promise.reject(new Error('no sets'));
    await expect(sync()).rejects.toThrow('no sets');
    expect(kernel.failures).toBe(1);
  });
});
