import { describe, expect, it } from 'vitest';
import { findCondition, isConditionTrue, removeCondition, setCondition } from './conditions.ts';

const old = [
  { type: 'A', status: 'True', reason: 'x', lastTransitionTime: 't0' },
  { type: 'B', status: 'False', reason: 'x', lastTransitionTime: 't0' },
];

describe('setCondition', () => {
  it.each([
    { name: 'same status keeps its time', next: { type: 'B', status: 'False', reason: 'y' }, at: 1, time: 't0' },
    { name: 'a flip gets the new time', next: { type: 'A', status: 'False', reason: 'y' }, at: 0, time: 't1' },
    { name: 'a new type goes to the end', next: { type: 'C', status: 'True', reason: 'y' }, at: 2, time: 't1' },
  ])('$name', ({ next, at, time }) => {
    const before = structuredClone(old);
    expect(setCondition(old, next, 't1')[at]).toEqual({ ...next, lastTransitionTime: time });
    expect(old).toEqual(before);
  });

  it('starts a list', () => {
    expect(setCondition(undefined, { type: 'A', status: 'True' }, 't1')).toEqual([
      { type: 'A', status: 'True', lastTransitionTime: 't1' },
    ]);
  });
});

describe('looking up', () => {
  it('finds, asks and removes by type', () => {
    expect(findCondition(old, 'B')?.status).toBe('False');
    expect(findCondition(undefined, 'B')).toBeUndefined();
    expect(isConditionTrue(old, 'A')).toBe(true);
    expect(isConditionTrue(old, 'B')).toBe(false);
    expect(removeCondition(old, 'A').map(({ type }) => type)).toEqual(['B']);
  });
});
