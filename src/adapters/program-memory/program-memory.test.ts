import { expect, it } from 'vitest';
import { giveBackProgramPages } from './program-memory.ts';

it('makes this process smaller, and it goes on', async () => {
  expect(await giveBackProgramPages()).toBeGreaterThan(5e6);
  // much of the program is needed for this
  expect(JSON.parse(JSON.stringify({ a: [1, new Date(0).toISOString(), 'ä'.normalize('NFD').length] }))).toEqual({
    a: [1, '1970-01-01T00:00:00.000Z', 2],
  });
  expect(new Intl.NumberFormat('de').format(1234.5)).toBe('1.234,5');
  await giveBackProgramPages();
});
