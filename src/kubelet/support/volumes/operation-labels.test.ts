import { describe, expect, it } from 'vitest';
import { operationLabel, pluginOfKey } from './operation-labels.ts';

describe('operations on volumes', () => {
  it.each([
    { operation: 'mount', want: 'volume_mount' },
    { operation: 'unmount', want: 'volume_unmount' },
    { operation: 'unmount device', want: 'unmount_device' },
    { operation: 'verify', want: 'verify_controller_attached_volume' },
    { operation: 'expand', want: 'volume_fs_resize' },
    { operation: 'other', want: 'other' },
  ])('$operation is $want', ({ operation, want }) => expect(operationLabel(operation)).toBe(want));

  it.each([
    { key: 'kubernetes.io/csi/a.example^b/c^d/uid', want: 'kubernetes.io/csi:a.example' },
    { key: 'kubernetes.io/local-volume/pv/uid', want: 'kubernetes.io/local-volume' },
    { key: 'kubernetes.io/nfs/uid-data/uid', want: 'kubernetes.io/nfs' },
  ])('$key is of $want', ({ key, want }) => expect(pluginOfKey(key)).toBe(want));
});
