import { describe, expect, it } from 'vitest';
import { describeError } from '../../../base/errors.ts';
import { limitFailure, mountFailure } from './mount-failure.ts';

const text = 'Unable to attach or mount volumes: unmounted volumes=';

it.each([
  [
    'a claim that leads nowhere fails at once, with its reason',
    {
      unmounted: ['b', 'a'],
      unprocessed: new Map([['b', new Error('error processing PVC x/y', { cause: 'PVC is not bound' })]]),
    },
    `${text}[a b], unattached volumes=[], failed to process volumes=[b]: error processing PVC x/y: PVC is not bound`,
  ],
  [
    'two claims, one reason each',
    {
      unmounted: ['a', 'b'],
      unprocessed: new Map([
        ['a', new Error('one')],
        ['b', new Error('two')],
      ]),
    },
    `${text}[a b], unattached volumes=[], failed to process volumes=[a b]: one; two`,
  ],
  [
    'the time is over',
    { unmounted: ['a'], unattached: ['a'], cause: new Error('the last reason') },
    `${text}[a], unattached volumes=[a], failed to process volumes=[]: context deadline exceeded: the last reason`,
  ],
])('%s', (_, failure, want) => {
  expect(describeError(mountFailure({ unattached: [], unprocessed: new Map(), cause: undefined, ...failure }))).toBe(
    want,
  );
});

describe('limitFailure', () => {
  it.each([
    [
      'the time is over, and no more is said: it becomes the message of a status',
      { unmounted: ['b', 'a'], unattached: ['a'], cause: new Error('the last reason') },
      'unmounted volumes=[a b], unattached volumes=[a], failed to process volumes=[]: context deadline exceeded',
    ],
    [
      'a claim leads nowhere, too',
      { unmounted: ['a', 'b'], unattached: ['a'], unprocessed: new Map([['b', new Error('PVC is not bound')]]) },
      'unmounted volumes=[a b], unattached volumes=[a], failed to process volumes=[b]: PVC is not bound',
    ],
  ])('%s', (_, failure, want) => {
    const err = limitFailure({ unprocessed: new Map(), cause: undefined, ...failure });
    expect(describeError(err)).toBe(`Node has reached its volume attachment limit, rejecting pod. ${want}`);
  });
});
