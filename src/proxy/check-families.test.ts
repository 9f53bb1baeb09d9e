import { describe, expect, it } from 'vitest';
import { checkFamilies, primaryFamily } from './check-families.ts';
import { parseProxyConfig } from './parse-proxy-config.ts';
import type { IpFamily } from './proxy-model.ts';

const cidrs4 = { clusterCIDR: '10.0.0.0/8', nodePortAddresses: ['10.0.0.0/8'] };
const both = ['IPv4', 'IPv6'] as const;
const unset =
  'nodePortAddresses is unset; NodePort connections will be accepted on all local IPs. Consider using `--nodeport-addresses primary`';

describe('checkFamilies', () => {
  it.each<{
    name: string;
    fields: object;
    families?: readonly IpFamily[];
    primary?: IpFamily;
    podCidrs?: string[];
    fatal?: string[];
    warnings?: string[];
  }>([
    { name: 'what fits', fields: {} },
    { name: 'NodePorts on all addresses', fields: { nodePortAddresses: [] }, warnings: [unset] },
    {
      name: 'pods of the other family only, on a node of one',
      fields: { clusterCIDR: 'fd00::/64' },
      fatal: ['cluster is IPv4-only but clusterCIDRs contains only IPv6 addresses'],
      warnings: ['detect-local-mode set to ClusterCIDR, but no cluster CIDR specified for IPv4'],
    },
    {
      name: 'pods of the other family only, on a node of both',
      fields: { clusterCIDR: 'fd00::/64' },
      families: both,
      warnings: [
        'cluster is IPv4-primary but clusterCIDRs contains only IPv6 addresses',
        'detect-local-mode set to ClusterCIDR, but no cluster CIDR specified for IPv4',
      ],
    },
    {
      name: 'pods of one family on a node of both',
      fields: {},
      families: both,
      warnings: ['detect-local-mode set to ClusterCIDR, but no cluster CIDR specified for IPv6'],
    },
    {
      name: 'pod CIDRs of the other family, whatever the node can serve',
      fields: { detectLocalMode: 'NodeCIDR' },
      families: both,
      podCidrs: ['fd00::/64'],
      fatal: ['cluster is IPv4-primary but node.spec.podCIDRs contains only IPv6 addresses'],
      warnings: ['detect-local-mode set to NodeCIDR, but no PodCIDR defined at node for IPv4'],
    },
    {
      name: 'NodePort addresses of the other family',
      fields: { nodePortAddresses: ['fd00::/64'] },
      warnings: ['cluster is IPv4-only but nodePortAddresses contains only IPv6 addresses'],
    },
    {
      name: 'excluded ranges of the other family, in mode ipvs',
      fields: { mode: 'ipvs', ipvs: { excludeCIDRs: ['fd00::/64'] } },
      warnings: ['cluster is IPv4-only but ipvs.excludeCIDRs contains only IPv6 addresses'],
    },
    { name: 'excluded ranges in another mode', fields: { ipvs: { excludeCIDRs: ['fd00::/64'] } } },
    {
      name: 'listen addresses of the other family',
      fields: { clusterCIDR: 'fd00::/64', nodePortAddresses: ['primary'] },
      primary: 'IPv6',
      families: ['IPv6'],
      warnings: [
        'cluster is IPv6-only but healthzBindAddress is IPv4',
        'cluster is IPv6-only but metricsBindAddress is IPv4',
      ],
    },
  ])('$name', ({ fields, families = ['IPv4'], primary = 'IPv4', podCidrs = [], fatal = [], warnings = [] }) => {
    const config = parseProxyConfig({ ...cidrs4, ...fields }, { source: 'a test', isZeroMeant: true });
    expect(checkFamilies(config, { primary, families, podCidrs })).toEqual({ fatal, warnings });
  });
});

describe('primaryFamily', () => {
  it.each([
    { ips: ['fd00::1', '10.0.0.1'], bind: '0.0.0.0', want: 'IPv6' },
    { ips: [], bind: '::', want: 'IPv6' },
    { ips: [], bind: '0.0.0.0', want: 'IPv4' },
  ])('$ips, $bind: $want', ({ ips, bind, want }) => {
    expect(primaryFamily(ips, bind)).toBe(want);
  });
});
