import { describe, expect, it } from 'vitest';
import type { PersistentVolumeSpec, Pod } from '../../../objects/generated/core-v1.ts';
import type { CSIDriver, CSIDriverSpec, VolumeAttachmentStatus } from '../../../objects/generated/storage-v1.ts';
import type { CsiVolume } from '../../volume-model.ts';
import { givesToGroup, isOverLimit, lifecycleProblem, mountLabel, requiresAttach } from './driver-policies.ts';

const driver = (spec: CSIDriverSpec): CSIDriver => ({ metadata: { name: 'd' }, spec });

function persistent(spec: PersistentVolumeSpec, fsType = ''): Pick<CsiVolume, 'source' | 'isReadOnly' | 'isBlock'> {
  const pv = { metadata: { name: 'pv' }, spec: { ...spec, csi: { driver: 'd', volumeHandle: 'h', fsType } } };
  return { source: { pv }, isReadOnly: false, isBlock: false };
}

const inline = (fsType?: string): Pick<CsiVolume, 'source' | 'isReadOnly' | 'isBlock'> => ({
  source: { inline: { driver: 'd', fsType } },
  isReadOnly: false,
  isBlock: false,
});

const pod = (
  securityContext: Pod['spec']['securityContext'],
  levels: Array<string | undefined> = [undefined],
): Pod => ({
  metadata: { name: 'p' },
  spec: {
    securityContext,
    containers: levels.map((level, i) => ({
      name: `c${i}`,
      image: 'i',
      ...(level === undefined ? {} : { securityContext: { seLinuxOptions: { level } } }),
    })),
  },
});

describe('requiresAttach', () => {
  it.each([
    { what: 'no object', object: undefined, want: true },
    { what: 'says nothing', object: driver({}), want: true },
    { what: 'says yes', object: driver({ attachRequired: true }), want: true },
    { what: 'says no', object: driver({ attachRequired: false }), want: false },
  ])('$what: $want', ({ object, want }) => {
    expect(requiresAttach(object)).toBe(want);
  });
});

describe('lifecycleProblem', () => {
  const both = driver({ volumeLifecycleModes: ['Persistent', 'Ephemeral'] });
  it.each([
    { mode: 'Persistent', object: undefined, want: undefined },
    {
      mode: 'Ephemeral',
      object: undefined,
      want: 'volume mode "Ephemeral" not supported by driver d (no CSIDriver object)',
    },
    { mode: 'Persistent', object: driver({}), want: undefined },
    {
      mode: 'Ephemeral',
      object: driver({ volumeLifecycleModes: ['Persistent'] }),
      want: 'volume mode "Ephemeral" not supported by driver d (only supports ["Persistent"])',
    },
    {
      mode: 'Persistent',
      object: driver({ volumeLifecycleModes: ['Ephemeral'] }),
      want: 'volume mode "Persistent" not supported by driver d (only supports ["Ephemeral"])',
    },
    { mode: 'Ephemeral', object: both, want: undefined },
    { mode: 'Persistent', object: both, want: undefined },
  ] as const)('$mode: $want', ({ mode, object, want }) => {
    expect(lifecycleProblem('d', mode, object)).toBe(want);
  });
});

describe('givesToGroup', () => {
  const grouped = pod({ fsGroup: 5 });
  const rwo = { accessModes: ['ReadWriteOnce'] };
  it.each([
    { what: 'no group', volume: persistent(rwo, 'ext4'), of: pod({}), policy: 'File', want: false },
    { what: 'policy File', volume: persistent({ accessModes: ['ReadWriteMany'] }), policy: 'File', want: true },
    { what: 'policy None', volume: persistent(rwo, 'ext4'), policy: 'None', want: false },
    { what: 'default, RWO, with a type', volume: persistent(rwo, 'ext4'), want: true },
    { what: 'default, RWO, without a type', volume: persistent(rwo), want: false },
    { what: 'default, RWOP', volume: persistent({ accessModes: ['ReadWriteOncePod'] }, 'xfs'), want: true },
    { what: 'default, RWX', volume: persistent({ accessModes: ['ReadWriteMany'] }, 'ext4'), want: false },
    {
      what: 'default, several, one of them RWO',
      volume: persistent({ accessModes: ['ReadOnlyMany', 'ReadWriteOnce'] }, 'ext4'),
      want: true,
    },
    { what: 'named default', volume: persistent(rwo, 'ext4'), policy: 'ReadWriteOnceWithFSType', want: true },
    { what: 'inline with a type', volume: inline('ext4'), want: true },
    { what: 'inline without a type', volume: inline(), want: false },
    { what: 'read-only', volume: { ...persistent(rwo, 'ext4'), isReadOnly: true }, policy: 'File', want: false },
    { what: 'a device', volume: { ...persistent(rwo), isBlock: true }, policy: 'File', want: false },
  ])('$what: $want', ({ volume, of = grouped, policy, want }) => {
    expect(givesToGroup(volume, of, policy === undefined ? undefined : driver({ fsGroupPolicy: policy }))).toBe(want);
  });
});

describe('mountLabel', () => {
  const labelled = driver({ seLinuxMount: true });
  const rwop = persistent({ accessModes: ['ReadWriteOncePod'] });
  const level = { seLinuxOptions: { level: 's0:c1' } };
  const label = 'system_u:object_r:container_file_t:s0:c1';
  it.each([
    { what: 'of the pod', of: pod(level), want: label },
    { what: 'of its containers, all the same', of: pod({}, ['s0:c1', 's0:c1']), want: label },
    {
      what: 'with its user',
      of: pod({ seLinuxOptions: { user: 'u', level: 's0' } }),
      want: 'u:object_r:container_file_t:s0',
    },
    { what: 'containers that differ', of: pod({}, ['s0:c1', 's0:c2']), want: undefined },
    { what: 'one container without', of: pod({}, ['s0:c1', undefined]), want: undefined },
    { what: 'no level', of: pod({ seLinuxOptions: { type: 't' } }), want: undefined },
    { what: 'policy Recursive', of: pod({ ...level, seLinuxChangePolicy: 'Recursive' }), want: undefined },
    {
      what: 'another access mode',
      of: pod(level),
      volume: persistent({ accessModes: ['ReadWriteOnce'] }),
      want: undefined,
    },
    {
      what: 'one more access mode',
      of: pod(level),
      volume: persistent({ accessModes: ['ReadWriteOncePod', 'ReadWriteOnce'] }),
      want: undefined,
    },
    { what: 'an inline volume', of: pod(level), volume: inline(), want: undefined },
    { what: 'a driver that does not ask for it', of: pod(level), object: driver({}), want: undefined },
  ])('$what: $want', ({ of, volume = rwop, object = labelled, want }) => {
    expect(mountLabel(volume, of, object)).toBe(want);
  });
});

describe('isOverLimit', () => {
  const counted = driver({ nodeAllocatableUpdatePeriodSeconds: 60 });
  const full: VolumeAttachmentStatus = { attached: false, attachError: { errorCode: 8, message: 'no room' } };

  it.each<{ what: string; object: CSIDriver | undefined; status: VolumeAttachmentStatus | undefined; want: boolean }>([
    { what: 'the driver has no room', object: counted, status: full, want: true },
    { what: 'it does not want to be asked again', object: driver({}), status: full, want: false },
    { what: 'nobody knows the driver', object: undefined, status: full, want: false },
    { what: 'nobody has tried yet', object: counted, status: undefined, want: false },
    { what: 'it is being tried', object: counted, status: { attached: false }, want: false },
    {
      what: 'it failed for another reason',
      object: counted,
      status: { attached: false, attachError: { errorCode: 13 } },
      want: false,
    },
    {
      what: 'it failed, and nobody says why',
      object: counted,
      status: { attached: false, attachError: { message: 'rpc error: code = ResourceExhausted desc = no room' } },
      want: false,
    },
    { what: 'it came to be in the end', object: counted, status: { ...full, attached: true }, want: false },
  ])('$what: $want', ({ object, status, want }) => {
    expect(isOverLimit(object, { status })).toBe(want);
  });
});
