/** Services and EndpointSlices as far as names go. Pure. */
import { isIP } from 'node:net';
import type { Service } from '../../objects/generated/core-v1.ts';
import type { EndpointPort, EndpointSlice } from '../../objects/generated/discovery-v1.ts';
import { namespacedKey } from '../../objects/object-key.ts';
import type { EndpointFacts, PortFacts, ServiceFacts, SliceFacts } from '../dns-model.ts';
import { addressLabel } from './address-names.ts';

const serviceNameLabel = 'kubernetes.io/service-name';

export function serviceFacts({ metadata, spec }: Service): ServiceFacts {
  const addresses = spec.clusterIPs ?? (spec.clusterIP === undefined ? [] : [spec.clusterIP]);
  const isExternal = spec.type === 'ExternalName';
  return {
    namespace: metadata.namespace ?? '',
    name: metadata.name,
    kind: isExternal ? 'external-name' : addresses.includes('None') ? 'headless' : 'cluster-ip',
    // a Service that has become external may keep the address that it had
    addresses: isExternal ? [] : addresses.filter((address) => isIP(address) !== 0),
    externalName: isExternal ? targetName(spec.externalName ?? '') : '',
    ports: portsOf(spec.ports),
  };
}

/** @returns undefined for slices that belong to no Service or hold no addresses */
export function sliceFacts({ metadata, addressType, endpoints, ports }: EndpointSlice): SliceFacts | undefined {
  const service = metadata.labels?.[serviceNameLabel];
  if (service === undefined || (addressType !== 'IPv4' && addressType !== 'IPv6')) return undefined;
  const ready = (endpoints ?? []).filter(({ conditions }) => conditions?.ready !== false);
  return {
    serviceKey: namespacedKey(metadata.namespace, service),
    name: metadata.name,
    family: addressType,
    ports: portsOf(ports),
    endpoints: ready.flatMap(({ addresses, hostname = '' }) =>
      addresses.map((address): EndpointFacts => ({
        label: hostname === '' ? addressLabel(address) : hostname.toLowerCase(),
        hasHostname: hostname !== '',
        address,
      })),
    ),
  };
}

/** '' for what is no name: it would make packets that nobody can read. */
function targetName(externalName: string): string {
  const name = externalName.toLowerCase().replace(/\.$/, '');
  return name.length <= 253 && /^[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*$/.test(name) ? name : '';
}

function portsOf(ports: ReadonlyArray<Pick<EndpointPort, 'name' | 'protocol' | 'port'>> | undefined): PortFacts[] {
  return (ports ?? []).flatMap(({ name = '', protocol = 'TCP', port }) =>
    port === undefined ? [] : [{ name: name.toLowerCase(), protocol: protocol.toLowerCase(), port }],
  );
}
