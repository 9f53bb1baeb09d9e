import { describe, expect, it } from 'vitest';
import {
  addResources,
  formatResources,
  isHugepages,
  maxResources,
  memoryBytesOf,
  milliCpuOf,
  parseResources,
  sameResources,
} from './resource-list.ts';

describe('resource lists', () => {
  const a = parseResources({ cpu: '500m', memory: '1Gi' });
  const b = parseResources({ cpu: '1', 'hugepages-2Mi': '4Mi' });

  it('are added by name', () => {
    expect(formatResources(addResources(a, b))).toEqual({ cpu: '1500m', 'hugepages-2Mi': '4Mi', memory: '1Gi' });
  });

  it('are compared by name for the larger', () => {
    expect(formatResources(maxResources(a, b))).toEqual({ cpu: '1', 'hugepages-2Mi': '4Mi', memory: '1Gi' });
  });

  it('may have any name', () => {
    const odd = parseResources({ constructor: '1' });
    expect(formatResources(addResources({}, odd))).toEqual({ constructor: '1' });
    expect(sameResources(odd, parseResources({ cpu: '1' }))).toBe(false);
  });

  it('are not changed by either', () => {
    expect(formatResources(a)).toEqual({ cpu: '500m', memory: '1Gi' });
  });

  it.each([
    { name: 'other formats of the same amounts', list: { cpu: '0.5', memory: '1024Mi' }, same: true },
    { name: 'another amount', list: { cpu: '0.6', memory: '1Gi' }, same: false },
    { name: 'a name less', list: { cpu: '0.5' }, same: false },
    { name: 'another name', list: { cpu: '0.5', storage: '1Gi' }, same: false },
  ])('compare with $name: $same', ({ list, same }) => {
    expect(sameResources(a, parseResources(list))).toBe(same);
  });

  it('give processor and memory as numbers, 0 when they are not named', () => {
    expect([milliCpuOf(a), memoryBytesOf(a)]).toEqual([500, 2 ** 30]);
    expect([milliCpuOf({}), memoryBytesOf({})]).toEqual([0, 0]);
  });

  it('name the resource whose amount is wrong', () => {
    expect(() => parseResources({ cpu: 'much' })).toThrow('resource "cpu"');
    expect(parseResources(undefined)).toEqual({});
  });

  it('know huge pages', () => {
    expect(['hugepages-1Gi', 'memory'].map(isHugepages)).toEqual([true, false]);
  });
});
