import { describe, expect, it } from 'vitest';
import { decodeJson } from './decode-list.ts';

const items = [
  { metadata: { name: 'a', annotations: { json: '{"items":[1,2],"x":"\\"}"}' } }, list: [1, [2, { deep: ']' }]] },
  { metadata: { name: 'ü "quoted" \\ and a bracket ]' }, empty: {} },
  { metadata: { name: 'c' }, number: -1.5e3, nothing: null },
];
const list = { kind: 'List', apiVersion: 'v1', metadata: { resourceVersion: '7', continue: 'items' }, items };

const inPieces = (text: string, size: number): Buffer[] => {
  const bytes = Buffer.from(text);
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.subarray(i * size, (i + 1) * size));
};

describe('decodeJson', () => {
  it.each([
    { name: 'a list', value: list },
    { name: 'a list with blanks', value: list, indent: 2 },
    { name: 'a list whose items come last but one', value: { ...list, more: [1] } },
    { name: 'an empty list', value: { ...list, items: [] } },
    { name: "Go's empty list", value: { ...list, items: null } },
    { name: 'an object with items deeper inside', value: { kind: 'ConfigMap', metadata: { items: [1, 2] }, data: {} } },
    { name: 'an object with items behind a long text', value: { kind: 'x', metadata: { a: 'y'.repeat(5000) }, items } },
    { name: 'a text', value: 'items' },
    { name: 'an array', value: [{ items: [1] }] },
  ])('$name is what JSON.parse makes of it, in pieces of any size', async ({ value, indent }) => {
    const text = JSON.stringify(value, undefined, indent);
    for (const size of [1, 2, 3, 7, 64, 1000, text.length + 100]) {
      expect(await decodeJson(inPieces(text, size))).toEqual(value);
    }
  });

  it('hands on items as they come, and keeps none', async () => {
    const seen: unknown[] = [];
    const pieces = inPieces(JSON.stringify(list), 40);
    let pushed = 0;
    const pushedAt: number[] = [];
    async function* coming(): AsyncGenerator<Buffer> {
      for (pushed = 0; pushed < pieces.length; pushed++) yield pieces[pushed] ?? Buffer.alloc(0);
    }
    const onItem = (item: unknown): void => {
      seen.push(item);
      pushedAt.push(pushed);
    };
    expect(await decodeJson(coming(), { onItem })).toEqual({ ...list, items: [] });
    expect(seen).toEqual(items);
    expect(new Set(pushedAt).size).toBeGreaterThan(1);
  });

  it('lets others have a turn while a large list comes', async () => {
    const large = { ...list, items: Array.from({ length: 5000 }, (_, i) => ({ ...items[0], i })) };
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    const decoded = await decodeJson([Buffer.from(JSON.stringify(large))]);
    clearInterval(timer);
    expect(decoded).toEqual(large);
    expect(turns).toBeGreaterThan(0);
  });

  it.each([
    '{"kind":"List","items":[{"a":1},{"b":',
    '{"kind":"List","items":[{"a":1} {"b":2}]}',
    '{"items":[1]',
    'nonsense',
  ])('refuses %s', async (text) => {
    for (const size of [1, 5, 100]) await expect(decodeJson(inPieces(text, size))).rejects.toThrow(SyntaxError);
  });

  it('nothing is nothing', async () => expect(await decodeJson([])).toBeUndefined());
});
