import { describe, expect, it } from 'vitest';
import type { Lease } from '../../objects/generated/coordination-v1.ts';
import type { Node, Taint } from '../../objects/generated/core-v1.ts';
import { evictionDelayMs } from '../taint-eviction/eviction-delay.ts';
import { nextHeartbeat, unknownConditions } from './assess-node-health.ts';
import { evictionRate, withNoExecuteTaint, withNoScheduleTaints, zoneState } from './compute-node-taints.ts';

const createdMs = Date.parse('2026-01-01T00:00:00Z');
const now = '2026-01-01T01:00:00Z';
const node = (ready?: string, more: Record<string, string> = {}, taints: Taint[] = []): Node => ({
  metadata: { name: 'n', creationTimestamp: '2026-01-01T00:00:00Z' },
  spec: { taints },
  status: {
    conditions: [
      ...(ready === undefined ? [] : [{ type: 'Ready', status: ready, lastHeartbeatTime: 'h1' }]),
      ...Object.entries(more).map(([type, status]) => ({ type, status })),
    ],
  },
});
const lease = (renewTime: string): Lease => ({ metadata: { name: 'n' }, spec: { renewTime } });
const before = { heardMs: 1000, leaseRenewTime: 'r1', readyHeartbeatTime: 'h1' };
const grace = { monitorMs: 50_000, startupMs: 60_000 };

describe('nextHeartbeat', () => {
  it.each([
    { name: 'first seen counts as heard', before: undefined, node: node('True'), lease: undefined, want: 9000 },
    {
      name: 'never reported: since it was created',
      before: undefined,
      node: node(),
      lease: undefined,
      want: createdMs,
    },
    { name: 'nothing new', before, node: node('True'), lease: lease('r1'), want: 1000 },
    { name: 'a renewed lease', before, node: node('True'), lease: lease('r2'), want: 9000 },
    { name: 'a deleted lease is no sign of life', before, node: node('True'), lease: undefined, want: 1000 },
    {
      name: 'a new status',
      before: { ...before, readyHeartbeatTime: 'h0' },
      node: node('True'),
      lease: lease('r1'),
      want: 9000,
    },
  ])('$name', ({ before: known, node: n, lease: l, want }) => {
    expect(nextHeartbeat(known, n, l, 9000).heardMs).toBe(want);
  });
});

describe('unknownConditions', () => {
  const at = (n: Node, silentMs: number) => unknownConditions(n, before, grace, 1000 + silentMs, now);
  it.each([
    { name: 'within the grace period', node: node('True'), silentMs: 50_000, want: undefined },
    { name: 'a new node has longer', node: node(), silentMs: 60_000, want: undefined },
    {
      name: 'already so',
      node: node('Unknown', { MemoryPressure: 'Unknown', DiskPressure: 'Unknown', PIDPressure: 'Unknown' }),
      silentMs: 99_000,
      want: undefined,
    },
    {
      name: 'silent',
      node: node('True', { MemoryPressure: 'False' }),
      silentMs: 50_001,
      want: [
        'Ready NodeStatusUnknown',
        'MemoryPressure NodeStatusUnknown',
        'DiskPressure NodeStatusNeverUpdated',
        'PIDPressure NodeStatusNeverUpdated',
      ],
    },
  ])('$name', ({ node: n, silentMs, want }) => {
    expect(at(n, silentMs)?.map(({ type, reason }) => `${type} ${reason}`)).toEqual(want);
  });
});

describe('taints', () => {
  const names = (taints: Taint[]) =>
    taints.map(({ key, effect }) => `${key.replace('node.kubernetes.io/', '')}:${effect}`);
  const foreign = { key: 'mine', effect: 'NoSchedule' };
  it.each([
    {
      name: 'ready: ours go, others stay',
      node: node('True', {}, [foreign, { key: 'node.kubernetes.io/not-ready', effect: 'NoSchedule' }]),
      want: ['mine:NoSchedule'],
    },
    { name: 'not ready', node: node('False'), want: ['not-ready:NoSchedule'] },
    { name: 'unknown', node: node('Unknown'), want: ['unreachable:NoSchedule'] },
    { name: 'pressure', node: node('True', { DiskPressure: 'True' }), want: ['disk-pressure:NoSchedule'] },
    { name: 'cordoned', node: { ...node('True'), spec: { unschedulable: true } }, want: ['unschedulable:NoSchedule'] },
  ])('NoSchedule, $name', ({ node: n, want }) => {
    expect(names(withNoScheduleTaints(n, now))).toEqual(want);
  });

  it('NoExecute: swapped when the state changes, kept with its time, removed when ready', () => {
    const old = { key: 'node.kubernetes.io/not-ready', effect: 'NoExecute', timeAdded: 't' };
    const unreachable = 'node.kubernetes.io/unreachable';
    expect(names(withNoExecuteTaint(node('Unknown', {}, [old]), unreachable, now))).toEqual(['unreachable:NoExecute']);
    expect(withNoExecuteTaint(node('False', {}, [old]), old.key, now)).toEqual([old]);
    expect(withNoExecuteTaint(node('True', {}, [old, foreign]), undefined, now)).toEqual([foreign]);
  });

  it.each([
    { ready: 0, lost: 1, want: 'FullDisruption' },
    { ready: 1, lost: 2, want: 'Normal' },
    { ready: 2, lost: 3, want: 'PartialDisruption' },
    { ready: 3, lost: 3, want: 'Normal' },
    { ready: 0, lost: 0, want: 'Normal' },
  ])('a zone with $ready ready and $lost lost is $want', ({ ready, lost, want }) => {
    const nodes = [
      ...Array.from({ length: ready }, () => node('True')),
      ...Array.from({ length: lost }, () => node('Unknown')),
    ];
    expect(zoneState(nodes)).toBe(want);
  });

  it.each([
    { state: 'Normal', count: 3, want: 0.1 },
    { state: 'PartialDisruption', count: 50, want: 0 },
    { state: 'PartialDisruption', count: 51, want: 0.01 },
    { state: 'FullDisruption', count: 3, want: 0.1 },
  ] as const)('$state of $count nodes: $want nodes a second', ({ state, count, want }) => {
    expect(evictionRate(state, count)).toBe(want);
  });
});

describe('evictionDelayMs', () => {
  const taint = (key: string) => ({ key, effect: 'NoExecute' });
  const tolerate = (key: string, tolerationSeconds?: number) => ({ key, operator: 'Exists', tolerationSeconds });
  it.each([
    { name: 'not tolerated: now', tolerations: [], taints: [taint('a')], want: 0 },
    { name: 'tolerated for ever', tolerations: [tolerate('a')], taints: [taint('a')], want: undefined },
    {
      name: 'the shortest counts',
      tolerations: [tolerate('a', 60), tolerate('b', 30)],
      taints: [taint('a'), taint('b')],
      want: 30_000,
    },
    {
      name: 'only the first that fits a taint',
      tolerations: [tolerate('a', 60), tolerate('a', 5)],
      taints: [taint('a')],
      want: 60_000,
    },
    { name: 'negative is now', tolerations: [tolerate('a', -1)], taints: [taint('a')], want: 0 },
    { name: 'one not tolerated of two', tolerations: [tolerate('a')], taints: [taint('a'), taint('b')], want: 0 },
  ])('$name', ({ tolerations, taints, want }) => {
    expect(evictionDelayMs(tolerations, taints)).toBe(want);
  });
});
