import { describe, expect, it } from 'vitest';
import { mayBeOf } from './csi-hands.ts';

describe('mayBeOf', () => {
  it.each([
    { what: 'a volume of the driver', key: 'kubernetes.io/csi/d.example^vol-1/uid-1', want: true },
    { what: 'its device', key: 'kubernetes.io/csi/d.example^vol-1/', want: true },
    { what: 'a volume of another driver', key: 'kubernetes.io/csi/d.example.com^vol-1/uid-1', want: false },
    { what: 'another driver, with this one in its handle', key: 'kubernetes.io/csi/x^d.example^1/uid-1', want: false },
    { what: 'a volume of a pod’s own, of whichever driver', key: 'kubernetes.io/csi/uid-1-data/uid-1', want: true },
    { what: 'a volume of another kind', key: 'kubernetes.io/nfs/uid-1-data/uid-1', want: false },
  ])('$what: $want', ({ key, want }) => {
    expect(mayBeOf('d.example', key)).toBe(want);
  });
});
