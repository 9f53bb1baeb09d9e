import { describe, expect, it } from 'vitest';
import { preflightProblems } from './preflight.ts';
import type { NodeConfig } from './parse-cluster-config.ts';
import type { MachineFacts } from './preflight.ts';

const good: MachineFacts = {
  isRoot: true,
  capabilities: 0x1ffffffffffn,
  mayLowerOomScore: true,
  architecture: 'amd64',
  missingCommands: [],
  missingFiles: [],
  cniBinDir: '/usr/lib/cni',
  missingPlugins: [],
  hasOverlay: true,
  hasCgroups: true,
  inotifyInstancesMax: 128,
  hasIpv6: true,
  hasIpvs: true,
};
const config = { nodes: nodeConfigs(1), ipFamily: 'ipv4' as const, kubeProxyMode: 'iptables' as const };
const needs = { config, stateRoot: '/var/lib/gantry/lab', program: ['/usr/bin/node', '/opt/gantry/dist/gantry.js'] };

function nodeConfigs(count: number): NodeConfig[] {
  return Array.from({ length: count }, () => ({ role: 'worker', labels: {} }));
}

describe('preflightProblems', () => {
  it.each([
    { name: 'a fit machine', facts: {}, with: {}, want: [] },
    {
      name: 'no root',
      facts: { isRoot: false, capabilities: 0n },
      with: {},
      want: ['it needs root: run it with sudo, or as root'],
    },
    {
      name: 'root in a container',
      facts: { capabilities: 1n << 12n },
      with: {},
      want: ['it needs CAP_SYS_ADMIN to make namespaces: run the surrounding container with --privileged'],
    },
    {
      name: 'packages are named once each',
      facts: {
        missingCommands: ['ctr', 'containerd', 'etcd'],
        missingPlugins: ['ptp'],
        missingFiles: ['catatonit'],
      },
      with: {},
      want: [
        'ctr, containerd, etcd, /usr/lib/cni/ptp, catatonit missing: apt-get install catatonit containerd containernetworking-plugins etcd-server',
      ],
    },
    {
      name: 'no overlay',
      facts: { hasOverlay: false },
      with: {},
      want: ['the kernel has no overlay file system: modprobe overlay'],
    },
    {
      name: 'too few inotify instances',
      facts: {},
      with: { config: { ...config, nodes: nodeConfigs(20) } },
      want: ['the limit of inotify instances is 128, 20 nodes need 320: sysctl -w fs.inotify.max_user_instances=640'],
    },
    {
      name: 'what the kernel lacks is missed',
      facts: { hasIpv6: false, hasIpvs: false },
      with: { config: { ...config, ipFamily: 'dual', kubeProxyMode: 'ipvs' } },
      want: [
        'the kernel has no IPv6, which networking.ipFamily "dual" needs: boot without ipv6.disable=1',
        'the kernel has no ip_vs, which networking.kubeProxyMode "ipvs" needs: modprobe ip_vs',
      ],
    },
    {
      name: 'and only where it is needed',
      facts: { hasIpv6: false, hasIpvs: false },
      with: {},
      want: [],
    },
    {
      name: 'a program that nodes do not see',
      facts: {},
      with: { program: ['/var/tmp/gantry.js'] },
      want: ['nodes cannot see /var/tmp/gantry.js: move the program out of /var and /run'],
    },
  ] as const)('$name', ({ facts, with: changed, want }) => {
    expect(preflightProblems({ ...good, ...facts }, { ...needs, ...changed })).toEqual(want);
  });
});
