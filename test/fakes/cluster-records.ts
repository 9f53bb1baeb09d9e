/** A small cluster for tests of the name service: Services, endpoints and pods as the API has them. */
import { RecordStore } from '../../src/cluster-dns/collect/record-store.ts';
import { FakeClock } from '../../src/base/clock.ts';
import type { Service, ServiceSpec } from '../../src/objects/generated/core-v1.ts';
import type { Endpoint, EndpointPort, EndpointSlice } from '../../src/objects/generated/discovery-v1.ts';
import { objectKey } from '../../src/objects/object-key.ts';

export function service(name: string, spec: ServiceSpec, namespace = 'shop'): Service {
  return { metadata: { namespace, name, uid: `uid-${name}` }, spec };
}

export function slice(
  serviceName: string,
  endpoints: readonly Endpoint[],
  ports: readonly EndpointPort[] = [],
  { suffix = 'a', namespace = 'shop', addressType = 'IPv4' } = {},
): EndpointSlice {
  return {
    metadata: {
      namespace,
      name: `${serviceName}-${suffix}`,
      labels: { 'kubernetes.io/service-name': serviceName },
    },
    addressType,
    endpoints: [...endpoints],
    ports: [...ports],
  };
}

const http = { name: 'http', port: 80, protocol: 'TCP' };
const ready = { ready: true };

export function exampleCluster(): RecordStore {
  const index = new RecordStore(new FakeClock(1_700_000_000_000));
  for (const name of ['default', 'kube-system', 'shop', 'empty']) index.setNamespace(name, true);
  const services = [
    service('kubernetes', { clusterIPs: ['10.96.0.1'], ports: [{ name: 'https', port: 443 }] }, 'default'),
    service('web', {
      clusterIPs: ['10.96.0.20'],
      ports: [http, { name: 'dns', port: 53, protocol: 'UDP' }],
    }),
    service('both', { clusterIPs: ['10.96.0.21', 'fd00:10:96::15'], ports: [http] }),
    service('unnamed', { clusterIP: '10.96.0.22', clusterIPs: ['10.96.0.22'], ports: [{ port: 80 }] }),
    service('lonely', { clusterIPs: ['10.96.0.23'], ports: [http] }),
    service('pending', { type: 'ClusterIP', ports: [http] }),
    service('heads', { clusterIP: 'None', clusterIPs: ['None'], ports: [http] }),
    service('unready', { clusterIP: 'None', clusterIPs: ['None'], ports: [http] }),
    service('portless', { clusterIP: 'None', clusterIPs: ['None'] }),
    service('six', { clusterIP: 'None', clusterIPs: ['None'], ports: [http] }),
    service('outside', { type: 'ExternalName', externalName: 'Foo.Example.COM.' }),
    service('inside', { type: 'ExternalName', externalName: 'web.shop.svc.cluster.local' }),
    service('numeric', { type: 'ExternalName', externalName: '192.0.2.7' }),
  ];
  for (const each of services) index.setService(objectKey(each), each);
  const slices = [
    slice('web', [{ addresses: ['10.244.0.9'], conditions: ready }], [{ name: 'http', port: 8080, protocol: 'TCP' }]),
    slice(
      'heads',
      [
        { addresses: ['10.244.0.5'], conditions: ready, hostname: 'head-0' },
        { addresses: ['10.244.0.6'], hostname: 'head-1' }, // no condition: ready
        { addresses: ['10.244.0.7'], conditions: ready },
        { addresses: ['10.244.0.8'], conditions: { ready: false }, hostname: 'head-3' },
      ],
      [{ name: 'http', port: 8080, protocol: 'TCP' }],
    ),
    // a second slice with another port, and one endpoint that is in both, as when one is moved
    slice(
      'heads',
      [
        { addresses: ['10.244.0.5'], conditions: ready, hostname: 'head-0' },
        { addresses: ['10.244.1.5'], conditions: ready, hostname: 'head-0' },
      ],
      [{ name: 'admin', port: 9000, protocol: 'TCP' }],
      { suffix: 'b' },
    ),
    slice('unready', [{ addresses: ['10.244.0.50'], conditions: { ready: false } }], [http]),
    slice('portless', [{ addresses: ['10.244.0.60'], conditions: ready }]),
    slice('six', [{ addresses: ['fd00:244::5'], conditions: ready }, { addresses: ['fd00:244::'] }], [http], {
      addressType: 'IPv6',
    }),
    slice('named', [{ addresses: ['names.example.com'] }], [http], { addressType: 'FQDN' }),
  ];
  for (const each of slices) index.setSlice(objectKey(each), each);
  index.setPod(
    { metadata: { namespace: 'shop', name: 'p' }, spec: { containers: [] }, status: { podIP: '10.244.0.9' } },
    true,
  );
  return index;
}
