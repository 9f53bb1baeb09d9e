import { describe, expect, it } from 'vitest';
import { testContainer, testPod } from '../../../test/fixtures/kubelet-pods.ts';
import type { Node, PodSpec } from '../../objects/generated/core-v1.ts';
import { admitPod } from './admit-pod.ts';

const node: Node = {
  metadata: { name: 'n1', labels: { zone: 'a', 'kubernetes.io/os': 'linux' } },
  spec: {
    taints: [
      { key: 'gone', effect: 'NoExecute' },
      { key: 'full', effect: 'NoSchedule' },
    ],
  },
  status: {
    allocatable: { cpu: '2', memory: '1Gi', pods: '3', 'example.com/nic': '2' },
    features: { supplementalGroupsPolicy: false },
  },
};
const tolerant: Partial<PodSpec> = { nodeName: 'n1', tolerations: [{ key: 'gone', operator: 'Exists' }] };
const requests = (list: Record<string, string>): Partial<PodSpec> => ({
  ...tolerant,
  containers: [testContainer('web', { resources: { requests: list } })],
});
const port = (hostPort: number, more = {}): Partial<PodSpec> => ({
  ...tolerant,
  containers: [testContainer('web', { ports: [{ containerPort: 80, hostPort, ...more }] })],
});
const other = (spec: Partial<PodSpec> = {}) => testPod(spec, { uid: 'other', name: 'other' });

describe('admitPod', () => {
  it.each([
    { name: 'a pod that fits', pod: testPod(tolerant) },
    {
      name: 'nobody knows the node',
      pod: testPod(),
      node: undefined,
      want: ['InvalidNodeInfo', 'Kubelet cannot get node info.'],
    },
    {
      name: 'one pod too many',
      pod: testPod(tolerant),
      others: [other(), other(), other()],
      want: ['OutOfpods', "Node didn't have enough resource: pods, requested: 1, used: 3, capacity: 3"],
    },
    {
      name: 'CPU in milli',
      pod: testPod(requests({ cpu: '1500m' })),
      others: [other(requests({ cpu: '600m' }))],
      want: ['OutOfcpu', "Node didn't have enough resource: cpu, requested: 1500, used: 600, capacity: 2000"],
    },
    { name: 'exactly all CPU', pod: testPod(requests({ cpu: '1400m' })), others: [other(requests({ cpu: '600m' }))] },
    {
      name: 'memory in bytes',
      pod: testPod(requests({ memory: '2Gi' })),
      want: [
        'OutOfmemory',
        "Node didn't have enough resource: memory, requested: 2147483648, used: 0, capacity: 1073741824",
      ],
    },
    {
      name: 'a resource of others that the node has',
      pod: testPod(requests({ 'example.com/nic': '2' })),
      others: [other(requests({ 'example.com/nic': '1' }))],
      want: [
        'OutOfexample.com/nic',
        "Node didn't have enough resource: example.com/nic, requested: 2, used: 1, capacity: 2",
      ],
    },
    {
      name: 'a resource of Kubernetes that the node does not list is not there',
      pod: testPod(requests({ 'ephemeral-storage': '1Ki' })),
      want: [
        'OutOfephemeral-storage',
        "Node didn't have enough resource: ephemeral-storage, requested: 1024, used: 0, capacity: 0",
      ],
    },
    {
      name: 'huge pages that the node does not list are not there',
      pod: testPod(requests({ 'hugepages-2Mi': '2Mi' })),
      want: [
        'OutOfhugepages-2Mi',
        "Node didn't have enough resource: hugepages-2Mi, requested: 2097152, used: 0, capacity: 0",
      ],
    },
    {
      name: 'pods come before cpu, cpu before memory, however the pod orders them',
      pod: testPod(requests({ memory: '2Gi', cpu: '3' })),
      others: [other(), other()],
      want: ['OutOfcpu', "Node didn't have enough resource: cpu, requested: 3000, used: 0, capacity: 2000"],
    },
    { name: 'a resource the node does not know', pod: testPod(requests({ 'example.com/gpu': '1' })) },
    {
      name: 'resources that are about to be free are not looked at, the rest is',
      pod: testPod({ ...requests({ cpu: '3' }), nodeSelector: { zone: 'b' } }),
      hasRoom: true,
      want: ['NodeAffinity', "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"],
    },
    {
      name: 'affinity comes before the name, the name before ports, ports before taints',
      pod: testPod({ ...port(80), nodeName: 'n2', tolerations: [] }),
      others: [other(port(80))],
      want: ['NodeName', "Predicate NodeName failed: node(s) didn't match the requested node name"],
    },
    {
      name: 'ports come before taints',
      pod: testPod({ ...port(80), tolerations: [] }),
      others: [other(port(80))],
      want: ['NodePorts', "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports"],
    },
    {
      name: "a sidecar's port in use",
      pod: testPod(port(80)),
      others: [
        other({
          initContainers: [
            testContainer('side', { restartPolicy: 'Always', ports: [{ containerPort: 1, hostPort: 80 }] }),
          ],
        }),
      ],
      want: ['NodePorts', "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports"],
    },
    {
      name: "an init container's port, which it had only at the start",
      pod: testPod(port(80)),
      others: [other({ initContainers: [testContainer('init', { ports: [{ containerPort: 1, hostPort: 80 }] })] })],
    },
    {
      name: 'what is forbidden comes first, even before the node is known',
      pod: testPod(),
      node: undefined,
      forbidden: { reason: 'SysctlForbidden', message: 'x' },
      want: ['SysctlForbidden', 'x'],
    },
    {
      name: 'strict groups on a runtime that does not say it knows them',
      pod: testPod({ ...requests({ cpu: '3' }), securityContext: { supplementalGroupsPolicy: 'Strict' } }),
      want: ['SupplementalGroupsPolicyNotSupported', 'SupplementalGroupsPolicy=Strict is not supported in this node'],
    },
    {
      name: 'the system comes before resources',
      pod: testPod({ ...requests({ cpu: '3' }), os: { name: 'windows' } }),
      want: ['PodOSNotSupported', "Failed to admit pod as the OS field doesn't match node OS"],
    },
    {
      name: 'resources come before affinity',
      pod: testPod({ ...requests({ cpu: '3' }), nodeSelector: { zone: 'b' } }),
      want: ['OutOfcpu', "Node didn't have enough resource: cpu, requested: 3000, used: 0, capacity: 2000"],
    },
    {
      name: 'a node selector that does not match',
      pod: testPod({ ...tolerant, nodeSelector: { zone: 'b' } }),
      want: ['NodeAffinity', "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"],
    },
    {
      name: 'bound to another node',
      pod: testPod({ ...tolerant, nodeName: 'n2' }),
      want: ['NodeName', "Predicate NodeName failed: node(s) didn't match the requested node name"],
    },
    {
      name: 'a host port in use',
      pod: testPod(port(80)),
      others: [other(port(80))],
      want: ['NodePorts', "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports"],
    },
    {
      name: 'a host port on all addresses against one',
      pod: testPod(port(80)),
      others: [other(port(80, { hostIP: '10.0.0.1' }))],
      want: ['NodePorts', "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports"],
    },
    {
      name: 'the same port on two addresses',
      pod: testPod(port(80, { hostIP: '10.0.0.2' })),
      others: [other(port(80, { hostIP: '10.0.0.1' }))],
    },
    { name: 'the same port of two protocols', pod: testPod(port(80, { protocol: 'UDP' })), others: [other(port(80))] },
    {
      name: 'an untolerated NoExecute taint',
      pod: testPod({ nodeName: 'n1' }),
      want: ['TaintToleration', "Predicate TaintToleration failed: node(s) had taints that the pod didn't tolerate"],
    },
    {
      name: 'a static pod and taints',
      pod: testPod({ nodeName: 'n1' }, { annotations: { 'kubernetes.io/config.source': 'file' } }),
    },
    {
      name: "another system's label",
      pod: testPod(tolerant, { labels: { 'kubernetes.io/os': 'windows' } }),
      want: [
        'PodOSSelectorNodeLabelDoesNotMatch',
        "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label",
      ],
    },
    {
      name: "another system's field",
      pod: testPod({ ...tolerant, os: { name: 'windows' } }),
      want: ['PodOSNotSupported', "Failed to admit pod as the OS field doesn't match node OS"],
    },
    {
      name: 'what the node cannot do',
      pod: testPod(tolerant),
      unsupported: { reason: 'PodFeatureUnsupported', message: 'x' },
      want: ['PodFeatureUnsupported', 'x'],
    },
  ])('$name', ({ pod, others = [], unsupported, forbidden, hasRoom = false, want, ...rest }) => {
    const rejection = admitPod({
      pod,
      others,
      node: 'node' in rest ? rest.node : node,
      forbidden: () => forbidden,
      unsupported: () => unsupported,
      hasRoom,
    });
    expect(rejection === undefined ? undefined : [rejection.reason, rejection.message]).toEqual(want);
  });

  it('names all that is missing, and how much', () => {
    const rejection = admitPod({
      pod: testPod(requests({ memory: '2Gi', cpu: '3' })),
      others: [other(), other(), other(requests({ cpu: '500m' }))],
      node,
      forbidden: () => undefined,
      unsupported: () => undefined,
    });
    expect(rejection?.reason).toBe('OutOfpods');
    expect(rejection?.missing).toEqual([
      { resource: 'pods', amount: 1 },
      { resource: 'cpu', amount: 1500 },
      { resource: 'memory', amount: 2 ** 30 },
    ]);
  });
});
