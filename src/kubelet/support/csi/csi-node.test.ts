import { describe, expect, it } from 'vitest';
import type { Node } from '../../../objects/generated/core-v1.ts';
import type { CSINodeDriver } from '../../../objects/generated/storage-v1.ts';
import { bareCsiNode, driverEntry, isOfAnotherNode, nextCsiNode, nodePatchFor } from './csi-node.ts';

const info = { nodeId: 'id-1', maxVolumes: 0, topology: {} };
const node = (metadata: Partial<Node['metadata']> = {}): Node => ({
  metadata: { name: 'n', uid: 'u', ...metadata },
  spec: {},
});
const annotation = (text: string): Partial<Node['metadata']> => ({
  annotations: { 'csi.volume.kubernetes.io/nodeid': text },
});
const patch = (text: string | null): object => ({
  metadata: { annotations: { 'csi.volume.kubernetes.io/nodeid': text } },
});

describe('driverEntry', () => {
  it.each([
    { what: 'no limit', info, want: { name: 'd', nodeID: 'id-1', topologyKeys: [] } },
    {
      what: 'keys in order, a limit',
      info: { ...info, maxVolumes: 3, topology: { zone: 'a', rack: 'b' } },
      want: { name: 'd', nodeID: 'id-1', topologyKeys: ['rack', 'zone'], allocatable: { count: 3 } },
    },
    {
      what: 'a limit beyond 32 bits',
      info: { ...info, maxVolumes: 2 ** 40 },
      want: { name: 'd', nodeID: 'id-1', topologyKeys: [], allocatable: { count: 2 ** 31 - 1 } },
    },
    {
      what: 'a limit below 0',
      info: { ...info, maxVolumes: -1 },
      want: { name: 'd', nodeID: 'id-1', topologyKeys: [] },
    },
  ])('$what', ({ info: of, want }) => {
    expect(driverEntry('d', of)).toEqual(want);
  });
});

describe('nextCsiNode', () => {
  const entry = (nodeID: string, count?: number): CSINodeDriver => ({
    name: 'd',
    nodeID,
    topologyKeys: [],
    ...(count === undefined ? {} : { allocatable: { count } }),
  });
  const other = { name: 'other', nodeID: 'x', topologyKeys: [] };
  it.each([
    { what: 'nothing to do', drivers: [other], change: undefined, want: undefined },
    { what: 'a new driver', drivers: [other], change: { add: entry('a') }, want: [other, entry('a')] },
    { what: 'known as it is', drivers: [entry('a', 3)], change: { add: entry('a', 3) }, want: undefined },
    {
      what: 'another limit',
      drivers: [entry('a', 3), other],
      change: { add: entry('a', 4) },
      want: [other, entry('a', 4)],
    },
    { what: 'another identity goes first', drivers: [entry('a'), other], change: { add: entry('b') }, want: [other] },
    { what: 'a driver that goes', drivers: [entry('a'), other], change: { remove: 'd' }, want: [other] },
    { what: 'one that is gone', drivers: [other], change: { remove: 'd' }, want: undefined },
  ])('$what', ({ drivers, change, want }) => {
    expect(nextCsiNode({ ...bareCsiNode(node()), spec: { drivers } }, change)?.spec.drivers).toEqual(want);
  });

  it('puts back what says which kinds are left to drivers', () => {
    const bare = bareCsiNode(node());
    const next = nextCsiNode({ ...bare, metadata: { ...bare.metadata, annotations: { own: 'x' } } }, undefined);
    expect(next?.metadata.annotations).toEqual({ own: 'x', ...bare.metadata.annotations });
    expect(Object.values(bare.metadata.annotations ?? {})).toEqual([
      'kubernetes.io/aws-ebs,kubernetes.io/azure-disk,kubernetes.io/azure-file,kubernetes.io/cinder,kubernetes.io/gce-pd,kubernetes.io/portworx-volume,kubernetes.io/vsphere-volume',
    ]);
  });

  it('tells a CSINode of a node that is gone', () => {
    expect(isOfAnotherNode(bareCsiNode(node()), node({ uid: 'v' }))).toBe(true);
    expect(isOfAnotherNode(bareCsiNode(node()), node())).toBe(false);
  });
});

describe('nodePatchFor', () => {
  const zoned = { ...info, topology: { zone: 'a' } };
  it.each([
    { what: 'the first driver', of: node(), info, want: patch('{"d":"id-1"}') },
    { what: 'one more', of: node(annotation('{"z":"1"}')), info, want: patch('{"d":"id-1","z":"1"}') },
    { what: 'known as it is', of: node(annotation('{"d":"id-1"}')), info, want: undefined },
    { what: 'one that goes', of: node(annotation('{"d":"id-1","z":"1"}')), info: undefined, want: patch('{"z":"1"}') },
    { what: 'the last one that goes', of: node(annotation('{"d":"id-1"}')), info: undefined, want: patch(null) },
    { what: 'a damaged annotation', of: node(annotation('{')), info, want: patch('{"d":"id-1"}') },
    {
      what: 'a label',
      of: node({ ...annotation('{"d":"id-1"}'), labels: { other: 'x' } }),
      info: zoned,
      want: { metadata: { labels: { zone: 'a' } } },
    },
    {
      what: 'a label that is there',
      of: node({ ...annotation('{"d":"id-1"}'), labels: { zone: 'a' } }),
      info: zoned,
      want: undefined,
    },
  ])('$what', ({ of, info: told, want }) => {
    expect(nodePatchFor(of, 'd', told)).toEqual(want);
  });

  it('refuses a topology that contradicts a label', () => {
    expect(() => nodePatchFor(node({ labels: { zone: 'b' } }), 'd', zoned)).toThrow(
      'detected topology value collision: driver reported "zone":"a" but existing label is "zone":"b"',
    );
  });
});
