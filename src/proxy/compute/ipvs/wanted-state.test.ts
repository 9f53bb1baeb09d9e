import { describe, expect, it } from 'vitest';
import type { Endpoint, ServicePort } from '../../proxy-model.ts';
import { testEndpoint, testPort, testState } from '../test-objects.ts';
import { wantedState } from './wanted-state.ts';

const context = {
  family: 'IPv4',
  node: { name: 'node1', zone: undefined, ip: '192.168.0.5' },
  nodePortIps: ['192.168.0.5', '172.18.0.2'],
  foreignIps: new Set(['192.168.0.5', '198.51.100.9']),
} as const;
const here = testEndpoint('10.1.0.1', { isLocal: true });
const there = testEndpoint('10.2.0.1');

function want(changes: Partial<ServicePort>, endpoints: readonly Endpoint[] = [here, there]) {
  const { servers, boundIps, sets, lacksLocal } = wantedState([testState(testPort(changes), endpoints)], context);
  return {
    servers: Object.fromEntries([...servers].map(([key, { realServers }]) => [key, [...realServers]])),
    boundIps: [...boundIps],
    sets: Object.fromEntries([...sets].map(([name, entries]) => [name, [...entries]])),
    lacksLocal,
  };
}

const both = ['10.1.0.1:80', '10.2.0.1:80'];
const basic = {
  'LOOP-BACK': ['10.1.0.1,tcp:80,10.1.0.1'],
  'CLUSTER-IP': ['172.30.0.41,tcp:80'],
  'IPVS-IPS': ['172.30.0.41'],
};

describe('wantedState', () => {
  it('binds a cluster IP and sends it to every endpoint', () => {
    expect(want({})).toEqual({
      servers: { '172.30.0.41:80/TCP': both },
      boundIps: ['172.30.0.41'],
      sets: basic,
      lacksLocal: { internal: 0, external: 0 },
    });
  });

  it('keeps a virtual server without endpoints, which refuses', () => {
    expect(want({}, []).servers).toEqual({ '172.30.0.41:80/TCP': [] });
  });

  it.each([
    {
      name: 'an external IP',
      port: { externalIps: ['203.0.113.1'] },
      sets: { 'EXTERNAL-IP': ['203.0.113.1,tcp:80'], 'IPVS-IPS': ['172.30.0.41', '203.0.113.1'] },
    },
    {
      name: 'an external IP with policy Local',
      port: { externalIps: ['203.0.113.1'], isExternalPolicyLocal: true },
      sets: { 'EXTERNAL-IP-LOCAL': ['203.0.113.1,tcp:80'], 'IPVS-IPS': ['172.30.0.41', '203.0.113.1'] },
    },
    {
      name: 'an external IP that another interface has',
      port: { externalIps: ['198.51.100.9'] },
      sets: { 'EXTERNAL-IP': ['198.51.100.9,tcp:80'] },
    },
    {
      name: 'a balancer with policy Local and a health check',
      port: { loadBalancerIps: ['203.0.113.2'], isExternalPolicyLocal: true, healthCheckNodePort: 30111 },
      sets: {
        'LOAD-BALANCER': ['203.0.113.2,tcp:80'],
        'LOAD-BALANCER-LOCAL': ['203.0.113.2,tcp:80'],
        'HEALTH-CHECK-NODE-PORT': ['30111'],
        'IPVS-IPS': ['172.30.0.41', '203.0.113.2'],
      },
    },
    {
      name: 'a balancer whose source ranges leave the node out',
      port: { loadBalancerIps: ['203.0.113.2'], sourceRanges: ['10.0.0.0/8'] },
      sets: {
        'LOAD-BALANCER': ['203.0.113.2,tcp:80'],
        'LOAD-BALANCER-FW': ['203.0.113.2,tcp:80'],
        'LOAD-BALANCER-SOURCE-CIDR': ['203.0.113.2,tcp:80,10.0.0.0/8'],
        'IPVS-IPS': ['172.30.0.41', '203.0.113.2'],
      },
    },
    {
      name: 'a balancer whose source ranges admit everybody, so the node, too',
      port: { loadBalancerIps: ['203.0.113.2'], sourceRanges: ['0.0.0.0/0'] },
      sets: {
        'LOAD-BALANCER': ['203.0.113.2,tcp:80'],
        'LOAD-BALANCER-FW': ['203.0.113.2,tcp:80'],
        'LOAD-BALANCER-SOURCE-CIDR': ['203.0.113.2,tcp:80,0.0.0.0/1', '203.0.113.2,tcp:80,128.0.0.0/1'],
        'LOAD-BALANCER-SOURCE-IP': ['203.0.113.2,tcp:80,203.0.113.2'],
        'IPVS-IPS': ['172.30.0.41', '203.0.113.2'],
      },
    },
    { name: 'a NodePort of TCP', port: { nodePort: 30080 }, sets: { 'NODE-PORT-TCP': ['30080'] } },
    {
      name: 'a NodePort of TCP with policy Local',
      port: { nodePort: 30080, isExternalPolicyLocal: true },
      sets: { 'NODE-PORT-TCP': ['30080'], 'NODE-PORT-LOCAL-TCP': ['30080'] },
    },
  ])('$name: entries of sets', ({ port, sets }) => {
    expect(want(port).sets).toEqual({ ...basic, ...sets });
  });

  it('gives NodePorts of UDP a set of ports, those of SCTP one with addresses', () => {
    expect(want({ nodePort: 30053, protocol: 'udp', isExternalPolicyLocal: true }).sets).toMatchObject({
      'NODE-PORT-UDP': ['30053'],
      'NODE-PORT-LOCAL-UDP': ['30053'],
    });
    const addressed = ['192.168.0.5,sctp:30090', '172.18.0.2,sctp:30090'];
    const { sets } = want({ nodePort: 30090, protocol: 'sctp', isExternalPolicyLocal: true });
    expect(sets).toMatchObject({ 'NODE-PORT-SCTP-HASH': addressed, 'NODE-PORT-LOCAL-SCTP-HASH': addressed });
  });

  it('answers NodePorts on each address of the node, and never binds one of them', () => {
    const { servers, boundIps } = want({ nodePort: 30080 });
    expect(Object.keys(servers)).toEqual(['172.30.0.41:80/TCP', '192.168.0.5:30080/TCP', '172.18.0.2:30080/TCP']);
    expect(boundIps).toEqual(['172.30.0.41']);
  });

  it.each([
    { name: 'external', port: { isExternalPolicyLocal: true }, nodePort: ['10.1.0.1:80'], cluster: both },
    { name: 'internal', port: { isInternalPolicyLocal: true }, nodePort: both, cluster: ['10.1.0.1:80'] },
  ])('policy Local of $name traffic stays on the node', ({ port, nodePort, cluster }) => {
    const { servers } = want({ nodePort: 30080, ...port });
    expect(servers).toMatchObject({ '172.30.0.41:80/TCP': cluster, '172.18.0.2:30080/TCP': nodePort });
  });

  it.each([
    { name: 'external', port: { isExternalPolicyLocal: true }, lacksLocal: { internal: 0, external: 1 } },
    { name: 'internal', port: { isInternalPolicyLocal: true }, lacksLocal: { internal: 1, external: 0 } },
  ])('policy Local of $name traffic goes anywhere when nobody is here, and is counted', ({ port, lacksLocal }) => {
    const got = want({ nodePort: 30080, ...port }, [there]);
    expect(got.servers).toMatchObject({
      '172.30.0.41:80/TCP': ['10.2.0.1:80'],
      '172.18.0.2:30080/TCP': ['10.2.0.1:80'],
    });
    expect(got.lacksLocal).toEqual(lacksLocal);
  });

  it('writes IPv6 as the kernel does, in brackets where a port follows', () => {
    const port = testPort({ clusterIp: 'FD00:0::41', externalIps: ['fd03:0:0::1'], loadBalancerIps: ['FD04::1'] });
    const { servers, sets, boundIps } = wantedState([testState(port, [testEndpoint('fd01:0::1', { isLocal: true })])], {
      ...context,
      family: 'IPv6',
    });
    expect([...(servers.get('[fd00::41]:80/TCP')?.realServers ?? [])]).toEqual(['[fd01::1]:80']);
    expect([...boundIps]).toEqual(['fd00::41', 'fd03::1', 'fd04::1']);
    expect([...(sets.get('LOOP-BACK') ?? [])]).toEqual(['fd01::1,tcp:80,fd01::1']);
  });
});
