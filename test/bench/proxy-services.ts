/** The Services that the proxy's benchmark has, as the API server stores them. Pure but for their uids. */
import { randomUUID } from 'node:crypto';

export const benchNamespace = 'bench';
export const endpointsPerService = 5;
/** Where the endpoints are: all of it is the node's own, so that a server answers on any of them. */
export const endpointNetwork = '10.128.0.0/12';
export const servicePort = 80;
export const endpointPort = 8080;
export const benchNode = 'bench-node';
export const nodeIp = '10.79.0.1';
/** The one whose endpoint changes. */
export const measuredService = 'measured';
export const measuredSlice = `${measuredService}-7xk2p`;
export const measuredClusterIp = '10.96.0.5';

const endpointBase = (10 << 24) | (128 << 16);
/** Above those of all other Services. */
const measuredBase = endpointBase + 15 * 65_536;
const firstClusterIp = (10 << 24) | (96 << 16) | 256;

/** The address that the measured Service's endpoint has after so many changes. */
export const measuredEndpoint = (change: number): string => dotted(measuredBase + 1 + change);

export const clusterIpOf = (index: number): string => dotted(firstClusterIp + index);

const createdAt = '2026-01-01T00:00:00Z';

/** The keys and values of Services `from` to `to` (not included) and their slices, below `/registry`. */
export function storedServices(from: number, to: number): Array<{ key: string; value: string }> {
  return Array.from({ length: to - from }, (_, i) => from + i).flatMap((index) => {
    const first = endpointBase + 1 + index * endpointsPerService;
    const ips = Array.from({ length: endpointsPerService }, (__, i) => dotted(first + i));
    return storedService(`service-${index}`, `service-${index}-7xk2p`, clusterIpOf(index), ips);
  });
}

/** The node that the proxy runs on: NodePorts answer on its addresses. */
export function storedNode(): { key: string; value: string } {
  const node = {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: benchNode, uid: randomUUID(), creationTimestamp: createdAt },
    spec: { podCIDR: '10.244.0.0/24', podCIDRs: ['10.244.0.0/24'] },
    status: { addresses: [{ type: 'InternalIP', address: nodeIp }] },
  };
  return { key: `/registry/minions/${benchNode}`, value: JSON.stringify(node) };
}

export function storedMeasured(): Array<{ key: string; value: string }> {
  return storedService(measuredService, measuredSlice, measuredClusterIp, [measuredEndpoint(0)]);
}

function storedService(
  name: string,
  sliceName: string,
  clusterIp: string,
  ips: readonly string[],
): Array<{ key: string; value: string }> {
  const service = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      namespace: benchNamespace,
      name,
      uid: randomUUID(),
      creationTimestamp: createdAt,
      labels: { app: name },
    },
    spec: {
      type: 'ClusterIP',
      clusterIP: clusterIp,
      clusterIPs: [clusterIp],
      ipFamilies: ['IPv4'],
      ipFamilyPolicy: 'SingleStack',
      internalTrafficPolicy: 'Cluster',
      sessionAffinity: 'None',
      selector: { app: name },
      ports: [{ name: 'http', protocol: 'TCP', port: servicePort, targetPort: endpointPort }],
    },
    status: { loadBalancer: {} },
  };
  const slice = {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      namespace: benchNamespace,
      name: sliceName,
      generateName: `${name}-`,
      uid: randomUUID(),
      creationTimestamp: createdAt,
      generation: 1,
      labels: {
        app: name,
        'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io',
        'kubernetes.io/service-name': name,
      },
      annotations: { 'endpoints.kubernetes.io/last-change-trigger-time': createdAt },
      ownerReferences: [
        {
          apiVersion: 'v1',
          kind: 'Service',
          name,
          uid: service.metadata.uid,
          controller: true,
          blockOwnerDeletion: true,
        },
      ],
    },
    addressType: 'IPv4',
    endpoints: ips.map((ip, i) => sliceEndpoint(ip, `${name}-${i}`)),
    ports: [{ name: 'http', protocol: 'TCP', port: endpointPort }],
  };
  return [
    { key: `/registry/services/specs/${benchNamespace}/${name}`, value: JSON.stringify(service) },
    { key: `/registry/endpointslices/${benchNamespace}/${sliceName}`, value: JSON.stringify(slice) },
  ];
}

export function sliceEndpoint(ip: string, podName: string): object {
  return {
    addresses: [ip],
    conditions: { ready: true, serving: true, terminating: false },
    nodeName: `node-${ip.at(-1)}`,
    targetRef: { kind: 'Pod', namespace: benchNamespace, name: podName, uid: randomUUID() },
  };
}

const dotted = (ip: number): string => [24, 16, 8, 0].map((shift) => (ip >>> shift) & 255).join('.');
