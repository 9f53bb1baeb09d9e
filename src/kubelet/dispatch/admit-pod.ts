/**
 * Whether this node takes a pod. Pure: the first refusal counts, in upstream's order — resize, evictions, sysctls,
 * allocation of exclusive resources, the node's fit, AppArmor, resources of pods, features, shutdown. Those that this
 * kubelet has are asked here or come in as questions.
 */
import type { Node, Pod } from '../../objects/generated/core-v1.ts';
import { type Rejection, nodeFits, resourcesFit } from './fit-node.ts';

export type { Rejection } from './fit-node.ts';

export interface AdmitInput {
  pod: Pod;
  /** The pods that hold resources here already. */
  others: readonly Pod[];
  /** The node as the API or, without one, this kubelet has it; undefined when nobody has. */
  node: Node | undefined;
  /** Refusals that come before anybody looks at the node: kernel parameters. */
  forbidden(pod: Pod): Rejection | undefined;
  /** What the node cannot do for this pod, by name: security profiles, unsupported volumes and fields. */
  unsupported(pod: Pod): Rejection | undefined;
  /** Ask as if all resources were free: others are about to make room. */
  hasRoom?: boolean;
}

export function admitPod(input: AdmitInput): Rejection | undefined {
  const { pod, others, node, hasRoom = false } = input;
  const forbidden = input.forbidden(pod);
  if (forbidden !== undefined) return forbidden;
  if (node === undefined) return { reason: 'InvalidNodeInfo', message: 'Kubelet cannot get node info.' };
  return (
    osFits(pod) ??
    groupsFit(pod, node) ??
    (hasRoom ? undefined : resourcesFit(pod, others, node)) ??
    nodeFits(pod, others, node) ??
    input.unsupported(pod)
  );
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

/** Only a runtime that says so keeps a pod out of the groups that its image names. */
function groupsFit({ spec }: Pod, node: Node): Rejection | undefined {
  const isStrict = spec.securityContext?.supplementalGroupsPolicy === 'Strict';
  return isStrict && node.status?.features?.supplementalGroupsPolicy !== true
    ? {
        reason: 'SupplementalGroupsPolicyNotSupported',
        message: 'SupplementalGroupsPolicy=Strict is not supported in this node',
      }
    : undefined;
}
