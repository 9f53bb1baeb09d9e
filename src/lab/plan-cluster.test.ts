import { describe, expect, it } from 'vitest';
import { formatIpv4Network, nthAddress, nthSubnet, overlaps, parseIpv4Network } from './ipv4-network.ts';
import { parseClusterConfig } from './parse-cluster-config.ts';
import { planCluster } from './plan-cluster.ts';

const plan = (nodes: string, used: string[] = []): ReturnType<typeof planCluster> =>
  planCluster(parseClusterConfig({ name: 'x', nodes }, undefined), '/state', used, 0);

describe('planCluster', () => {
  it('names nodes as kind does and gives each its own addresses', () => {
    expect(plan('3').nodes.map(({ name, podCidrs }) => [name, ...podCidrs])).toEqual([
      ['x-control-plane', '10.244.0.0/24'],
      ['x-worker', '10.244.1.0/24'],
      ['x-worker2', '10.244.2.0/24'],
    ]);
    const { subnet, hostIp, nodes, server, serviceIp, hostInterface } = plan('2');
    const base = subnet.replace('.0/24', '');
    expect([hostIp, ...nodes.map(({ ip }) => ip)]).toEqual([`${base}.1`, `${base}.2`, `${base}.3`]);
    expect(server).toBe(`https://${base}.2:6443`);
    expect(serviceIp).toBe('10.96.0.1');
    expect(hostInterface.length).toBeLessThanOrEqual(15);
  });

  it('gives each node a second address and pod network in a cluster of two families', () => {
    const file = 'kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nnetworking: {ipFamily: dual}\n';
    const dual = planCluster(parseClusterConfig({ nodes: '2' }, file), '/state', [], 0);
    const third = dual.subnet.split('.')[2];
    expect(dual.ipv6).toEqual({ subnet: `fd00:10:77:${third}::/64`, hostIp: `fd00:10:77:${third}::1` });
    expect(dual.nodes.map(({ ipv6, podCidrs }) => [ipv6, ...podCidrs])).toEqual([
      [`fd00:10:77:${third}::2`, '10.244.0.0/24', 'fd00:10:244::/64'],
      [`fd00:10:77:${third}::3`, '10.244.1.0/24', 'fd00:10:244:1::/64'],
    ]);
    expect(dual.podSubnet).toBe('10.244.0.0/16,fd00:10:244::/56');
  });

  it('keeps away from networks that the machine uses', () => {
    const first = plan('1').subnet;
    expect(plan('1', [first]).subnet).not.toBe(first);
    expect(() => plan('1', ['10.0.0.0/8'])).toThrow('Cannot find a free network in 10.77.0.0/16');
  });

  it('is another cluster in another state directory', () => {
    const config = parseClusterConfig({}, undefined);
    expect(planCluster(config, '/a', [], 0).id).not.toBe(planCluster(config, '/b', [], 0).id);
  });
});

describe('IPv4 networks', () => {
  it.each([
    { text: '10.96.0.0/16', want: '10.96.0.0/16' },
    { text: '10.96.3.4/16', want: '10.96.0.0/16' },
    { text: '255.255.255.255/32', want: '255.255.255.255/32' },
    { text: '0.0.0.0/0', want: '0.0.0.0/0' },
    { text: '10.256.0.0/16', want: undefined },
    { text: '10.0.0.0/33', want: undefined },
    { text: 'fd00::/8', want: undefined },
  ])('$text is $want', ({ text, want }) => {
    const network = parseIpv4Network(text);
    expect(network === undefined ? undefined : formatIpv4Network(network)).toBe(want);
  });

  it.each([
    { a: '10.0.0.0/8', b: '10.77.3.0/24', want: true },
    { a: '10.77.3.0/24', b: '10.77.3.7/32', want: true },
    { a: '10.77.3.0/24', b: '10.77.4.0/24', want: false },
  ])('$a and $b overlap: $want', ({ a, b, want }) => {
    const [x, y] = [parseIpv4Network(a), parseIpv4Network(b)];
    expect(x !== undefined && y !== undefined && overlaps(x, y) && overlaps(y, x)).toBe(want);
  });

  it('refuses what lies outside', () => {
    const network = { first: 0, prefixLength: 24 };
    expect(() => nthAddress(network, 256)).toThrow(RangeError);
    expect(() => nthSubnet(network, 25, 2)).toThrow(RangeError);
  });
});
