import { describe, expect, it } from 'vitest';
import { FakeClock } from '../base/clock.ts';
import { silentLogger } from '../base/logger.ts';
import { awaitNode, guardNode } from './await-node.ts';
import type { LocalDetection } from './proxy-config.ts';

const clusterCidr: LocalDetection = { mode: 'ClusterCIDR', clusterCidrs: [] };
const nodeCidr: LocalDetection = { mode: 'NodeCIDR' };

const build = (localDetection: LocalDetection, nodePortAddresses: string[] = []) => {
  const clock = new FakeClock(0);
  const stop = new AbortController();
  const changed: Array<() => void> = [];
  const node = {
    ips: [] as string[],
    podCidrs: [] as string[],
    exists: false,
    onChange: (handler: () => void) => void changed.push(handler),
  };
  const need = { name: 'n1', config: { localDetection, nodePortAddresses }, node, clock, log: silentLogger };
  const change = (fields: Partial<Pick<typeof node, 'ips' | 'podCidrs' | 'exists'>>): void => {
    Object.assign(node, fields);
    for (const handler of changed) handler();
  };
  return { clock, need, stop, change };
};

describe('awaitNode', () => {
  const wait = async (parts: ReturnType<typeof build>, after: () => Promise<void>): Promise<string> => {
    let outcome = 'waits';
    const done = awaitNode(parts.need, parts.stop.signal).then(
      () => (outcome = `went on at ${parts.clock.nowMs()}`),
      (err: unknown) => (outcome = String(err)),
    );
    await after();
    const seen = outcome;
    parts.stop.abort();
    await done;
    return seen;
  };

  it('waits for nothing that comes later as well', async () => {
    const parts = build(clusterCidr);
    expect(await wait(parts, () => parts.clock.advance(0))).toBe('went on at 0');
  });

  it('waits for addresses that NodePorts answer on, for 30 s', async () => {
    const parts = build(clusterCidr, ['primary']);
    expect(await wait(parts, () => parts.clock.advance(29_000))).toBe('waits');
    const late = build(clusterCidr, ['primary']);
    expect(await wait(late, () => late.clock.advance(30_000))).toBe('went on at 30000');
    const soon = build(clusterCidr, ['primary']);
    soon.change({ ips: ['10.0.0.1'] });
    expect(await wait(soon, () => soon.clock.advance(1))).toBe('went on at 0');
  });

  it.each([
    { exists: true, want: 'Error: timeout waiting for PodCIDR allocation on node "n1"' },
    { exists: false, want: 'Error: timeout waiting for node "n1" to exist' },
  ])('gives up when there are no pod CIDRs in five minutes more, the node being there: $exists', async (row) => {
    const parts = build(nodeCidr);
    parts.change({ exists: row.exists });
    expect(await wait(parts, () => parts.clock.advance(329_000))).toBe('waits');
    const later = build(nodeCidr);
    later.change({ exists: row.exists });
    expect(await wait(later, () => later.clock.advance(331_000))).toBe(row.want);
  });
});

describe('guardNode', () => {
  it.each([
    {
      name: 'pod CIDRs that change',
      detection: nodeCidr,
      changes: [{ podCidrs: ['10.1.0.0/24'] }, { podCidrs: ['10.2.0.0/24'] }],
      want: 'have changed from 10.1.0.0/24 to 10.2.0.0/24',
    },
    { name: 'pod CIDRs that come', detection: nodeCidr, changes: [{ podCidrs: ['10.1.0.0/24'] }], want: undefined },
    {
      name: 'pod CIDRs that change where nothing goes by them',
      detection: clusterCidr,
      changes: [{ podCidrs: ['10.1.0.0/24'] }, { podCidrs: [] }],
      want: undefined,
    },
    {
      name: 'an address of a family that cannot be served',
      detection: clusterCidr,
      changes: [{ ips: ['fd00::1'] }],
      want: 'no support for primary IP family "IPv6"',
    },
    {
      name: 'another address, and a second family',
      detection: clusterCidr,
      changes: [{ ips: ['10.0.0.1'] }, { ips: ['10.0.0.2', 'fd00::1'] }],
      want: undefined,
    },
  ])('$name: $want', async ({ detection, changes, want }) => {
    const { need, stop, change } = build(detection);
    const guarded = guardNode(need, ['IPv4'], stop.signal);
    for (const fields of changes) change(fields);
    stop.abort();
    if (want === undefined) await expect(guarded).resolves.toBeUndefined();
    else await expect(guarded).rejects.toThrow(want);
  });
});
