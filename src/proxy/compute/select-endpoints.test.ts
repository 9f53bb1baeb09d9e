import { describe, expect, it } from 'vitest';
import type { Endpoint, ServicePort } from '../proxy-model.ts';
import { selectEndpoints } from './select-endpoints.ts';
import { testEndpoint, testPort } from './test-objects.ts';

const node = { name: 'here', zone: 'zone-a', ip: '192.168.0.2' };
const going = { isReady: false, isServing: true, isTerminating: true };
const gone = { isReady: false, isServing: false, isTerminating: true };
const unready = { isReady: false, isServing: false };
const local = { isLocal: true };
const zone = (...zones: string[]): Partial<Endpoint> => ({ zoneHints: zones });
const onNode = (...nodes: string[]): Partial<Endpoint> => ({ nodeHints: nodes });
const externalLocal: Partial<ServicePort> = { nodePort: 30_080, isExternalPolicyLocal: true };
const internalLocal: Partial<ServicePort> = { isInternalPolicyLocal: true };

interface Row {
  name: string;
  port?: Partial<ServicePort>;
  /** What differs, for endpoints 1, 2, 3 … */
  endpoints: Array<Partial<Endpoint>>;
  cluster: number[];
  local?: number[];
  reachable?: number[];
  hasAny?: boolean;
}

const rows: Row[] = [
  { name: 'every ready endpoint', endpoints: [{}, {}], cluster: [1, 2] },
  { name: 'none at all', endpoints: [], cluster: [], hasAny: false },
  { name: 'an unready endpoint gets nothing', endpoints: [{}, unready], cluster: [1] },
  { name: 'only unready ones: none', endpoints: [unready], cluster: [], hasAny: false },
  { name: 'a terminating endpoint gets nothing while another is ready', endpoints: [{}, going], cluster: [1] },
  { name: 'terminating endpoints that still serve are better than none', endpoints: [going, gone], cluster: [1] },
  { name: 'a terminating endpoint that no longer serves is none', endpoints: [gone], cluster: [], hasAny: false },
  {
    name: 'zone hints keep traffic in the zone',
    endpoints: [zone('zone-a'), zone('zone-b'), zone('zone-a', 'zone-b')],
    cluster: [1, 3],
  },
  {
    name: 'one endpoint without a hint: hints do not count',
    endpoints: [zone('zone-a'), {}, zone('zone-b')],
    cluster: [1, 2, 3],
  },
  {
    name: 'no endpoint for our zone: hints do not count',
    endpoints: [zone('zone-b'), zone('zone-c')],
    cluster: [1, 2],
  },
  {
    name: 'an unready endpoint without a hint does not matter',
    endpoints: [zone('zone-a'), zone('zone-b'), unready],
    cluster: [1],
  },
  {
    name: 'node hints go before zone hints',
    endpoints: [
      { ...onNode('here'), ...zone('zone-a') },
      { ...onNode('there'), ...zone('zone-a') },
    ],
    cluster: [1],
  },
  {
    name: 'no endpoint for our node: the zone decides',
    endpoints: [
      { ...onNode('there'), ...zone('zone-a') },
      { ...onNode('other'), ...zone('zone-b') },
    ],
    cluster: [1],
  },
  {
    name: 'the last resort, terminating endpoints, knows no zones',
    endpoints: [
      { ...going, ...zone('zone-a') },
      { ...going, ...zone('zone-b') },
    ],
    cluster: [1, 2],
  },
  {
    name: 'an internal Local policy uses this node alone',
    port: internalLocal,
    endpoints: [local, {}],
    cluster: [],
    local: [1],
  },
  {
    name: 'an internal Local policy without an endpoint here: others exist',
    port: internalLocal,
    endpoints: [{}, {}],
    cluster: [],
    local: [],
    reachable: [],
    hasAny: true,
  },
  {
    name: 'an external Local policy uses both: cluster for pods, local for the outside',
    port: externalLocal,
    endpoints: [local, {}],
    cluster: [1, 2],
    local: [1],
    reachable: [1, 2],
  },
  {
    name: 'a Local policy falls back to terminating endpoints of this node on its own',
    port: externalLocal,
    endpoints: [{ ...local, ...going }, {}],
    cluster: [2],
    local: [1],
    reachable: [1, 2],
  },
  {
    name: 'an external Local policy of a Service that nothing outside can reach means nothing',
    port: { isExternalPolicyLocal: true },
    endpoints: [local, {}],
    cluster: [1, 2],
  },
  {
    name: 'topology does not take endpoints from a Local policy',
    port: externalLocal,
    endpoints: [{ ...local, ...zone('zone-b') }, zone('zone-a')],
    cluster: [2],
    local: [1],
    reachable: [1, 2],
  },
];

describe('selectEndpoints', () => {
  it.each(rows)('$name', ({ port, endpoints, ...want }) => {
    const all = endpoints.map((changes, i) => testEndpoint(`10.0.0.${i + 1}`, changes));
    const selected = selectEndpoints(testPort(port), all, node);
    const numbers = (list: readonly Endpoint[]): number[] => list.map((endpoint) => all.indexOf(endpoint) + 1);
    expect({
      cluster: numbers(selected.cluster),
      local: numbers(selected.local),
      reachable: numbers(selected.reachable),
      hasAny: selected.hasAny,
    }).toEqual({
      cluster: want.cluster,
      local: want.local ?? [],
      reachable: want.reachable ?? [...want.cluster, ...(want.local ?? [])],
      hasAny: want.hasAny ?? true,
    });
  });
});
