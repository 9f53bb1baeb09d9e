/** What the names of a Service are. Pure; part of `answer-zone.ts`. */
import { isIP } from 'node:net';
import {
  type ClusterRecords,
  type DnsRecord,
  type EndpointFacts,
  type PortFacts,
  type Question,
  type ServiceFacts,
  type SliceFacts,
  recordTypes,
} from '../dns-model.ts';
import { type Found, type ZoneConfig, addressRecords, allAddressRecords, found } from './zone-model.ts';

/** All SRV records of an answer share this. */
const weightTotal = 100;

export function serviceName({ name, namespace }: ServiceFacts, { domain }: Pick<ZoneConfig, 'domain'>): string {
  return `${name}.${namespace}.svc.${domain}`;
}

/** @param labels namespace, Service, and what stands before it */
export function lookUpService(
  [namespace = '', name = '', ...before]: readonly string[],
  question: Question,
  records: ClusterRecords,
  config: ZoneConfig,
): Found | undefined {
  const service = records.service(namespace, name);
  if (service === undefined) return undefined;
  if (service.kind === 'external-name') return before.length === 0 ? lookUpAlias(service, question, config) : undefined;
  const slices = [...records.slices(namespace, name)].filter(({ endpoints }) => endpoints.length > 0);
  if (service.kind === 'headless' && slices.length === 0) return undefined;
  const [first, second] = before;
  if (first === undefined) return lookUpBareName(service, slices, question, config);
  if (!first.startsWith('_')) {
    return before.length === 1 ? lookUpEndpoint(first, slices, question, config) : undefined;
  }
  const ports = service.kind === 'headless' ? slices.flatMap((slice) => slice.ports) : service.ports;
  const wanted = (port: PortFacts): boolean =>
    port.name !== '' && `_${port.protocol}` === first && (second === undefined || `_${port.name}` === second);
  if (before.length > 2 || !ports.some(wanted)) return undefined;
  // without the port's name the name only leads to others
  if (second === undefined || question.type !== recordTypes.SRV) return found([]);
  return srvRecords(service, slices, wanted, question, config);
}

function lookUpAlias({ externalName }: ServiceFacts, { name }: Question, { ttl }: ZoneConfig): Found | undefined {
  // what looks like an address is no name that could be looked up
  if (externalName === '' || isIP(externalName) !== 0) return undefined;
  return { answers: [{ name, ttl, type: 'CNAME', data: externalName }], target: externalName };
}

function lookUpBareName(
  service: ServiceFacts,
  slices: readonly SliceFacts[],
  question: Question,
  config: ZoneConfig,
): Found {
  const { name, type } = question;
  if (type === recordTypes.SRV) return srvRecords(service, slices, () => true, question, config);
  const addresses = service.kind === 'headless' ? endpointAddresses(slices, () => true) : service.addresses;
  return found(addressRecords(name, type, addresses, config.ttl));
}

function lookUpEndpoint(
  label: string,
  slices: readonly SliceFacts[],
  { name, type }: Question,
  { ttl }: ZoneConfig,
): Found | undefined {
  const addresses = endpointAddresses(slices, (endpoint) => endpoint.label === label);
  return addresses.length === 0 ? undefined : found(addressRecords(name, type, addresses, ttl));
}

function endpointAddresses(slices: readonly SliceFacts[], isWanted: (endpoint: EndpointFacts) => boolean): string[] {
  const addresses = new Set<string>();
  for (const { endpoints } of slices) {
    for (const endpoint of endpoints) if (isWanted(endpoint)) addresses.add(endpoint.address);
  }
  return [...addresses];
}

/** One for each port of a Service with an address of its own, else for each port of each endpoint. */
function srvRecords(
  service: ServiceFacts,
  slices: readonly SliceFacts[],
  isWanted: (port: PortFacts) => boolean,
  { name }: Question,
  config: ZoneConfig,
): Found {
  const { ttl } = config;
  const own = serviceName(service, config);
  const addresses = new Map<string, Set<string>>();
  const targets = new Map<string, { target: string; port: number }>();
  const add = (target: string, address: readonly string[], ports: readonly PortFacts[]): void => {
    for (const { port } of ports.filter(isWanted)) {
      targets.set(`${target}:${port}`, { target, port });
      addresses.set(target, new Set([...(addresses.get(target) ?? []), ...address]));
    }
  };
  if (service.kind === 'cluster-ip') add(own, service.addresses, service.ports);
  else {
    for (const { endpoints, ports } of slices) {
      for (const { label, address } of endpoints) add(`${label}.${own}`, [address], ports);
    }
  }
  const weight = Math.max(1, Math.floor(weightTotal / targets.size));
  return {
    answers: [...targets.values()].map(({ target, port }): DnsRecord => ({
      name,
      ttl,
      type: 'SRV',
      data: { priority: 0, weight, port, target },
    })),
    additionals: [...addresses].flatMap(([target, list]) => allAddressRecords(target, [...list], ttl)),
  };
}
