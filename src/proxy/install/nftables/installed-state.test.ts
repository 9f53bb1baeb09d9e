import { describe, expect, it } from 'vitest';
import type { ElementContext } from '../../compute/nftables/service-elements.ts';
import { testEndpoint, testPort, testState } from '../../compute/test-objects.ts';
import type { ServiceState } from '../../proxy-model.ts';
import { InstalledState } from './installed-state.ts';

const context: ElementContext = {
  family: 'IPv4',
  masqueradeMark: '0x00004000',
  masqueradeAll: false,
  localTraffic: undefined,
  nodePortIps: undefined,
  serviceCidrs: [],
  node: { name: 'node-1', zone: undefined, ip: '192.168.0.2' },
};

/** Asks for 192.0.2.1:80 besides its own cluster IP. */
const asking = (name: string, clusterIp: string, endpointIp: string): ServiceState =>
  testState(testPort({ name, clusterIp, externalIps: ['192.0.2.1'] }), [testEndpoint(endpointIp)]);
const first = asking('first', '172.30.0.1', '10.180.0.1');
const second = asking('second', '172.30.0.2', '10.180.0.2');
const owner = testState(testPort({ name: 'owner', clusterIp: '192.0.2.1' }), [testEndpoint('10.180.0.3')]);

describe('two Services that ask for one address', () => {
  /** The endpoint that the address leads to after each step. */
  const steps = (...changes: Array<[key: string, service: ServiceState | undefined]>): Array<string | undefined> => {
    const state = new InstalledState();
    const kernel = new Map<string, string>();
    return changes.map(([key, service]) => {
      const { removed, added } = state.apply(new Map([[key, service]]), context);
      for (const [element, value] of removed) {
        expect(kernel.get(element)).toBe(value);
        kernel.delete(element);
      }
      for (const [element, value] of added) {
        expect(kernel.has(element)).toBe(false);
        kernel.set(element, value);
      }
      return kernel.get('tcp-endpoints 192.0.2.1 . 80 . 0');
    });
  };
  const [a, b, c] = ['10.180.0.1 . 80', '10.180.0.2 . 80', '10.180.0.3 . 80'];

  it.each<{ name: string; changes: Parameters<typeof steps>; want: Array<string | undefined> }>([
    {
      name: 'the first by name has it',
      changes: [
        [first.key, first],
        [second.key, second],
      ],
      want: [a, a],
    },
    {
      name: '… whoever comes first',
      changes: [
        [second.key, second],
        [first.key, first],
      ],
      want: [b, a],
    },
    {
      name: 'whoever is left has it after that',
      changes: [
        [first.key, first],
        [second.key, second],
        [first.key, undefined],
        [second.key, undefined],
      ],
      want: [a, a, b, undefined],
    },
    {
      name: 'nobody has what is the cluster IP of another',
      changes: [
        [first.key, first],
        [owner.key, owner],
        [owner.key, undefined],
      ],
      want: [a, c, a],
    },
  ])('$name', ({ changes, want }) => {
    expect(steps(...changes)).toEqual(want);
  });

  it('hands over what is the same in both without a word', () => {
    const state = new InstalledState();
    const twin = asking('second', '172.30.0.2', '10.180.0.1');
    state.apply(
      new Map([
        [first.key, first],
        [second.key, twin],
      ]),
      context,
    );
    const { removed, added } = state.apply(new Map([[first.key, undefined]]), context);
    expect([...removed.keys()].filter((element) => element.includes('192.0.2.1'))).toEqual([]);
    expect([...added.keys()]).toEqual([]);
  });
});
