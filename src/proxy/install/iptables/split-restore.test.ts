import { describe, expect, it } from 'vitest';
import type { RestorePlan } from './restore-text.ts';
import { removalOrder, splitRestore } from './split-restore.ts';

const plan = {
  isFull: false,
  existing: undefined,
  dirty: new Set<string>(),
  edits: new Map(),
  fixed: new Map(),
  sharedLines: none,
};
async function* none(): AsyncGenerator<string> {}
const ofServices = (keys: readonly string[]) => () => Promise.resolve(keys.map((chain) => ({ chain, rules: [] })));
const names = (count: number, prefix = 'ns/s'): string[] => Array.from({ length: count }, (_, i) => `${prefix}${i}`);
const shape = (steps: RestorePlan[]): Promise<unknown[]> =>
  Promise.all(
    steps.map(async ({ isFull, dirty, ownChains, staleChains }) => [
      isFull,
      [...dirty],
      (await ownChains()).length,
      staleChains.length,
    ]),
  );

describe('splitRestore', () => {
  it('is no call at all for no change', () => {
    expect(splitRestore(plan, [], [], ofServices)).toEqual([]);
  });

  it('is one call for a small change, removal included', async () => {
    const dirty = new Set(['nat KUBE-SERVICES']);
    const steps = splitRestore({ ...plan, dirty }, names(300), names(500, 'KUBE-SEP-'), ofServices);
    expect(await shape(steps)).toEqual([[false, ['nat KUBE-SERVICES'], 300, 500]]);
  });

  it('writes many Services first, then what leads to them, and removes last', async () => {
    const dirty = new Set(['nat KUBE-SERVICES', 'filter KUBE-SERVICES']);
    const steps = splitRestore({ ...plan, isFull: true, dirty }, names(350), names(501, 'KUBE-SEP-'), ofServices);
    expect(await shape(steps)).toEqual([
      [false, ['nat KUBE-MARK-MASQ'], 300, 0],
      [false, ['nat KUBE-MARK-MASQ'], 50, 0],
      [true, ['nat KUBE-SERVICES', 'filter KUBE-SERVICES'], 0, 0],
      [false, [], 0, 500],
      [false, [], 0, 1],
    ]);
  });
});

describe('removalOrder', () => {
  it('removes a chain before those that it leads to', () => {
    expect(removalOrder(['KUBE-SEP-A', 'KUBE-SVC-A', 'KUBE-EXT-A', 'KUBE-FW-A', 'KUBE-SEP-B', 'KUBE-SVL-B'])).toEqual([
      'KUBE-FW-A',
      'KUBE-EXT-A',
      'KUBE-SVL-B',
      'KUBE-SVC-A',
      'KUBE-SEP-A',
      'KUBE-SEP-B',
    ]);
  });
});
