/** Whether a node has room for a pod and is the right one for it. Pure: refusals with upstream's reasons and texts. */
import type { Node, Pod } from '../../objects/generated/core-v1.ts';
import { matchesNodeAffinity } from '../../objects/node-selector.ts';
import { podRequests } from '../../objects/qos.ts';
import { isHugepages } from '../../objects/resource-list.ts';
import { parseQuantity, toMilli, toValue, zeroQuantity } from '../../objects/quantity.ts';
import { untoleratedTaint } from '../../objects/tolerations.ts';
import { isSidecar, isStaticPod } from '../pod-model.ts';

export interface Rejection {
  reason: string;
  message: string;
  /** Only resources are missing, these: a critical pod may be made room for. */
  missing?: readonly Shortage[];
}

/** How much more of a resource would be needed; cpu in thousandths. */
export interface Shortage {
  resource: string;
  amount: number;
}

const predicateFailed = (name: string, why: string): Rejection => ({
  reason: name,
  message: `Predicate ${name} failed: ${why}`,
});

/** What a pod asks for of one resource; cpu in thousandths, and every pod is one of `pods`. */
export function requestOf(pod: Pod, resource: string): number {
  if (resource === 'pods') return 1;
  const requests = podRequests(pod);
  return Object.hasOwn(requests, resource) ? amountOf(resource, requests[resource] ?? zeroQuantity) : 0;
}

const amountOf = (resource: string, quantity: typeof zeroQuantity): number =>
  resource === 'cpu' ? toMilli(quantity) : toValue(quantity);

/** Looked at first, in this order; then whatever else the pod asks for. */
const firstResources = ['cpu', 'memory', 'ephemeral-storage'];

export function resourcesFit(pod: Pod, others: readonly Pod[], node: Node): Rejection | undefined {
  const allocatable = node.status?.allocatable ?? {};
  const asked = Object.keys(podRequests(pod));
  const resources = [
    'pods',
    ...firstResources.filter((name) => asked.includes(name)),
    ...asked.filter((name) => !firstResources.includes(name)).toSorted(),
  ];
  const found = resources.flatMap((resource) => {
    const text = Object.hasOwn(allocatable, resource) ? allocatable[resource] : undefined; // `constructor` is no amount
    if (text === undefined && isExtended(resource)) return []; // not this node's business
    const requested = requestOf(pod, resource);
    const used = others.reduce((sum, other) => sum + requestOf(other, resource), 0);
    const capacity = text === undefined ? 0 : amountOf(resource, parseQuantity(text));
    if (requested === 0 || requested + used <= capacity) return [];
    return [{ resource, requested, used, capacity }];
  });
  const [first] = found;
  if (first === undefined) return undefined;
  const { resource, requested, used, capacity } = first;
  return {
    reason: `OutOf${resource}`,
    message: `Node didn't have enough resource: ${resource}, requested: ${requested}, used: ${used}, capacity: ${capacity}`,
    missing: found.map((one) => ({ resource: one.resource, amount: one.requested + one.used - one.capacity })),
  };
}

/** Of somebody's own domain; all others are Kubernetes' and missing when the node does not list them. */
const isExtended = (resource: string): boolean =>
  resource.includes('/') && !resource.includes('kubernetes.io/') && !isHugepages(resource);

export function nodeFits(pod: Pod, others: readonly Pod[], node: Node): Rejection | undefined {
  if (!matchesNodeAffinity(pod, node)) {
    return predicateFailed('NodeAffinity', "node(s) didn't match Pod's node affinity/selector");
  }
  if (pod.spec.nodeName && pod.spec.nodeName !== node.metadata.name) {
    return predicateFailed('NodeName', "node(s) didn't match the requested node name");
  }
  const wanted = hostPorts(pod);
  const used = wanted.length === 0 ? [] : others.flatMap(hostPorts);
  if (wanted.some((port) => used.some((other) => portsClash(port, other)))) {
    return predicateFailed('NodePorts', "node(s) didn't have free ports for the requested pod ports");
  }
  // `NoSchedule` is the scheduler's business. Static pods run whatever taints there are.
  const taint = isStaticPod(pod)
    ? undefined
    : untoleratedTaint(node.spec.taints ?? [], pod.spec.tolerations ?? [], ['NoExecute']);
  if (taint !== undefined) {
    return predicateFailed('TaintToleration', "node(s) had taints that the pod didn't tolerate");
  }
  return undefined;
}

interface HostPort {
  protocol: string;
  hostIp: string;
  port: number;
}

/** Ports of containers that stay: init containers have theirs only while nothing else runs. */
function hostPorts({ spec }: Pod): HostPort[] {
  return [...(spec.initContainers ?? []).filter(isSidecar), ...spec.containers].flatMap(({ ports }) =>
    (ports ?? [])
      .filter(({ hostPort }) => hostPort !== undefined && hostPort > 0)
      .map(({ protocol, hostIP, hostPort }) => ({
        protocol: protocol ?? 'TCP',
        hostIp: hostIP || '0.0.0.0',
        port: hostPort ?? 0,
      })),
  );
}

function portsClash(a: HostPort, b: HostPort): boolean {
  const sameIp = a.hostIp === b.hostIp || a.hostIp === '0.0.0.0' || b.hostIp === '0.0.0.0';
  return a.port === b.port && a.protocol === b.protocol && sameIp;
}
