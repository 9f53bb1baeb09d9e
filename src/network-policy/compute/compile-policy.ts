/** A NetworkPolicy of the API as it is enforced, with every problem by name. Pure. */
import type { NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort } from '../../objects/generated/networking-v1.ts';
import type { LabelSelector } from '../../objects/generated/meta-v1.ts';
import { type LabelRequirement, labelSelectorRequirements } from '../../objects/label-selector.ts';
import { objectKey } from '../../objects/object-key.ts';
import type { IpRange, PodPeer, Policy, PolicyRule, PortRange, Protocol } from '../network-policy-model.ts';
import { cidrRange, mergeRanges, withoutRanges } from './ip-ranges.ts';

interface ApiRule {
  peers: readonly NetworkPolicyPeer[] | undefined;
  ports: readonly NetworkPolicyPort[] | undefined;
}

const protocols: readonly string[] = ['TCP', 'UDP', 'SCTP'] satisfies Protocol[];
const isProtocol = (text: string): text is Protocol => protocols.includes(text);

/**
 * An API server lets only sound policies pass. Where one comes that is not, or that a newer API allows, the part that
 * cannot be understood allows nothing: a rule, a peer or a port. A `podSelector` that cannot be read selects all.
 */
export function compilePolicy(object: NetworkPolicy): Policy {
  const { metadata, spec = {} } = object;
  const problems: string[] = [];
  const types = spec.policyTypes ?? [];
  for (const type of types) {
    if (type !== 'Ingress' && type !== 'Egress') problems.push(`spec.policyTypes: "${type}" is not known`);
  }
  const isFor = (type: 'Ingress' | 'Egress', byDefault: boolean): boolean =>
    types.length === 0 ? byDefault : types.includes(type);
  const namespace = metadata.namespace ?? '';
  const rules = (field: string, list: readonly ApiRule[]): PolicyRule[] =>
    list.map((rule, i) => compileRule(`${field}[${i}]`, rule, namespace, problems));
  return {
    key: objectKey(object),
    namespace,
    name: metadata.name,
    uid: metadata.uid,
    selector: requirements('spec.podSelector', spec.podSelector ?? {}, problems) ?? [],
    ingress: isFor('Ingress', true)
      ? rules(
          'spec.ingress',
          (spec.ingress ?? []).map(({ from, ports }) => ({ peers: from, ports })),
        )
      : undefined,
    egress: isFor('Egress', (spec.egress ?? []).length > 0)
      ? rules(
          'spec.egress',
          (spec.egress ?? []).map(({ to, ports }) => ({ peers: to, ports })),
        )
      : undefined,
    problems,
  };
}

function compileRule(field: string, { peers, ports }: ApiRule, namespace: string, problems: string[]): PolicyRule {
  const peerField = field.startsWith('spec.ingress') ? 'from' : 'to';
  return {
    peers: isEmpty(peers)
      ? undefined
      : peers
          .map((peer, i) => compilePeer(`${field}.${peerField}[${i}]`, peer, namespace, problems))
          .reduce(
            (all, one) => ({
              pods: [...all.pods, ...one.pods],
              blocks: mergeRanges([...all.blocks, ...one.blocks]),
            }),
            { pods: [], blocks: [] },
          ),
    ports: isEmpty(ports) ? undefined : compilePorts(`${field}.ports`, ports, problems),
  };
}

function isEmpty<T>(list: readonly T[] | undefined): list is undefined {
  return list === undefined || list.length === 0;
}

function compilePeer(
  field: string,
  { ipBlock, namespaceSelector, podSelector }: NetworkPolicyPeer,
  namespace: string,
  problems: string[],
): { pods: PodPeer[]; blocks: IpRange[] } {
  const nobody = { pods: [], blocks: [] };
  if (ipBlock !== undefined) {
    const block = cidrRange(ipBlock.cidr);
    const holes = (ipBlock.except ?? []).map(cidrRange);
    if (block === undefined || namespaceSelector !== undefined || podSelector !== undefined) {
      problems.push(`${field}: "${ipBlock.cidr}" is no CIDR, or selectors stand beside it`);
      return nobody;
    }
    const sound = holes.filter((hole) => hole !== undefined);
    if (sound.length < holes.length) {
      problems.push(`${field}.ipBlock.except: not all are CIDRs`);
      return nobody;
    }
    return { pods: [], blocks: withoutRanges(block, sound) };
  }
  if (namespaceSelector === undefined && podSelector === undefined) {
    problems.push(`${field}: it names nobody that is known`);
    return nobody;
  }
  const pods = requirements(`${field}.podSelector`, podSelector ?? {}, problems);
  const inNamespaces =
    namespaceSelector === undefined
      ? namespace
      : requirements(`${field}.namespaceSelector`, namespaceSelector, problems);
  return pods === undefined || inNamespaces === undefined
    ? nobody
    : { pods: [{ namespace: inNamespaces, pods }], blocks: [] };
}

function compilePorts(
  field: string,
  ports: readonly NetworkPolicyPort[],
  problems: string[],
): { ranges: PortRange[]; named: Array<{ name: string; protocol: Protocol }> } {
  const ranges: PortRange[] = [];
  const named: Array<{ name: string; protocol: Protocol }> = [];
  for (const [i, { protocol: word = 'TCP', port, endPort }] of ports.entries()) {
    const protocol = word === '' ? 'TCP' : word;
    if (!isProtocol(protocol)) problems.push(`${field}[${i}].protocol: "${protocol}" is not known`);
    else if (typeof port === 'string') {
      if (endPort === undefined) named.push({ name: port, protocol });
      else problems.push(`${field}[${i}].endPort: port is a name`);
    } else if (port === undefined) {
      if (endPort === undefined) ranges.push({ protocol, first: 0, last: 65_535 });
      else problems.push(`${field}[${i}].endPort: there is no port`);
    } else if (isPort(port) && (endPort === undefined || (isPort(endPort) && endPort >= port))) {
      ranges.push({ protocol, first: port, last: endPort ?? port });
    } else problems.push(`${field}[${i}]: ${port} to ${endPort ?? port} are no ports`);
  }
  return { ranges: mergePorts(ranges), named };
}

const isPort = (port: number): boolean => Number.isInteger(port) && port > 0 && port < 65_536;

function mergePorts(ranges: readonly PortRange[]): PortRange[] {
  const merged: PortRange[] = [];
  for (const range of ranges.toSorted((a, b) => a.protocol.localeCompare(b.protocol) || a.first - b.first)) {
    const before = merged.at(-1);
    if (before?.protocol === range.protocol && range.first <= before.last + 1) {
      merged[merged.length - 1] = { ...before, last: Math.max(before.last, range.last) };
    } else merged.push(range);
  }
  return merged;
}

function requirements(field: string, selector: LabelSelector, problems: string[]): LabelRequirement[] | undefined {
  try {
    return labelSelectorRequirements(selector);
  } catch (err) {
    problems.push(`${field}: ${err instanceof Error ? err.message : String(err)}`);
    return undefined;
  }
}
