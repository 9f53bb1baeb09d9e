import { describe, expect, it } from 'vitest';
import type { PersistentVolumeClaim, PersistentVolumeClaimStatus } from '../../../objects/generated/core-v1.ts';
import { type Expansion, claimStatusPatch, expansionOf } from './expand-volume.ts';

interface Row {
  name: string;
  status: PersistentVolumeClaimStatus;
  kind?: 'csi' | 'local-volume';
  isReadOnly?: boolean;
  modes?: string[];
  annotations?: Record<string, string> | undefined;
  knownBytes?: number;
  want: Expansion;
}

const gi = 2 ** 30;
const told = { capacity: { storage: '1Gi' } };
const growing = {
  ...told,
  allocatedResources: { storage: '2Gi' },
  allocatedResourceStatuses: { storage: 'NodeResizePending' },
};
const claimOf = ({ status, annotations }: Pick<Row, 'status' | 'annotations'>): PersistentVolumeClaim => ({
  metadata: { name: 'c', annotations },
  status,
});

describe('expansionOf a volume that has become 2Gi', () => {
  it.each<Row>([
    { name: 'pending', status: growing, want: { kind: 'expand', sizeBytes: 2 * gi, size: '2Gi' } },
    {
      name: 'begun before',
      status: { ...growing, allocatedResourceStatuses: { storage: 'NodeResizeInProgress' } },
      want: { kind: 'expand', sizeBytes: 2 * gi, size: '2Gi' },
    },
    {
      name: 'the controller is not there yet',
      status: { ...growing, allocatedResourceStatuses: { storage: 'ControllerResizeInProgress' } },
      want: { kind: 'none' },
    },
    {
      name: 'given up as impossible',
      status: { ...growing, allocatedResourceStatuses: { storage: 'NodeResizeInfeasible' } },
      want: { kind: 'none' },
    },
    { name: 'nobody has said anything', status: told, want: { kind: 'none' } },
    { name: 'all of it is there', status: { capacity: { storage: '2Gi' } }, want: { kind: 'none' } },
    { name: 'this node has done it', status: growing, knownBytes: 2 * gi, want: { kind: 'none' } },
    { name: 'a pod that only reads', status: growing, isReadOnly: true, want: { kind: 'read-only' } },
    { name: 'a kind that does not grow', status: growing, kind: 'local-volume', want: { kind: 'none' } },
    {
      name: 'shared, and another node told the claim',
      status: { capacity: { storage: '2Gi' } },
      modes: ['ReadWriteMany'],
      knownBytes: gi,
      want: { kind: 'expand', sizeBytes: 2 * gi, size: undefined },
    },
    {
      name: 'the same where the driver says that nodes need not',
      status: { capacity: { storage: '2Gi' } },
      modes: ['ReadWriteMany'],
      knownBytes: gi,
      annotations: { 'volume.kubernetes.io/node-expansion-not-required': 'true' },
      want: { kind: 'none' },
    },
  ])('$name', ({ status, kind = 'csi', isReadOnly = false, modes, annotations, knownBytes, want }) => {
    const pv = { metadata: { name: 'pv' }, spec: { capacity: { storage: '2Gi' }, accessModes: modes } };
    expect(expansionOf({ kind, pv, claim: claimOf({ status, annotations }), isReadOnly }, knownBytes)).toEqual(want);
  });
});

it('the claim says how it went', () => {
  const pending = { type: 'FileSystemResizePending', status: 'True' };
  const claim = claimOf({ status: { ...growing, conditions: [pending] } });
  expect(claimStatusPatch(claim, 'in progress', 'now')).toEqual({
    allocatedResourceStatuses: { storage: 'NodeResizeInProgress' },
  });
  expect(claimStatusPatch(claim, { kind: 'done', size: '2Gi' }, 'now')).toEqual({
    capacity: { storage: '2Gi' },
    allocatedResourceStatuses: { storage: null },
    conditions: [],
  });
  const failed = {
    type: 'NodeResizeError',
    status: 'True',
    lastTransitionTime: 'now',
    message: 'failed to expand pvc with x',
  };
  expect(claimStatusPatch(claim, { kind: 'failed', message: 'x', isInfeasible: false }, 'now')).toEqual({
    conditions: [pending, failed],
  });
  expect(claimStatusPatch(claim, { kind: 'failed', message: 'x', isInfeasible: true }, 'now')).toEqual({
    allocatedResourceStatuses: { storage: 'NodeResizeInfeasible' },
    conditions: [pending, failed],
  });
});
