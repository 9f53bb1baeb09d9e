import { describe, expect, it } from 'vitest';
import type { RestoreInput } from '../../../adapters/iptables/iptables.ts';
import { FakeClock } from '../../../base/clock.ts';
import { silentLogger } from '../../../base/logger.ts';
import { nodePortAddresses } from '../../compute/node-port-addresses.ts';
import { testEndpoint, testPort, testState } from '../../compute/test-objects.ts';
import type { ServiceState } from '../../proxy-model.ts';
import { PartialSyncError } from '../installer.ts';
import { IptablesInstaller, type IptablesInstallerOptions } from './iptables-installer.ts';

const signal = new AbortController().signal;
const node = { name: 'here', zone: undefined, ip: '192.168.0.2' };

/** What iptables-save would print, and what iptables-restore was given. */
class Tools {
  saved: Record<string, string[]> = { nat: [], filter: [] };
  restored: string[] = [];
  fails = false;
  hasCounters = false;

  save = async (table: string, onLine: (line: string) => void): Promise<void> => {
    for (const line of this.saved[table] ?? []) onLine(line);
  };
  restore = async (input: RestoreInput): Promise<void> => {
    let text = '';
    for await (const piece of input()) text += piece;
    if (this.fails) throw new Error('iptables-restore: line 2 failed');
    this.restored.push(text);
  };
  ruleCount = (): Promise<number | undefined> => Promise.resolve(undefined);
}

function build(changes: Partial<IptablesInstallerOptions> = {}) {
  const tools = new Tools();
  const clock = new FakeClock();
  const installer = new IptablesInstaller(
    {
      family: 'IPv4',
      masqueradeMark: '0x00004000',
      masqueradeAll: false,
      localhostNodePorts: true,
      dropsInvalid: true,
      nodePortAddresses: () => nodePortAddresses([], [], 'IPv4'),
      localTraffic: () => ({ kind: 'source', cidr: '10.0.0.0/8' }),
      syncPeriodMs: 30_000,
      ...changes,
    },
    {
      iptables: tools,
      ensureCounter: () => Promise.resolve(tools.hasCounters),
      interfaceIps: () => ['192.168.0.2', '127.0.0.1'],
      clock,
      log: silentLogger,
    },
  );
  return { tools, clock, installer };
}

const mapOf = (...states: ServiceState[]): Map<string, ServiceState> =>
  new Map(states.map((state) => [state.key, state]));
const web = (...ips: string[]): ServiceState =>
  testState(
    testPort(),
    ips.map((ip) => testEndpoint(ip)),
  );
const other = testState(testPort({ name: 'other', clusterIp: '172.30.0.50' }), [testEndpoint('10.180.0.9')]);

describe('a full sync writes', () => {
  it('no jump that is there already, and removes chains that no Service claims', async () => {
    const { tools, installer } = build();
    tools.saved['nat'] = [
      '*nat',
      ':PREROUTING ACCEPT [0:0]',
      ':KUBE-SVC-OLDOLDOLDOLDOLD1 - [0:0]',
      ':KUBE-SERVICES - [0:0]',
      ':OTHERS - [0:0]',
      '-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
      'COMMIT',
    ];
    await installer.sync({ services: mapOf(web('10.180.0.1')), changed: 'all', node }, signal);
    const lines = (tools.restored[0] ?? '').split('\n');
    expect(lines.filter((line) => line.startsWith('-I PREROUTING'))).toEqual([]);
    expect(lines).toContain('-I OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES');
    expect(lines.filter((line) => line.startsWith('-X '))).toEqual(['-X KUBE-SVC-OLDOLDOLDOLDOLD1']);
    expect(lines.some((line) => line.includes('OTHERS'))).toBe(false);
  });

  it('nothing into the kubelet’s own guard chain when it has no rule for it', async () => {
    const { tools, installer } = build({ localhostNodePorts: false });
    tools.saved['filter'] = [
      ':KUBE-FIREWALL - [0:0]',
      '-A KUBE-FIREWALL -d 127.0.0.0/8 -j DROP',
      '-A INPUT -j KUBE-FIREWALL',
    ];
    await installer.sync({ services: mapOf(), changed: 'all', node }, signal);
    const lines = (tools.restored[0] ?? '').split('\n').filter((line) => line.includes('KUBE-FIREWALL'));
    expect(lines).toEqual(['-I OUTPUT -j KUBE-FIREWALL']);
  });

  it('no comments on endpoints once there are more than a thousand', async () => {
    const { tools, installer } = build();
    const ips = Array.from({ length: 1001 }, (_, i) => `10.180.${i >> 8}.${i & 255}`);
    await installer.sync({ services: mapOf(web(...ips)), changed: 'all', node }, signal);
    expect(tools.restored[0]).not.toContain(' -> ');
    expect(tools.restored[0]).toContain('"ns1/svc1:p80 cluster IP"');
  });
});

describe('a sync of changes', () => {
  const started = async () => {
    const built = build();
    const services = mapOf(web('10.180.0.1', '10.180.0.2'), other);
    await built.installer.sync({ services, changed: 'all', node }, signal);
    built.tools.restored.length = 0;
    return { ...built, services };
  };

  it('writes the chains of a Service whose endpoints changed, and no shared chain', async () => {
    const { tools, installer, services } = await started();
    services.set('ns1/svc1', web('10.180.0.2', '10.180.0.3'));
    const report = await installer.sync({ services, changed: new Set(['ns1/svc1']), node }, signal);
    await expect(tools.restored.join('')).toMatchFileSnapshot('golden/endpoint-change.txt');
    expect(report.isFull).toBe(false);
    expect(report.rules.get('filter')?.written).toBe(0);
  });

  it('writes shared chains whose text changed: the last endpoint goes', async () => {
    const { tools, installer, services } = await started();
    services.set('ns1/svc1', web());
    await installer.sync({ services, changed: new Set(['ns1/svc1']), node }, signal);
    await expect(tools.restored.join('')).toMatchFileSnapshot('golden/last-endpoint-gone.txt');
  });

  it('removes a Service with its chains', async () => {
    const { tools, installer, services } = await started();
    services.delete('ns1/other');
    await installer.sync({ services, changed: new Set(['ns1/other']), node }, signal);
    const text = tools.restored.join('');
    expect(text.match(/^-X KUBE-(SVC|SEP)-/gm)).toHaveLength(2);
    expect(text).toContain('ns1/svc1:p80 cluster IP');
    expect(text).not.toContain('ns1/other');
  });

  it('takes single rules in and out of a chain that many Services use', async () => {
    const { tools, installer } = build();
    const many = Array.from({ length: 400 }, (_, i) =>
      testState(testPort({ name: `many${i}`, clusterIp: `172.31.${i >> 8}.${i & 255}` }), [testEndpoint('10.1.0.1')]),
    );
    const services = mapOf(web('10.180.0.1'), ...many);
    await installer.sync({ services, changed: 'all', node }, signal);
    tools.restored.length = 0;
    services.delete('ns1/svc1');
    services.set('ns1/other', other);
    const report = await installer.sync({ services, changed: new Set(['ns1/svc1', 'ns1/other']), node }, signal);
    await expect(tools.restored.join('')).toMatchFileSnapshot('golden/long-chain.txt');
    expect(report.rules.get('nat')).toEqual({ total: 5 + 401 * 5, written: 5 });
  });

  it('calls no tool when nothing changed', async () => {
    const { tools, installer, services } = await started();
    await installer.sync({ services, changed: new Set(), node }, signal);
    expect(tools.restored).toEqual([]);
  });

  it('writes everything when the node moves to another zone', async () => {
    const { tools, installer, services } = await started();
    const report = await installer.sync({ services, changed: new Set(), node: { ...node, zone: 'b' } }, signal);
    expect(report.isFull).toBe(true);
    expect(tools.restored).toHaveLength(1);
  });

  it('is told from a full one when it fails, and the next is full', async () => {
    const { tools, installer, services } = await started();
    services.set('ns1/svc1', web('10.180.0.3'));
    tools.fails = true;
    const request = { services, changed: new Set(['ns1/svc1']), node };
    await expect(installer.sync(request, signal)).rejects.toThrow(PartialSyncError);
    tools.fails = false;
    expect(await installer.sync({ services, changed: new Set(), node }, signal)).toMatchObject({ isFull: true });
  });

  it('is a full one every hour', async () => {
    const { clock, installer, services } = await started();
    await clock.advance(3_600_001);
    expect(await installer.sync({ services, changed: new Set(), node }, signal)).toMatchObject({ isFull: true });
  });
});
