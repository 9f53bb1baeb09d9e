import { describe, expect, it } from 'vitest';
import { preflightProblems } from './preflight.ts';
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
  cniTemplate: '{}',
  hasOverlay: true,
  hasCgroups: true,
  inotifyInstancesMax: 128,
};
const needs = { nodes: 1, stateRoot: '/var/lib/gantry/lab', program: ['/usr/bin/node', '/opt/gantry/dist/gantry.js'] };

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
        missingPlugins: ['bridge'],
        missingFiles: ['catatonit'],
      },
      with: {},
      want: [
        'ctr, containerd, etcd, /usr/lib/cni/bridge, catatonit missing: apt-get install catatonit containerd containernetworking-plugins etcd-server',
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
      with: { nodes: 20 },
      want: ['the limit of inotify instances is 128, 20 nodes need 320: sysctl -w fs.inotify.max_user_instances=640'],
    },
    {
      name: 'a program that nodes do not see',
      facts: {},
      with: { program: ['/var/tmp/gantry.js'] },
      want: ['nodes cannot see /var/tmp/gantry.js: move the program out of /var and /run'],
    },
  ])('$name', ({ facts, with: changed, want }) => {
    expect(preflightProblems({ ...good, ...facts }, { ...needs, ...changed })).toEqual(want);
  });
});
