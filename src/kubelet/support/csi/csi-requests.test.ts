import { describe, expect, it } from 'vitest';
import type { Pod } from '../../../objects/generated/core-v1.ts';
import type { CsiVolume } from '../../volume-model.ts';
import { accessMode, podInfo, secretOf, volumeCapability } from './csi-requests.ts';

const exact = new Set(['SINGLE_NODE_MULTI_WRITER']);
const none = new Set<string>();
const ref = (name: string): { namespace: string; name: string } => ({ namespace: 'storage', name });

const pod: Pod = {
  metadata: { name: 'web', namespace: 'shop', uid: 'u-1' },
  spec: { serviceAccountName: 'clerk', securityContext: { fsGroup: 2000 }, containers: [] },
};
const persistent: CsiVolume = {
  driver: 'd',
  handle: 'h',
  specName: 'pv',
  source: {
    pv: {
      metadata: { name: 'pv' },
      spec: {
        accessModes: ['ReadWriteOnce'],
        mountOptions: ['noatime'],
        csi: {
          driver: 'd',
          volumeHandle: 'h',
          fsType: 'xfs',
          nodeStageSecretRef: ref('a'),
          nodePublishSecretRef: ref('b'),
          nodeExpandSecretRef: ref('c'),
        },
      },
    },
  },
  isReadOnly: false,
  isBlock: false,
};
const inline: CsiVolume = {
  ...persistent,
  source: { inline: { driver: 'd', nodePublishSecretRef: { name: 'mine' } } },
};

describe('accessMode', () => {
  it.each([
    { modes: undefined, plain: 'SINGLE_NODE_WRITER', precise: 'SINGLE_NODE_MULTI_WRITER' },
    { modes: ['ReadWriteOnce', 'ReadOnlyMany'], plain: 'SINGLE_NODE_WRITER', precise: 'SINGLE_NODE_MULTI_WRITER' },
    { modes: ['ReadWriteOncePod'], plain: 'SINGLE_NODE_WRITER', precise: 'SINGLE_NODE_SINGLE_WRITER' },
    { modes: ['ReadOnlyMany'], plain: 'MULTI_NODE_READER_ONLY', precise: 'MULTI_NODE_READER_ONLY' },
    { modes: ['ReadWriteMany'], plain: 'MULTI_NODE_MULTI_WRITER', precise: 'MULTI_NODE_MULTI_WRITER' },
  ])('$modes', ({ modes, plain, precise }) => {
    expect([accessMode(modes, none), accessMode(modes, exact)]).toEqual([plain, precise]);
  });
});

describe('volumeCapability', () => {
  const access_mode = { mode: 'SINGLE_NODE_WRITER' };
  const mount = { fs_type: 'xfs', mount_flags: ['noatime'], volume_mount_group: '' };
  it.each([
    { what: 'files', want: { access_mode, mount } },
    { what: 'a device: no flags', volume: { ...persistent, isBlock: true }, want: { block: {}, access_mode } },
    {
      what: 'a driver that gives files to groups',
      capabilities: new Set(['VOLUME_MOUNT_GROUP']),
      want: { access_mode, mount: { ...mount, volume_mount_group: '2000' } },
    },
    {
      what: 'a label',
      label: 'l',
      want: { access_mode, mount: { ...mount, mount_flags: ['noatime', 'context="l"'] } },
    },
    {
      what: 'inline',
      volume: inline,
      want: { access_mode, mount: { fs_type: '', mount_flags: [], volume_mount_group: '' } },
    },
  ])('$what', ({ volume = persistent, capabilities = none, label, want }) => {
    expect(volumeCapability(volume, pod, capabilities, label)).toEqual(want);
  });
});

describe('secretOf', () => {
  it.each([
    { volume: persistent, use: 'stage', want: ref('a') },
    { volume: persistent, use: 'publish', want: ref('b') },
    { volume: persistent, use: 'expand', want: ref('c') },
    { volume: inline, use: 'publish', want: { namespace: 'shop', name: 'mine' } },
    { volume: inline, use: 'expand', want: undefined },
    { volume: { ...persistent, source: { pv: { metadata: { name: 'pv' } } } }, use: 'stage', want: undefined },
  ] as const)('$use: $want', ({ volume, use, want }) => {
    expect(secretOf(volume, use, pod)).toEqual(want);
  });
});

describe('podInfo', () => {
  it('names the pod, its account, and whether the volume is its own', () => {
    const info = podInfo(pod, true);
    const short = Object.fromEntries(
      Object.entries(info).map(([key, value]) => [key.replace('csi.storage.k8s.io/', ''), value]),
    );
    expect(short).toEqual({
      'pod.name': 'web',
      'pod.namespace': 'shop',
      'pod.uid': 'u-1',
      'serviceAccount.name': 'clerk',
      ephemeral: 'true',
    });
  });
});
