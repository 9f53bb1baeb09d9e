import { expect, it } from 'vitest';
import { warnOfSwap } from './warn-of-swap.ts';

it.each([
  { swapBytes: 0, canNoSwap: false, want: 0 },
  { swapBytes: 1, canNoSwap: true, want: 0 },
  { swapBytes: 1, canNoSwap: false, want: 1 },
])('with $swapBytes bytes of swap and noswap $canNoSwap: $want events', async ({ swapBytes, canNoSwap, want }) => {
  const events: string[] = [];
  const nodeEvent = (type: string, reason: string): void => void events.push(`${type} ${reason}`);
  const mounts = { canNoSwap: () => Promise.resolve(canNoSwap) };
  await warnOfSwap({ swapBytes, probe: '/nowhere', mounts, nodeEvent }, new AbortController().signal);
  expect(events).toEqual(Array(want).fill('Warning PossibleMemoryBackedVolumesOnDisk'));
});
