import { describe, expect, it } from 'vitest';
import type { KernelRoute, NodeFacts } from '../pod-network-model.ts';
import { hasAllRoutes, planRoutes, routeCommand, wantedRoutes } from './pod-routes.ts';

const node = (name: string, podCidrs: string[], internalIps: string[]): NodeFacts => ({ name, podCidrs, internalIps });
const own = node('a', ['10.244.0.0/24', 'fd00:1::/64'], ['192.0.2.2', 'fd00::2']);
const b = node('b', ['10.244.1.0/24', 'fd00:1:0:1::/64'], ['192.0.2.3', 'fd00::3']);
const toB = { node: 'b', destination: '10.244.1.0/24', gateway: '192.0.2.3' };
const toB6 = { node: 'b', destination: 'fd00:1:0:1::/64', gateway: 'fd00::3' };

describe('wantedRoutes', () => {
  it.each([
    { name: 'alone', others: [], routes: [], problems: [] },
    { name: 'both families, each through its own address', others: [b], routes: [toB, toB6], problems: [] },
    { name: 'a node that has no podCIDR yet', others: [node('b', [], ['192.0.2.3'])], routes: [], problems: [] },
    {
      name: 'of a family without an address only the other is reached',
      others: [node('b', b.podCidrs as string[], ['192.0.2.3'])],
      routes: [toB],
      problems: ['pods of node "b" in fd00:1:0:1::/64 are not reachable: it has no IPv6 InternalIP'],
    },
    {
      name: 'the first address of a family counts',
      others: [node('b', ['10.244.1.0/24'], ['192.0.2.3', '198.51.100.1'])],
      routes: [toB],
      problems: [],
    },
    {
      name: 'a network of two: the first by name has it',
      others: [node('c', ['10.244.1.0/24'], ['192.0.2.4']), node('b', ['10.244.1.0/24'], ['192.0.2.3'])],
      routes: [toB],
      problems: ['pods of node "c" are not reachable: node "b" has 10.244.1.0/24, too'],
    },
    {
      name: 'our own network is ours',
      others: [node('b', ['10.244.0.0/24'], ['192.0.2.3'])],
      routes: [],
      problems: ['pods of node "b" are not reachable: node "a" has 10.244.0.0/24, too'],
    },
    {
      name: 'our own address leads nowhere else',
      others: [node('b', ['10.244.1.0/24'], ['192.0.2.2'])],
      routes: [],
      problems: ['pods of node "b" are not reachable: its InternalIP 192.0.2.2 is this node\'s'],
    },
  ])('$name', ({ others, routes, problems }) => {
    const wanted = wantedRoutes(own, others);
    expect(wanted.routes).toEqual(routes);
    expect(wanted.problems.map(({ message }) => message)).toEqual(problems);
  });
});

describe('planRoutes', () => {
  const ours = (destination: string, gateway: string): KernelRoute => ({ destination, gateway, isOurs: true });
  const foreign = (destination: string, gateway: string | undefined, device?: string): KernelRoute => ({
    destination,
    gateway,
    device,
    isOurs: false,
  });
  it.each([
    { name: 'missing', present: [], want: ['route add 10.244.1.0/24 via 192.0.2.3 proto 107'], problems: 0 },
    { name: 'there', present: [ours('10.244.1.0/24', '192.0.2.3')], want: [], problems: 0 },
    {
      name: 'the node has another address now',
      present: [ours('10.244.1.0/24', '192.0.2.9')],
      want: ['route replace 10.244.1.0/24 via 192.0.2.3 proto 107'],
      problems: 0,
    },
    {
      name: 'a node that is gone',
      present: [ours('10.244.1.0/24', '192.0.2.3'), ours('10.244.7.0/24', '192.0.2.7')],
      want: ['route delete 10.244.7.0/24 via 192.0.2.7 proto 107'],
      problems: 0,
    },
    {
      name: "somebody else's route to the same node serves us",
      present: [foreign('10.244.1.0/24', '192.0.2.3')],
      want: [],
      problems: 0,
    },
    {
      name: "somebody else's route elsewhere stays, and is told",
      present: [foreign('10.244.1.0/24', undefined, 'flannel.1')],
      want: [],
      problems: 1,
    },
    {
      name: "somebody else's other routes are none of our business",
      present: [
        ours('10.244.1.0/24', '192.0.2.3'),
        foreign('10.244.7.0/24', '192.0.2.7'),
        foreign('10.0.0.0/8', '192.0.2.1'),
      ],
      want: [],
      problems: 0,
    },
  ])('$name', ({ present, want, problems }) => {
    const plan = planRoutes([toB], present);
    expect(plan.changes.map((change) => routeCommand(change, 107))).toEqual(want);
    expect(plan.problems).toHaveLength(problems);
  });

  it('a glance sees a missing route, and one that leads elsewhere', () => {
    expect(hasAllRoutes([toB, toB6], [toB6, toB])).toBe(true);
    expect(hasAllRoutes([toB, toB6], [toB])).toBe(false);
    expect(hasAllRoutes([toB], [{ destination: '10.244.1.0/24', gateway: '192.0.2.9' }])).toBe(false);
  });
});
