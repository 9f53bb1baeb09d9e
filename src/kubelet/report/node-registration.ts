/** The Node object of the first contact: what is created, and what is mended in one that is there already. Pure. */
import type { Node, Taint } from '../../objects/generated/core-v1.ts';
import { isHugepages } from '../../objects/resource-list.ts';

export interface NodeIdentity {
  nodeName: string;
  /** As Go names it. */
  architecture: string;
  nodeLabels: Readonly<Record<string, string>>;
  registerWithTaints: readonly Taint[];
  providerId: string;
  enableControllerAttachDetach: boolean;
  cloudProvider: '' | 'external';
  /** Concrete addresses from `--node-ip`. */
  nodeIps: readonly string[];
}

const attachDetachAnnotation = 'volumes.kubernetes.io/controller-managed-attach-detach';
const providedIpAnnotation = 'alpha.kubernetes.io/provided-node-ip';

/** Labels that a restarted kubelet sets again; others given by flag are set at creation only. */
const defaultLabels = [
  'kubernetes.io/hostname',
  'topology.kubernetes.io/zone',
  'topology.kubernetes.io/region',
  'failure-domain.beta.kubernetes.io/zone',
  'failure-domain.beta.kubernetes.io/region',
  'node.kubernetes.io/instance-type',
  'beta.kubernetes.io/instance-type',
  'kubernetes.io/os',
  'kubernetes.io/arch',
  'beta.kubernetes.io/os',
  'beta.kubernetes.io/arch',
];

/** Without a status: the setters of `node-status.ts` fill it. */
export function initialNode(identity: NodeIdentity): Node {
  const { nodeName, architecture, nodeLabels, registerWithTaints, providerId, cloudProvider } = identity;
  const taints = [...registerWithTaints];
  if (cloudProvider === 'external') {
    taints.push({ key: 'node.cloudprovider.kubernetes.io/uninitialized', value: 'true', effect: 'NoSchedule' });
  }
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {
      name: nodeName,
      labels: {
        'beta.kubernetes.io/arch': architecture,
        'beta.kubernetes.io/os': 'linux',
        'kubernetes.io/arch': architecture,
        'kubernetes.io/hostname': nodeName,
        'kubernetes.io/os': 'linux',
        ...nodeLabels,
      },
      annotations: wantedAnnotations(identity),
    },
    spec: {
      ...(providerId === '' ? {} : { providerID: providerId }),
      ...(taints.length === 0 ? {} : { taints }),
    },
    status: {},
  };
}

function wantedAnnotations(identity: NodeIdentity): Record<string, string> {
  const { enableControllerAttachDetach, cloudProvider, nodeIps } = identity;
  return {
    ...(enableControllerAttachDetach ? { [attachDetachAnnotation]: 'true' } : {}),
    ...(cloudProvider === 'external' && nodeIps.length > 0 ? { [providedIpAnnotation]: nodeIps.join(',') } : {}),
  };
}

/**
 * An existing Node with what this kubelet answers for: its annotations, the default labels, huge pages, and no
 * extended resources of device plugins that are gone. Taints are never touched again.
 *
 * @param wanted the Node that would be created, with its status
 * @param hasDeviceState whether device plugins' checkpoint survived; without it extended resources drop to 0
 */
export function reconcileNode(existing: Node, wanted: Node, hasDeviceState: boolean): Node {
  return {
    ...existing,
    metadata: {
      ...existing.metadata,
      labels: reconcileLabels(existing.metadata.labels ?? {}, wanted.metadata.labels ?? {}),
      annotations: reconcileAnnotations(existing.metadata.annotations ?? {}, wanted.metadata.annotations ?? {}),
    },
    status: {
      ...existing.status,
      capacity: reconcileResources(existing.status?.capacity, wanted.status?.capacity ?? {}, hasDeviceState),
      allocatable: reconcileResources(existing.status?.allocatable, wanted.status?.allocatable ?? {}, hasDeviceState),
    },
  };
}

function reconcileLabels(
  existing: Readonly<Record<string, string>>,
  wanted: Readonly<Record<string, string>>,
): Record<string, string> {
  const labels = { ...existing };
  for (const name of defaultLabels) {
    const value = wanted[name];
    if (value !== undefined) labels[name] = value;
    if (labels[name] === '') delete labels[name];
  }
  return labels;
}

function reconcileAnnotations(
  existing: Readonly<Record<string, string>>,
  wanted: Readonly<Record<string, string>>,
): Record<string, string> {
  const annotations = { ...existing };
  for (const name of [attachDetachAnnotation, providedIpAnnotation]) {
    const value = wanted[name];
    if (value === undefined) delete annotations[name];
    else annotations[name] = value;
  }
  return annotations;
}

function reconcileResources(
  existing: Readonly<Record<string, string>> | undefined,
  wanted: Readonly<Record<string, string>>,
  hasDeviceState: boolean,
): Record<string, string> {
  if (existing === undefined) return { ...wanted };
  const resources: Record<string, string> = {};
  for (const [name, amount] of Object.entries(existing)) {
    if (isHugepages(name)) continue; // those of the machine as it is now follow
    resources[name] = isExtendedResource(name) && !hasDeviceState ? '0' : amount;
  }
  for (const [name, amount] of Object.entries(wanted)) if (isHugepages(name)) resources[name] = amount;
  return resources;
}

/** A resource of another domain than Kubernetes' own: devices, or anything patched in by hand. */
export function isExtendedResource(name: string): boolean {
  const domain = name.includes('/') ? (name.split('/')[0] ?? '') : '';
  return (
    domain !== '' && domain !== 'kubernetes.io' && !domain.endsWith('.kubernetes.io') && !name.startsWith('requests.')
  );
}
