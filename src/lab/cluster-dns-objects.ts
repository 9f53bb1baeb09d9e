/**
 * What the cluster's name service is in the API: the same objects as `manifests/cluster-dns.yaml` has. Pure. Whatever
 * answers behind the Service, its name, label and ports are those that everybody expects, so that CoreDNS can take the
 * place of ours.
 */
import { clusterDnsImage } from './images/cluster-dns-image.ts';

export interface ClusterDnsOptions {
  /** The Service's address, which kubelets give to pods. */
  dnsIp: string;
  domain: string;
  replicas: number;
  /** The only ones that have the image; undefined: any. */
  nodeNames?: readonly string[];
}

const namespace = 'kube-system';
const labels = { 'k8s-app': 'kube-dns' };
const name = 'cluster-dns';
const rbac = 'rbac.authorization.k8s.io';

export interface PlainObject {
  apiVersion: string;
  kind: string;
  metadata: { name: string; namespace?: string; labels?: Record<string, string>; annotations?: Record<string, string> };
  [field: string]: unknown;
}

/** In the order in which they are needed. */
export function clusterDnsObjects(options: ClusterDnsOptions): PlainObject[] {
  return [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name, namespace } },
    ...accessObjects(),
    serviceObject(options),
    deploymentObject(options),
  ];
}

/** What an API server that asks for permission has to be told. */
function accessObjects(): PlainObject[] {
  const roleName = `system:${name}`;
  const read = ['list', 'watch'];
  return [
    {
      apiVersion: `${rbac}/v1`,
      kind: 'ClusterRole',
      metadata: { name: roleName },
      rules: [
        { apiGroups: [''], resources: ['services', 'namespaces', 'pods'], verbs: read },
        { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: read },
      ],
    },
    {
      apiVersion: `${rbac}/v1`,
      kind: 'ClusterRoleBinding',
      metadata: { name: roleName },
      roleRef: { apiGroup: rbac, kind: 'ClusterRole', name: roleName },
      subjects: [{ kind: 'ServiceAccount', name, namespace }],
    },
  ];
}

function serviceObject({ dnsIp }: ClusterDnsOptions): PlainObject {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      name: 'kube-dns',
      namespace,
      labels: { ...labels, 'kubernetes.io/cluster-service': 'true', 'kubernetes.io/name': 'CoreDNS' },
      annotations: { 'prometheus.io/port': '9153', 'prometheus.io/scrape': 'true' },
    },
    spec: {
      selector: labels,
      clusterIP: dnsIp,
      ports: [
        { name: 'dns', port: 53, protocol: 'UDP', targetPort: 53 },
        { name: 'dns-tcp', port: 53, protocol: 'TCP', targetPort: 53 },
        { name: 'metrics', port: 9153, protocol: 'TCP', targetPort: 9153 },
      ],
    },
  };
}

function deploymentObject({ domain, replicas, nodeNames }: ClusterDnsOptions): PlainObject {
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, namespace, labels },
    spec: {
      replicas,
      // a new one answers before an old one goes
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } },
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: {
          priorityClassName: 'system-cluster-critical',
          serviceAccountName: name,
          tolerations: [
            { key: 'CriticalAddonsOnly', operator: 'Exists' },
            { key: 'node-role.kubernetes.io/control-plane', effect: 'NoSchedule' },
          ],
          nodeSelector: { 'kubernetes.io/os': 'linux' },
          affinity: {
            ...(nodeNames === undefined ? {} : { nodeAffinity: onlyOn(nodeNames) }),
            podAntiAffinity: {
              preferredDuringSchedulingIgnoredDuringExecution: [
                {
                  weight: 100,
                  podAffinityTerm: { labelSelector: { matchLabels: labels }, topologyKey: 'kubernetes.io/hostname' },
                },
              ],
            },
          },
          // its own name servers are those of the node: it cannot ask itself
          dnsPolicy: 'Default',
          terminationGracePeriodSeconds: 30,
          containers: [container(domain)],
        },
      },
    },
  };
}

function onlyOn(nodeNames: readonly string[]): Record<string, unknown> {
  const matchExpressions = [{ key: 'kubernetes.io/hostname', operator: 'In', values: nodeNames }];
  return { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ matchExpressions }] } };
}

function container(domain: string): Record<string, unknown> {
  return {
    name,
    image: clusterDnsImage,
    imagePullPolicy: 'IfNotPresent',
    args: [`--cluster-domain=${domain}`],
    resources: { limits: { memory: '170Mi' }, requests: { cpu: '100m', memory: '70Mi' } },
    ports: [
      { name: 'dns', containerPort: 53, protocol: 'UDP' },
      { name: 'dns-tcp', containerPort: 53, protocol: 'TCP' },
      { name: 'metrics', containerPort: 9153, protocol: 'TCP' },
    ],
    livenessProbe: {
      httpGet: { path: '/health', port: 8080 },
      initialDelaySeconds: 60,
      timeoutSeconds: 5,
      failureThreshold: 5,
    },
    readinessProbe: { httpGet: { path: '/ready', port: 8181 }, periodSeconds: 2 },
    securityContext: {
      allowPrivilegeEscalation: false,
      capabilities: { add: ['NET_BIND_SERVICE'], drop: ['ALL'] },
      readOnlyRootFilesystem: true,
    },
  };
}
