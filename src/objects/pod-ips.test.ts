import { expect, it } from 'vitest';
import { podIpsInOrder } from './pod-ips.ts';

it.each([
  { name: 'one', ips: ['10.0.0.1'], want: ['10.0.0.1'] },
  { name: 'none', ips: [], want: [] },
  {
    name: 'at most one of each family',
    ips: ['10.0.0.1', '10.0.0.2', 'fd00::1', 'fd00::2'],
    want: ['10.0.0.1', 'fd00::1'],
  },
  {
    name: "the node's first family first",
    ips: ['10.0.0.1', 'fd00::1'],
    prefersV6: true,
    want: ['fd00::1', '10.0.0.1'],
  },
  { name: 'in the usual spelling', ips: ['FD00:0:0::0001'], want: ['fd00::1'] },
  { name: 'what is no address is none', ips: ['', 'x'], want: [] },
])('$name', ({ ips, prefersV6 = false, want }) => {
  expect(podIpsInOrder(ips, prefersV6)).toEqual(want);
});
