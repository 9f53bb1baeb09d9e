/** A Service object as the ports that the proxy serves in one family. Pure. */
import type { Service } from '../../objects/generated/core-v1.ts';
import { familyOfIp, plainCidr, plainIp } from '../compute/ip-ranges.ts';
import type { IpFamily, Protocol, ServicePort } from '../proxy-model.ts';

/** Upstream's default of `sessionAffinityConfig.clientIP.timeoutSeconds`: three hours. */
const affinitySecondsDefault = 10_800;

/** What may stand in a rule's comment; the API lets nothing else through. */
const safeName = /^[\w.-]*$/;

/** One for all: most Services have no such addresses. */
const none: readonly string[] = [];

/** Empty for a Service that no proxy serves: headless, ExternalName, another family, another proxy's. */
export function servicePorts(service: Service, family: IpFamily): ServicePort[] {
  const { metadata, spec, status } = service;
  if (spec.type === 'ExternalName') return [];
  if (spec.clusterIP === undefined || spec.clusterIP === '' || spec.clusterIP === 'None') return [];
  const clusterIp = clusterIpOf(service, family);
  if (clusterIp === undefined) return [];

  const { namespace = '', name } = metadata;
  const type = spec.type ?? 'ClusterIP';
  const ofFamily = (ips: ReadonlyArray<string | undefined>): string[] =>
    ips
      .map((ip) => plainIp(ip ?? ''))
      .filter((ip) => ip !== undefined)
      .filter((ip) => familyOfIp(ip) === family);
  const externalIps = shared(ofFamily(spec.externalIPs ?? []));
  const isExternalPolicyLocal =
    spec.externalTrafficPolicy === 'Local' &&
    (type === 'NodePort' || type === 'LoadBalancer' || (type === 'ClusterIP' && externalIps.length > 0));
  const common = {
    namespace,
    name,
    clusterIp,
    externalIps,
    loadBalancerIps: shared(
      ofFamily(
        (status?.loadBalancer?.ingress ?? []).filter(({ ipMode }) => (ipMode ?? 'VIP') === 'VIP').map(({ ip }) => ip),
      ),
    ),
    sourceRanges: shared(sourceRangesOf(spec.loadBalancerSourceRanges ?? [], family)),
    affinitySeconds:
      spec.sessionAffinity === 'ClientIP'
        ? (spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? affinitySecondsDefault)
        : undefined,
    isExternalPolicyLocal,
    isInternalPolicyLocal: spec.internalTrafficPolicy === 'Local',
    healthCheckNodePort:
      type === 'LoadBalancer' && spec.externalTrafficPolicy === 'Local' ? (spec.healthCheckNodePort ?? 0) : 0,
  };
  const ports: ServicePort[] = [];
  for (const port of spec.ports ?? []) {
    const protocol = protocolOf(port.protocol);
    const portName = port.name ?? '';
    if (protocol === undefined || ![namespace, name, portName].every((text) => safeName.test(text))) continue;
    ports.push({ ...common, portName, protocol, port: port.port, nodePort: port.nodePort ?? 0 });
  }
  return ports;
}

const shared = (list: readonly string[]): readonly string[] => (list.length === 0 ? none : list);

/** TCP where nothing is said; undefined for what the kernel's rules have no word for. */
export function protocolOf(protocol: string | undefined): Protocol | undefined {
  const name = (protocol ?? 'TCP').toLowerCase();
  return name === 'tcp' || name === 'udp' || name === 'sctp' ? name : undefined;
}

function clusterIpOf({ spec }: Service, family: IpFamily): string | undefined {
  const families = spec.ipFamilies ?? [];
  const index = families.indexOf(family);
  const ip = families.length === 0 ? spec.clusterIP : index < 0 ? undefined : (spec.clusterIPs ?? [])[index];
  const found = plainIp(ip ?? (index === 0 ? spec.clusterIP : undefined) ?? '');
  return found !== undefined && familyOfIp(found) === family ? found : undefined;
}

/** A range that covers everything makes the list say nothing. */
function sourceRangesOf(ranges: readonly string[], family: IpFamily): string[] {
  const cidrs = ranges.map((range) => plainCidr(range.trim())).filter((cidr) => cidr?.family === family);
  return cidrs.some((cidr) => cidr?.prefix === 0) ? [] : cidrs.map((cidr) => cidr?.text ?? '');
}

export function isSamePorts(a: readonly ServicePort[], b: readonly ServicePort[]): boolean {
  return a === b || (a.length === b.length && a.every((port, i) => isSamePort(port, b[i])));
}

function isSamePort(a: ServicePort, b: ServicePort | undefined): boolean {
  return (
    a.portName === b?.portName &&
    a.protocol === b.protocol &&
    a.clusterIp === b.clusterIp &&
    a.port === b.port &&
    a.nodePort === b.nodePort &&
    a.affinitySeconds === b.affinitySeconds &&
    a.isExternalPolicyLocal === b.isExternalPolicyLocal &&
    a.isInternalPolicyLocal === b.isInternalPolicyLocal &&
    a.healthCheckNodePort === b.healthCheckNodePort &&
    isSameList(a.externalIps, b.externalIps) &&
    isSameList(a.loadBalancerIps, b.loadBalancerIps) &&
    isSameList(a.sourceRanges, b.sourceRanges)
  );
}

const isSameList = (a: readonly string[], b: readonly string[]): boolean =>
  a === b || (a.length === b.length && a.every((text, i) => text === b[i]));
