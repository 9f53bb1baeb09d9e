import { describe, expect, it } from 'vitest';
import { nodeInfoOf, podInfoOf } from '../cache/node-info.ts';
import { balancedAllocation, bestIndex, leastAllocated } from './score-nodes.ts';

const podOf = (requests: Record<string, string>) =>
  podInfoOf({ metadata: { name: 'p' }, spec: { containers: [{ name: 'c', image: 'i', resources: { requests } }] } });
const nodeOf = (...pods: ReturnType<typeof podOf>[]) =>
  nodeInfoOf({ metadata: { name: 'n' }, spec: {}, status: { allocatable: { cpu: '4', memory: '10000Mi' } } }, pods);

describe('leastAllocated', () => {
  it.each([
    { name: 'mean of what stays free', request: { cpu: '1', memory: '5000Mi' }, want: 62 },
    { name: 'a pod without requests counts with small ones', request: {}, want: 97 },
    { name: 'nothing free', request: { cpu: '4', memory: '10000Mi' }, want: 0 },
  ])('$name', ({ request, want }) => {
    expect(leastAllocated(podOf(request), nodeOf())).toBe(want);
  });
});

describe('balancedAllocation', () => {
  it.each([
    { name: 'no requests: not scored', request: {}, want: 0 },
    { name: 'stays as balanced as it was', request: { cpu: '1', memory: '2500Mi' }, want: 75 },
    { name: 'becomes less balanced', request: { cpu: '4' }, want: 50 },
  ])('$name', ({ request, want }) => {
    expect(balancedAllocation(podOf(request), nodeOf())).toBe(want);
  });
});

describe('bestIndex', () => {
  it.each([
    { pick: 0, want: 1 },
    { pick: 0.99, want: 2 },
  ])('chooses among equals with $pick', ({ pick, want }) => {
    expect(bestIndex([1, 5, 5], () => pick)).toBe(want);
  });
});
