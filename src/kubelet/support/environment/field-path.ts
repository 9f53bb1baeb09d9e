/** The values that a pod's own fields and resources have for its containers. Pure. */
import type { Container, Pod, ResourceFieldSelector } from '../../../objects/generated/core-v1.ts';
import { podLimits } from '../../../objects/qos.ts';
import {
  type Quantity,
  parseQuantity,
  quantityOf,
  toBigValue,
  toMilli,
  zeroQuantity,
} from '../../../objects/quantity.ts';
import { isHugepages, parseResources } from '../../../objects/resource-list.ts';
import { uidOf } from '../../pod-model.ts';
import { goQuote } from '../../../base/go-quote.ts';

/** What of a pod lies outside its object. */
export interface PodAddresses {
  /** One per IP family, the node's primary family first. Of a host-network pod: the host's. */
  podIps: readonly string[];
  /** InternalIPs before ExternalIPs, as the node lists them; empty while the node knows none. */
  hostIps: readonly string[];
}

/**
 * A field for an environment variable.
 * @throws {Error} in upstream's words for a field that there is not, or while the node knows no address
 */
export function environmentField(pod: Pod, path: string, { podIps, hostIps }: PodAddresses): string {
  switch (path) {
    case 'spec.nodeName':
    case 'spec.host':
      return pod.spec.nodeName ?? '';
    case 'spec.serviceAccountName':
      return pod.spec.serviceAccountName ?? '';
    case 'status.hostIP':
      return knownHostIps(hostIps)[0] ?? '';
    case 'status.hostIPs':
      return knownHostIps(hostIps).join(',');
    case 'status.podIP':
      return podIps[0] ?? '';
    case 'status.podIPs':
      return podIps.join(',');
    case 'metadata.labels':
    case 'metadata.annotations':
      throw new Error(`field label not supported: ${path}`);
    default:
      if (!path.startsWith('metadata.')) throw new Error(`field label not supported: ${path}`);
      return metadataField(pod, path);
  }
}

/** The first address, and the first one of the other family. */
function knownHostIps(hostIps: readonly string[]): string[] {
  const [first] = hostIps;
  if (first === undefined) throw new Error('host IP unknown; known addresses: []');
  const other = hostIps.find((ip) => ip.includes(':') !== first.includes(':'));
  return other === undefined ? [first] : [first, other];
}

/** A field for a file of a downward API volume. @throws {Error} `unsupported fieldPath: …` */
export function metadataField(pod: Pod, path: string): string {
  const subscripted = /^(.*?)\['(.*)'\]$/s.exec(path);
  if (subscripted !== null) {
    const [, base = '', key = ''] = subscripted;
    const values = mapField(pod, base);
    if (values === undefined) throw new Error(`fieldPath "${path}" does not support subscript`);
    checkSubscript(path, base, key);
    return values[key] ?? '';
  }
  const values = mapField(pod, path);
  if (values !== undefined) return formatMap(values);
  switch (path) {
    case 'metadata.name':
      return pod.metadata.name;
    case 'metadata.namespace':
      return pod.metadata.namespace ?? '';
    case 'metadata.uid':
      return uidOf(pod);
    default:
      throw new Error(`unsupported fieldPath: ${path}`);
  }
}

function mapField(pod: Pod, path: string): Record<string, string> | undefined {
  if (path === 'metadata.labels') return pod.metadata.labels ?? {};
  if (path === 'metadata.annotations') return pod.metadata.annotations ?? {};
  return undefined;
}

/** Annotation keys are compared in lower case when they are checked, so both cases pass. */
function checkSubscript(path: string, base: string, key: string): void {
  const shown = base === 'metadata.annotations' ? key.toLowerCase() : key;
  const [name = '', prefix, ...more] = shown.split('/').toReversed();
  const isName = /^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/.test(name) && name.length <= 63;
  const isPrefix = prefix === undefined || (prefix.length <= 253 && /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/.test(prefix));
  if (!isName || !isPrefix || more.length > 0)
    throw new Error(`invalid key subscript in ${path}: not a qualified name`);
}

/** `key="value"` lines, sorted by key; no newline at the end. */
export function formatMap(values: Record<string, string>): string {
  return Object.keys(values)
    .toSorted()
    .map((key) => `${key}=${goQuote(values[key] ?? '')}`)
    .join('\n');
}

export interface ResourceOptions {
  /** What pods may use of the node, by resource. */
  nodeAllocatable: Record<string, string>;
  /** The container that asks, when the selector names none. */
  container?: Container;
  /** Environment variables take the pod's own limit before the node's amount; files don't. */
  usesPodLimits: boolean;
}

/** A resource of a container as a whole number. @throws {Error} in upstream's words */
export function resourceField(pod: Pod, selector: ResourceFieldSelector, options: ResourceOptions): string {
  const { containerName = '', resource, divisor } = selector;
  const container = containerName === '' ? options.container : findContainer(pod, containerName);
  if (container === undefined) throw new Error(`container ${containerName} not found`);
  const [list, name] = splitResource(resource);
  const unit = divisor === undefined || divisor === '' ? zeroQuantity : parseQuantity(divisor);
  const stated = parseResources(container.resources?.[list])[name] ?? zeroQuantity;
  const isInit = pod.spec.initContainers?.some((init) => init.name === containerName) === true;
  const isDefaulted = list === 'limits' && !isHugepages(name) && stated.nano === 0n && !isInit;
  const amount = isDefaulted ? defaultLimit(pod, name, options) : stated;
  return divide(name, amount, unit.nano === 0n ? quantityOf(1) : unit);
}

function splitResource(resource: string): ['limits' | 'requests', string] {
  const dot = resource.indexOf('.');
  const list = resource.slice(0, dot);
  const name = resource.slice(dot + 1);
  const isKnown = ['cpu', 'memory', 'ephemeral-storage'].includes(name) || isHugepages(name);
  if ((list !== 'limits' && list !== 'requests') || !isKnown) {
    throw new Error(`unsupported container resource : ${resource}`);
  }
  return [list, name];
}

function findContainer(pod: Pod, name: string): Container | undefined {
  const all = [...pod.spec.containers, ...(pod.spec.initContainers ?? [])];
  return all.find((container) => container.name === name);
}

function defaultLimit(pod: Pod, name: string, { nodeAllocatable, usesPodLimits }: ResourceOptions): Quantity {
  const ofPod = usesPodLimits && pod.spec.resources?.limits?.[name] !== undefined ? podLimits(pod)[name] : undefined;
  return ofPod ?? parseResources(nodeAllocatable)[name] ?? zeroQuantity;
}

/** Rounded up. CPU is counted in thousandths on both sides. */
function divide(name: string, amount: Quantity, unit: Quantity): string {
  const [a, b] =
    name === 'cpu' ? [BigInt(toMilli(amount)), BigInt(toMilli(unit))] : [toBigValue(amount), toBigValue(unit)];
  return String((a + b - 1n) / b);
}
