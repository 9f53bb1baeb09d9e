import { describe, expect, it } from 'vitest';
import { ListedItems } from './listed-items.ts';

/** A field of wire type 2. */
const bytes = (field: number, ...content: Buffer[]): Buffer => {
  const value = Buffer.concat(content);
  const length = value.length < 128 ? [value.length] : [(value.length & 0x7f) | 0x80, value.length >> 7];
  return Buffer.concat([Buffer.from([(field << 3) | 2, ...length]), value]);
};
const text = (field: number, value: string): Buffer => bytes(field, Buffer.from(value));
const state = (value: number): Buffer => Buffer.from([6 << 3, value]);
const labels = (...all: string[]): Buffer => Buffer.concat(all.map((label) => text(8, label)));
const item = (...fields: Buffer[]): Buffer => bytes(1, ...fields);

function items() {
  const decoded: string[] = [];
  const listed = new ListedItems({
    idField: 1,
    stateField: 6,
    decode: (message) => {
      decoded.push(message.toString('hex'));
      return [{ decodedAs: decoded.length }];
    },
  });
  return { decoded, read: (...all: Buffer[]) => listed.read(Buffer.concat(all)).map(({ decodedAs }) => decodedAs) };
}

describe('ListedItems', () => {
  it('decodes each item once, as a list of its own, whatever the order of the items and of their labels', () => {
    const { decoded, read } = items();
    const a = item(text(1, 'a'), state(1), labels('x', 'y'));
    const b = item(text(1, 'b'), state(1), labels('z'.repeat(300)));
    expect(read(a, b)).toEqual([1, 2]);
    expect(decoded).toEqual([a.toString('hex'), b.toString('hex')]);
    expect(read(b, item(text(1, 'a'), state(1), labels('y', 'x')))).toEqual([2, 1]);
    expect(decoded).toHaveLength(2);
  });

  it('decodes an item anew in another state, also when a state of zero is left out on the wire', () => {
    const { read } = items();
    const [created, running] = [item(text(1, 'a')), item(text(1, 'a'), state(1))];
    expect([read(created), read(running), read(created), read(created)]).toEqual([[1], [2], [3], [3]]);
  });

  it('forgets what is not listed any more', () => {
    const { read } = items();
    const a = item(text(1, 'a'), state(1));
    expect([read(a), read(), read(a)]).toEqual([[1], [], [2]]);
  });

  it.each([
    { name: 'cut off', list: item(text(1, 'a')).subarray(0, -1) },
    { name: 'of another field', list: text(2, 'a') },
    { name: 'with an unknown wire type', list: Buffer.from([0x0f]) },
    { name: 'with an endless number', list: Buffer.alloc(12, 0xff) },
  ])('says that a message $name is no listing', ({ list }) => {
    expect(() => items().read(list)).toThrow(RangeError);
  });
});
