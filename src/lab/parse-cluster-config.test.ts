import { describe, expect, it } from 'vitest';
import { parseClusterConfig } from './parse-cluster-config.ts';

const head = 'kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\n';

describe('parseClusterConfig', () => {
  it('without anything: one node that is everything', () => {
    expect(parseClusterConfig({}, undefined)).toEqual({
      name: 'gantry',
      nodes: [{ role: 'control-plane', labels: {} }],
      ipFamily: 'ipv4',
      podSubnet: '10.244.0.0/16',
      serviceSubnet: '10.96.0.0/16',
      kubeProxyMode: 'iptables',
      disableDefaultCni: false,
      dnsSearch: undefined,
    });
  });

  it('a kind file: the control plane comes first wherever it stands', () => {
    const file = `${head}name: two\nnodes:\n- role: worker\n  labels: {zone: a}\n- role: control-plane\nnetworking: {podSubnet: 10.9.0.0/16}\n`;
    const config = parseClusterConfig({}, file);
    expect(config.nodes).toEqual([
      { role: 'control-plane', labels: {} },
      { role: 'worker', labels: { zone: 'a' } },
    ]);
    expect([config.name, config.podSubnet]).toEqual(['two', '10.9.0.0/16']);
  });

  it('the network as kind has it', () => {
    const networking = 'ipFamily: dual, kubeProxyMode: nftables, disableDefaultCNI: true, dnsSearch: [corp.example]';
    expect(parseClusterConfig({}, `${head}networking: {${networking}}\n`)).toMatchObject({
      ipFamily: 'dual',
      podSubnet: '10.244.0.0/16,fd00:10:244::/56',
      serviceSubnet: '10.96.0.0/16,fd00:10:96::/112',
      kubeProxyMode: 'nftables',
      disableDefaultCni: true,
      dnsSearch: ['corp.example'],
    });
  });

  it('flags win over the file', () => {
    const config = parseClusterConfig({ name: 'flag', nodes: '3' }, `${head}name: file\n`);
    expect([config.name, config.nodes.map(({ role }) => role)]).toEqual([
      'flag',
      ['control-plane', 'worker', 'worker'],
    ]);
  });

  it.each([
    { name: 'bad name', flags: { name: 'A b' }, file: undefined, problem: 'name must be lower-case' },
    { name: 'no nodes', flags: { nodes: '0' }, file: undefined, problem: '--nodes must be a whole number >= 1: "0"' },
    { name: 'too many nodes', flags: { nodes: '5000' }, file: undefined, problem: 'at most 100 nodes' },
    { name: 'no YAML', flags: {}, file: '{', problem: 'it is not YAML' },
    { name: 'another kind', flags: {}, file: 'kind: Pod\napiVersion: v1\n', problem: 'kind and apiVersion must be' },
    { name: 'unknown field', flags: {}, file: `${head}featureGates: {}\n`, problem: '"featureGates" is not supported' },
    {
      name: 'unknown node field',
      flags: {},
      file: `${head}nodes: [{role: control-plane, image: x}]`,
      problem: '"nodes[0].image" is not supported',
    },
    { name: 'two control planes', flags: {}, file: `${head}nodes: [{}, {}]`, problem: 'there are 2' },
    {
      name: 'bad subnet',
      flags: {},
      file: `${head}networking: {podSubnet: fd00::/8}`,
      problem: 'networking.podSubnet must be an IPv4 network',
    },
    {
      name: 'a pod subnet that is too small',
      flags: { nodes: '20' },
      file: `${head}networking: {podSubnet: 10.8.0.0/20}`,
      problem: 'networking.podSubnet 10.8.0.0/20 is for 16 nodes, not 20',
    },
    {
      name: 'one subnet for two families',
      flags: {},
      file: `${head}networking: {ipFamily: dual, podSubnet: 10.8.0.0/16}`,
      problem: 'an IPv4 network from /8 to /20, a comma and an IPv6 network from /48 to /62: "10.8.0.0/16"',
    },
    {
      name: 'a second pod subnet that is too small',
      flags: { nodes: '5' },
      file: `${head}networking: {ipFamily: dual, podSubnet: "10.8.0.0/16,fd00:1::/62"}`,
      problem: 'networking.podSubnet fd00:1::/62 is for 4 nodes, not 5',
    },
    {
      name: 'IPv6 alone',
      flags: {},
      file: `${head}networking: {ipFamily: ipv6}`,
      problem: '"ipv6" is not supported',
    },
    {
      name: 'no mode',
      flags: {},
      file: `${head}networking: {kubeProxyMode: userspace}`,
      problem: 'networking.kubeProxyMode must be one of iptables, nftables, ipvs, none: "userspace"',
    },
    {
      name: 'no truth value',
      flags: {},
      file: `${head}networking: {disableDefaultCNI: "yes"}`,
      problem: 'networking.disableDefaultCNI must be true or false',
    },
    {
      name: 'no domain',
      flags: {},
      file: `${head}networking: {dnsSearch: ["a b"]}`,
      problem: 'networking.dnsSearch[0] is no domain',
    },
    {
      name: 'unknown field of the network',
      flags: {},
      file: `${head}networking: {apiServerPort: 1}`,
      problem: '"networking.apiServerPort" is not supported',
    },
    { name: 'nodes twice', flags: { nodes: '2' }, file: `${head}nodes: [{}]`, problem: 'exclude each other' },
  ])('refuses: $name', ({ flags, file, problem }) => {
    expect(() => parseClusterConfig(flags, file)).toThrow(problem);
  });
});
