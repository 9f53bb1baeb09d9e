/**
 * What mode ipvs writes, taken by the real `ipset` and `iptables-restore` in a network namespace. Virtual servers need a
 * module that not every kernel has; sets and rules do not.
 */
import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { IpFamily } from '../../src/proxy/proxy-model.ts';
import { ipsetChanges, parseIpsetSave, setNames } from '../../src/proxy/compute/ipvs/ip-sets.ts';
import { modeRulesText } from '../../src/proxy/compute/ipvs/mode-rules.ts';
import { wantedState } from '../../src/proxy/compute/ipvs/wanted-state.ts';
import { testEndpoint, testPort, testState } from '../../src/proxy/compute/test-objects.ts';
import { missingForNamespaces } from './network-namespace.ts';

const missing = missingForNamespaces(['ipset', 'iptables-restore', 'ip6tables-restore']);
const netns = `gantry-ipvs-${process.pid}`;

/** Standard output of a command in the namespace. */
function run(input: string, ...command: readonly string[]): string {
  return execFileSync('ip', ['netns', 'exec', netns, ...command], { input, encoding: 'utf8' });
}

/** Service ports that together put something into every set. */
function setsOf(family: IpFamily) {
  const pick = (ipv4: string, ipv6: string): string => (family === 'IPv4' ? ipv4 : ipv6);
  const common = {
    clusterIp: pick('10.0.0.1', 'fd00::1'),
    nodePort: 30080,
    externalIps: [pick('203.0.113.1', 'fd03::1')],
    loadBalancerIps: [pick('203.0.113.2', 'fd03::2')],
    sourceRanges: [pick('0.0.0.0/0', '::/0'), pick('10.7.0.1/8', 'FD10:0:7::1/32'), pick('10.1.2.3/32', 'fd11::3/128')],
    healthCheckNodePort: 30111,
  };
  const endpoints = [testEndpoint(pick('10.1.0.1', 'fd01::1'), { isLocal: true })];
  const services = (['tcp', 'udp', 'sctp'] as const).flatMap((protocol) =>
    [true, false].map((isExternalPolicyLocal) =>
      testState(testPort({ ...common, protocol, isExternalPolicyLocal }), endpoints),
    ),
  );
  const nodeIp = pick('10.9.0.1', 'fd09::1');
  const node = { name: 'node1', zone: undefined, ip: nodeIp };
  return wantedState(services, { family, node, nodePortIps: [nodeIp], foreignIps: new Set() }).sets;
}

describe.skipIf(missing !== undefined)(
  `ipsets and rules of mode ipvs${missing === undefined ? '' : `: ${missing}`}`,
  () => {
    beforeAll(() => {
      execFileSync('ip', ['netns', 'add', netns]);
    });
    afterAll(() => {
      execFileSync('ip', ['netns', 'del', netns]);
    });

    it.each(['IPv4', 'IPv6'] as const)('%s: sets read back as they were written, and rules find them', (family) => {
      const sets = setsOf(family);
      expect([...sets.keys()].sort()).toEqual([...setNames].sort());
      const existing = () => parseIpsetSave(run('', 'ipset', 'save'));

      run(`${ipsetChanges(sets, existing(), family).join('\n')}\n`, 'ipset', 'restore');
      expect(ipsetChanges(sets, existing(), family)).toEqual([]);

      const [restore, save] =
        family === 'IPv4' ? ['iptables-restore', 'iptables-save'] : ['ip6tables-restore', 'ip6tables-save'];
      const localTraffic = { kind: 'source', cidr: family === 'IPv4' ? '10.1.0.0/16' : 'fd01::/64' } as const;
      const rules = modeRulesText({ family, masqueradeMark: '0x00004000', masqueradeAll: false, localTraffic, sets });
      run(rules, restore, '--noflush');
      const count = (text: string): number => text.split('\n').filter((line) => line.startsWith('-A ')).length;
      expect(count(run('', save))).toBe(count(rules));

      // with nothing wanted, every set is emptied
      run(`${ipsetChanges(new Map(), existing(), family).join('\n')}\n`, 'ipset', 'restore');
      expect(ipsetChanges(new Map(), existing(), family)).toEqual([]);
    });
  },
);
