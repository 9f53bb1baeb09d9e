import { expect, it } from 'vitest';
import { bytesOfText, textOfBytes } from './byte-text.ts';

it.each([
  { name: 'nothing', bytes: [], text: '' },
  { name: 'ASCII', bytes: [0x61, 0x62], text: 'ab' },
  { name: 'UTF-8', bytes: [0xc3, 0xa4, 0xe2, 0x82, 0xac, 0xf0, 0x9f, 0x98, 0x80], text: 'ä€😀' },
  { name: 'what is no UTF-8', bytes: [0xff, 0x61, 0x80, 0xc3, 0xa4], text: '\udcffa\udc80ä' },
  { name: 'half a character at the end', bytes: [0x61, 0xe2, 0x82], text: 'a\udce2\udc82' },
  { name: 'surrogates written as UTF-8', bytes: [0xed, 0xb2, 0x80], text: '\udced\udcb2\udc80' },
  { name: 'a zero', bytes: [0x00, 0xfe], text: '\0\udcfe' },
])('$name', ({ bytes, text }) => {
  expect(textOfBytes(Buffer.from(bytes))).toBe(text);
  expect([...bytesOfText(text)]).toEqual(bytes);
});

it('every byte comes back', () => {
  const bytes = Buffer.from(Array.from({ length: 512 }, (_, i) => (i * 7 + (i >> 3)) % 256));
  expect(bytesOfText(textOfBytes(bytes)).equals(bytes)).toBe(true);
});
