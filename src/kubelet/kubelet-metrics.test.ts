import { expect, it } from 'vitest';
import { claimSamples } from './kubelet-metrics.ts';
import type { VolumeFigures } from './volume-model.ts';

const figures = (usedBytes: number | undefined): VolumeFigures => ({
  capacityBytes: 10,
  availableBytes: undefined,
  usedBytes,
  inodes: undefined,
  inodesFree: undefined,
  inodesUsed: undefined,
});

it('claimSamples: a claim of several pods once, and none for what nobody knows', () => {
  const claims = [
    { namespace: 'a', claim: 'data', figures: figures(3) },
    { namespace: 'a', claim: 'data', figures: figures(4) },
    { namespace: 'b', claim: 'data', figures: figures(undefined) },
  ];
  expect(claimSamples(claims, 'usedBytes')).toEqual([[{ namespace: 'a', persistentvolumeclaim: 'data' }, 4]]);
  expect(claimSamples(claims, 'capacityBytes').map(([labels, value]) => `${labels['namespace']} ${value}`)).toEqual([
    'a 10',
    'b 10',
  ]);
  expect(claimSamples(claims, 'inodes')).toEqual([]);
});
