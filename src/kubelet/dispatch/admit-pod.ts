/** Whether this node takes a pod. Pure: the first refusal counts, with upstream's reason and text. */
import type { Node, Pod } from '../../objects/generated/core-v1.ts';
import { matchesNodeAffinity } from '../../objects/node-selector.ts';
import { podRequests } from '../../objects/qos.ts';
import { milliOf, toMilli, zeroQuantity } from '../../objects/quantity.ts';
import { untoleratedTaint } from '../../objects/tolerations.ts';
import { isStaticPod } from '../pod-model.ts';

export interface Rejection {
  reason: string;
  message: string;
}

export interface AdmitInput {
  pod: Pod;
  /** The pods that hold resources here already. */
  others: readonly Pod[];
  /** The node as the API or, without one, this kubelet has it; undefined when nobody has. */
  node: Node | undefined;
  /** What the node cannot do for this pod, by name: unsupported volumes and fields. */
  unsupported(pod: Pod): Rejection | undefined;
}

export function admitPod(input: AdmitInput): Rejection | undefined {
  const { pod, node } = input;
  if (node === undefined) return { reason: 'InvalidNodeInfo', message: 'Kubelet cannot get node info.' };
  return (
    resourcesFit(input, node) ??
    nodeFits(input, node) ??
    taintsTolerated(pod, node) ??
    osFits(pod) ??
    input.unsupported(pod)
  );
}

function resourcesFit({ pod, others }: AdmitInput, node: Node): Rejection | undefined {
  const allocatable = node.status?.allocatable ?? {};
  const maxPods = milliOf(allocatable['pods']) / 1000;
  if (others.length + 1 > maxPods) return outOf('pods', 1, others.length, maxPods);
  const requests = Object.entries(podRequests(pod)).map(([name, quantity]) => ({ name, milli: toMilli(quantity) }));
  for (const { name, milli } of requests) {
    const capacity = allocatable[name];
    if (milli === 0 || capacity === undefined) continue; // resources that the node does not know are not its business
    const usedMilli = others.reduce((sum, other) => sum + toMilli(podRequests(other)[name] ?? zeroQuantity), 0);
    const capacityMilli = milliOf(capacity);
    if (milli + usedMilli > capacityMilli) {
      const unit = name === 'cpu' ? 1 : 1000;
      return outOf(name, milli / unit, usedMilli / unit, capacityMilli / unit);
    }
  }
  return undefined;
}

function outOf(resource: string, requested: number, used: number, capacity: number): Rejection {
  return {
    reason: `OutOf${resource}`,
    message: `Node didn't have enough resource: ${resource}, requested: ${requested}, used: ${used}, capacity: ${capacity}`,
  };
}

function nodeFits({ pod, others }: AdmitInput, node: Node): Rejection | undefined {
  if (!matchesNodeAffinity(pod, node)) {
    return {
      reason: 'NodeAffinity',
      message: "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
    };
  }
  if (pod.spec.nodeName && pod.spec.nodeName !== node.metadata.name) {
    return { reason: 'NodeName', message: "Predicate NodeName failed: node(s) didn't match the requested node name" };
  }
  const wanted = hostPorts(pod);
  if (
    wanted.length > 0 &&
    others.some((other) => hostPorts(other).some((used) => wanted.some((port) => portsClash(port, used))))
  ) {
    return {
      reason: 'NodePorts',
      message: "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports",
    };
  }
  return undefined;
}

interface HostPort {
  protocol: string;
  hostIp: string;
  port: number;
}

function hostPorts(pod: Pod): HostPort[] {
  return pod.spec.containers.flatMap(({ ports }) =>
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

/** Only `NoExecute` counts here: `NoSchedule` is the scheduler's business. Static pods run whatever taints there are. */
function taintsTolerated(pod: Pod, node: Node): Rejection | undefined {
  if (isStaticPod(pod)) return undefined;
  return untoleratedTaint(node.spec.taints ?? [], pod.spec.tolerations ?? [], ['NoExecute']) === undefined
    ? undefined
    : {
        reason: 'TaintToleration',
        message: "Predicate TaintToleration failed: node(s) had taints that the pod didn't tolerate",
      };
}

function osFits(pod: Pod): Rejection | undefined {
  const label = pod.metadata.labels?.['kubernetes.io/os'];
  if (label !== undefined && label !== 'linux') {
    return {
      reason: 'PodOSSelectorNodeLabelDoesNotMatch',
      message: "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label",
    };
  }
  if (pod.spec.os !== undefined && pod.spec.os.name !== 'linux') {
    return { reason: 'PodOSNotSupported', message: "Failed to admit pod as the OS field doesn't match node OS" };
  }
  return undefined;
}
