/**
 * What the cluster's own names are: the record specification, version 1.1.0. Pure: the same question and cluster, the
 * same answer. Who has no answer here says whether the name exists: a name that does, without records of the type asked
 * for, is no failure (NODATA), since resolvers that walk a search path would stop at one.
 * @see https://github.com/kubernetes/dns/blob/master/docs/specification.md
 */
import {
  type Answer,
  type ClusterRecords,
  type DnsRecord,
  type Question,
  type RecordData,
  recordTypes,
} from '../dns-model.ts';
import { addressKey, labelAddress, reverseAddress } from './address-names.ts';
import { lookUpService, serviceName } from './answer-service.ts';
import { type Found, type ZoneConfig, addressRecords, allAddressRecords, found } from './zone-model.ts';

const schemaVersion = '1.1.0';
const schemaTtl = 28_800;

/** @returns undefined when the name is not the cluster's */
export function answerZone(question: Question, records: ClusterRecords, config: ZoneConfig): Answer | undefined {
  const { name } = question;
  const { domain } = config;
  if (name === domain || name.endsWith(`.${domain}`)) {
    const labels = name === domain ? [] : name.slice(0, -domain.length - 1).split('.');
    return toAnswer(question, lookUp(labels.toReversed(), question, records, config), domain, records, config);
  }
  const address = reverseAddress(name);
  const names = address === undefined ? [] : reverseNames(address, records, config);
  if (names.length === 0) return undefined; // somebody else's address
  const answers = question.type === recordTypes.PTR ? names.map((data) => record(name, config, 'PTR', data)) : [];
  const zone = name.endsWith('.ip6.arpa') ? 'ip6.arpa' : 'in-addr.arpa';
  return toAnswer(question, { answers }, zone, records, config);
}

/** @param labels from the zone's on: `svc`, `default`, `kubernetes` */
function lookUp(
  labels: readonly string[],
  question: Question,
  records: ClusterRecords,
  config: ZoneConfig,
): Found | undefined {
  const [first, second] = labels;
  const { name, type } = question;
  const isOnly = labels.length === 1;
  switch (first) {
    case undefined:
      return lookUpApex(question, records, config);
    case 'dns-version':
      if (!isOnly) return undefined;
      return found(
        type === recordTypes.TXT ? [{ name, ttl: schemaTtl, type: 'TXT' as const, data: [schemaVersion] }] : [],
      );
    case 'dns': // there for the sake of the name server's name
      if (isOnly) return found([]);
      return second === 'ns' && labels.length === 2
        ? found(addressRecords(name, type, config.ownAddresses, config.ttl))
        : undefined;
    case 'svc':
      if (isOnly) return found([]);
      if (labels.length === 2) return records.hasNamespace(second ?? '') ? found([]) : undefined;
      return lookUpService(labels.slice(1), question, records, config);
    case 'pod':
      if (config.podMode === 'disabled') return undefined;
      if (isOnly) return found([]);
      return lookUpPod(labels.slice(1), question, records, config);
    default:
      return undefined;
  }
}

function lookUpApex({ name, type }: Question, records: ClusterRecords, config: ZoneConfig): Found {
  if (type === recordTypes.SOA) return found([soa(name, records, config)]);
  if (type !== recordTypes.NS) return found([]);
  const servers = nameServers(records, config);
  return {
    answers: servers.map((server) => record(name, config, 'NS', server.name)),
    additionals: servers.flatMap((server) => allAddressRecords(server.name, server.addresses, config.ttl)),
  };
}

/** The Services in front of this server, or the server itself where there is none. */
function nameServers(
  records: ClusterRecords,
  config: ZoneConfig,
): Array<{ name: string; addresses: readonly string[] }> {
  const found = new Map<string, readonly string[]>();
  for (const own of config.ownAddresses) {
    for (const { service } of records.endpointsByAddress(addressKey(own) ?? '')) {
      if (service.kind === 'cluster-ip') found.set(serviceName(service, config), service.addresses);
    }
  }
  if (found.size === 0) return [{ name: `ns.dns.${config.domain}`, addresses: config.ownAddresses }];
  return [...found].map(([name, addresses]) => ({ name, addresses }));
}

function lookUpPod(
  [namespace = '', label, ...more]: readonly string[],
  { name, type }: Question,
  records: ClusterRecords,
  { podMode, ttl }: ZoneConfig,
): Found | undefined {
  if (!records.hasNamespace(namespace) || more.length > 0) return undefined;
  if (label === undefined) return found([]);
  const address = labelAddress(label);
  if (address === undefined) return undefined;
  if (podMode === 'verified' && !records.hasPod(namespace, addressKey(address) ?? '')) return undefined;
  return found(addressRecords(name, type, [address], ttl));
}

/** A Service's own address has one name. An endpoint has one in each headless Service, unless some were given to it. */
function reverseNames(address: string, records: ClusterRecords, config: ZoneConfig): string[] {
  const services = records.servicesByAddress(address);
  if (services.length > 0) return services.map((service) => serviceName(service, config));
  const endpoints = records.endpointsByAddress(address);
  const named = endpoints.filter(({ endpoint }) => endpoint.hasHostname);
  const chosen = named.length > 0 ? named : endpoints.filter(({ service }) => service.kind === 'headless');
  return [...new Set(chosen.map(({ service, endpoint }) => `${endpoint.label}.${serviceName(service, config)}`))];
}

function toAnswer(
  { name, type }: Question,
  result: Found | undefined,
  zone: string,
  records: ClusterRecords,
  config: ZoneConfig,
): Answer {
  const { answers = [], additionals = [], target } = result ?? {};
  if (result !== undefined && type === recordTypes.ANY) {
    const data = { cpu: 'RFC8482', os: '' };
    answers.splice(0, answers.length, { name, ttl: config.ttl, type: 'HINFO', data });
    additionals.splice(0);
  }
  return {
    rcode: result === undefined ? 'NXDOMAIN' : 'NOERROR',
    isAuthoritative: true,
    answers,
    authorities: answers.length === 0 ? [soa(zone, records, config)] : [],
    additionals,
    ...(target === undefined || type === recordTypes.ANY ? {} : { target }),
  };
}

function soa(zone: string, { serial }: ClusterRecords, { domain, ttl }: ZoneConfig): DnsRecord {
  const data = {
    mname: `ns.dns.${domain}`,
    rname: `hostmaster.${domain}`,
    serial,
    refresh: 7200,
    retry: 1800,
    expire: 86_400,
    minimum: ttl,
  };
  return { name: zone, ttl, type: 'SOA', data };
}

function record(
  name: string,
  { ttl }: ZoneConfig,
  type: Extract<RecordData, { data: string }>['type'],
  data: string,
): DnsRecord {
  return { name, ttl, type, data };
}
