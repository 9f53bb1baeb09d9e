import { expect, it } from 'vitest';
import { checkPrograms } from './check-programs.ts';

const signal = new AbortController().signal;

it.each([
  { name: 'there', measure: () => Promise.resolve(), want: { status: 'ok' } },
  {
    name: 'missing',
    measure: () => Promise.reject(new Error('`find` could not be run')),
    want: { status: 'fail', message: /`find` could not be run/, fix: 'apt-get install findutils' },
  },
])('GNU find is $name', async ({ measure, want }) => {
  const [finding] = await checkPrograms({ measure }, '/x', signal);
  expect(finding?.id).toBe('programs.find');
  expect(finding?.status).toBe(want.status);
  expect(finding?.message).toMatch(want.message ?? /can be measured/);
  expect(finding?.fix).toBe(want.fix);
});
