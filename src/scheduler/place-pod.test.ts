import { describe, expect, it } from 'vitest';
import type { Node, Pod, PodSpec } from '../objects/generated/core-v1.ts';
import { type NodeInfo, nodeInfoOf, podInfoOf } from './cache/node-info.ts';
import type { VolumeView } from './filter/volume-view.ts';
import { placePod } from './place-pod.ts';

const pod = (name: string, spec: Partial<PodSpec> = {}, labels: Record<string, string> = {}): Pod => ({
  metadata: { name, namespace: 'default', labels },
  spec: { containers: [{ name: 'c', image: 'i' }], ...spec },
});
const asking = (name: string, requests: Record<string, string>): Pod =>
  pod(name, { containers: [{ name: 'c', image: 'i', resources: { requests } }] });
const node = (name: string, more: Partial<Node['spec']> = {}, labels: Record<string, string> = {}): Node => ({
  metadata: { name, labels: { 'kubernetes.io/hostname': name, ...labels } },
  spec: more,
  status: { allocatable: { cpu: '2', memory: '4Gi', pods: '10', 'example.com/gpu': '1' } },
});
const info = (n: Node, ...pods: Pod[]): NodeInfo => nodeInfoOf(n, pods.map(podInfoOf));
/** No pod here has a claim. */
const noVolumes: VolumeView = {
  claim: () => undefined,
  volume: () => undefined,
  volumes: () => [],
  storageClass: () => undefined,
  csiNode: () => undefined,
  csiDriver: () => undefined,
  capacities: () => [],
  attachments: () => [],
};
const place = (p: Pod, nodes: NodeInfo[], namespaces: Record<string, Record<string, string>> = {}) =>
  placePod(
    podInfoOf(p),
    nodes,
    (name) => namespaces[name],
    () => 0,
    noVolumes,
  );
const hostPort = (port: number, hostIP?: string): Partial<PodSpec> => ({
  containers: [{ name: 'c', image: 'i', ports: [{ containerPort: port, hostPort: port, hostIP }] }],
});
const term = (matchLabels: Record<string, string>, topologyKey = 'kubernetes.io/hostname') => ({
  labelSelector: { matchLabels },
  topologyKey,
});
const affinity = (
  kind: 'podAffinity' | 'podAntiAffinity',
  matchLabels: Record<string, string>,
  topologyKey?: string,
) => ({
  affinity: { [kind]: { requiredDuringSchedulingIgnoredDuringExecution: [term(matchLabels, topologyKey)] } },
});
const noSchedule = { taints: [{ key: 'a', value: 'b', effect: 'NoSchedule' }] };
const spread = (maxSkew: number) => ({
  topologySpreadConstraints: [
    { maxSkew, topologyKey: 'zone', whenUnsatisfiable: 'DoNotSchedule', labelSelector: { matchLabels: { app: 'x' } } },
  ],
});

describe('placePod says why no node fits', () => {
  it.each([
    { name: 'no nodes', pod: pod('p'), nodes: [], want: 'no nodes available to schedule pods' },
    {
      name: 'too little of several things, counted per reason',
      pod: asking('p', { cpu: '3', memory: '8Gi' }),
      nodes: [info(node('a')), info(node('b'))],
      want: '0/2 nodes are available: 2 Insufficient cpu, 2 Insufficient memory.',
    },
    {
      name: 'what others asked for counts',
      pod: asking('p', { cpu: '1500m' }),
      nodes: [info(node('a'), asking('q', { cpu: '600m' }))],
      want: '0/1 nodes are available: 1 Insufficient cpu.',
    },
    {
      name: 'extended resources',
      pod: asking('p', { 'example.com/gpu': '2' }),
      nodes: [info(node('a'))],
      want: '0/1 nodes are available: 1 Insufficient example.com/gpu.',
    },
    {
      name: 'too many pods',
      pod: pod('p'),
      nodes: [info(node('a'), ...Array.from({ length: 10 }, (_, i) => pod(`q${i}`)))],
      want: '0/1 nodes are available: 1 Too many pods.',
    },
    {
      name: 'taints and cordons',
      pod: pod('p'),
      nodes: [info(node('a', noSchedule)), info(node('b', { unschedulable: true }))],
      want: '0/2 nodes are available: 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable.',
    },
    {
      name: 'node selector',
      pod: pod('p', { nodeSelector: { disk: 'ssd' } }),
      nodes: [info(node('a'))],
      want: "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
    },
    {
      name: 'host ports',
      pod: pod('p', hostPort(80, '10.0.0.1')),
      nodes: [info(node('a'), pod('q', hostPort(80)))],
      want: "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.",
    },
    {
      name: 'anti-affinity of its own',
      pod: pod('p', affinity('podAntiAffinity', { app: 'x' })),
      nodes: [info(node('a'), pod('q', {}, { app: 'x' }))],
      want: "0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules.",
    },
    {
      name: 'anti-affinity of somebody there',
      pod: pod('p', {}, { app: 'y' }),
      nodes: [info(node('a'), pod('q', affinity('podAntiAffinity', { app: 'y' })))],
      want: "0/1 nodes are available: 1 node(s) didn't satisfy existing pods anti-affinity rules.",
    },
    {
      name: 'affinity to nobody',
      pod: pod('p', affinity('podAffinity', { app: 'x' })),
      nodes: [info(node('a'))],
      want: "0/1 nodes are available: 1 node(s) didn't match pod affinity rules.",
    },
    {
      name: 'topology spread',
      pod: pod('p', spread(1), { app: 'x' }),
      nodes: [
        info(node('a', {}, { zone: '1' }), pod('q', {}, { app: 'x' })),
        info(node('b', noSchedule, { zone: '2' })),
        info(node('c')),
      ],
      want: "0/3 nodes are available: 1 node(s) didn't match pod topology spread constraints, 1 node(s) didn't match pod topology spread constraints (missing required label), 1 node(s) had untolerated taint(s).",
    },
    {
      name: 'a rule that we do not know, by name',
      pod: pod('p', { resourceClaims: [{ name: 'gpu' }] }),
      nodes: [info(node('a'))],
      want: '0/1 nodes are available: this scheduler does not support spec.resourceClaims.',
    },
  ])('$name', ({ pod: p, nodes, want }) => {
    expect(place(p, nodes)).toMatchObject({ kind: 'none', message: want });
  });
});

describe('placePod finds a node', () => {
  it.each([
    { name: 'the only one', pod: pod('p'), nodes: [info(node('a'))], want: 'a' },
    {
      name: 'the emptier one',
      pod: asking('p', { cpu: '100m' }),
      nodes: [info(node('a'), asking('q', { cpu: '1', memory: '2Gi' })), info(node('b'))],
      want: 'b',
    },
    {
      name: 'a toleration opens a tainted one',
      pod: pod('p', { tolerations: [{ key: 'a', operator: 'Exists' }] }),
      nodes: [info(node('a', noSchedule))],
      want: 'a',
    },
    {
      name: 'not the one with a taint to be avoided',
      pod: pod('p'),
      nodes: [
        info(node('a', { taints: [{ key: 'x', effect: 'PreferNoSchedule' }] })),
        info(node('b'), asking('q', { cpu: '1' })),
      ],
      want: 'b',
    },
    {
      name: 'preferred node affinity',
      pod: pod('p', {
        affinity: {
          nodeAffinity: {
            preferredDuringSchedulingIgnoredDuringExecution: [
              { weight: 10, preference: { matchExpressions: [{ key: 'disk', operator: 'In', values: ['ssd'] }] } },
            ],
          },
        },
      }),
      nodes: [info(node('a')), info(node('b', {}, { disk: 'ssd' }), asking('q', { cpu: '100m' }))],
      want: 'b',
    },
    {
      name: 'the node named in matchFields',
      pod: pod('p', {
        affinity: {
          nodeAffinity: {
            requiredDuringSchedulingIgnoredDuringExecution: {
              nodeSelectorTerms: [{ matchFields: [{ key: 'metadata.name', operator: 'In', values: ['b'] }] }],
            },
          },
        },
      }),
      nodes: [info(node('a')), info(node('b'))],
      want: 'b',
    },
    {
      name: 'the first of a group that wants to be together',
      pod: pod('p', affinity('podAffinity', { app: 'x' }), { app: 'x' }),
      nodes: [info(node('a'))],
      want: 'a',
    },
    {
      name: 'beside its friend in the same zone',
      pod: pod('p', affinity('podAffinity', { app: 'x' }, 'zone')),
      nodes: [info(node('a', {}, { zone: '1' })), info(node('b', {}, { zone: '2' }), pod('q', {}, { app: 'x' }))],
      want: 'b',
    },
    {
      name: 'the emptier zone',
      pod: pod('p', spread(1), { app: 'x' }),
      nodes: [info(node('a', {}, { zone: '1' }), pod('q', {}, { app: 'x' })), info(node('b', {}, { zone: '2' }))],
      want: 'b',
    },
    {
      name: 'another address for the same port',
      pod: pod('p', hostPort(80, '10.0.0.1')),
      nodes: [info(node('a'), pod('q', hostPort(80, '10.0.0.2')))],
      want: 'a',
    },
  ])('$name', ({ pod: p, nodes, want }) => {
    expect(place(p, nodes)).toMatchObject({ kind: 'node', node: { metadata: { name: want } } });
  });

  it('anti-affinity looks at the namespaces that it names', () => {
    const other = { ...pod('q', {}, { app: 'x' }), metadata: { name: 'q', namespace: 'other', labels: { app: 'x' } } };
    const plain = pod('p', affinity('podAntiAffinity', { app: 'x' }));
    expect(place(plain, [info(node('a'), other)])).toMatchObject({ kind: 'node' });
    const wide = pod('p', {
      affinity: {
        podAntiAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: [
            { ...term({ app: 'x' }), namespaceSelector: { matchLabels: { team: 'a' } } },
          ],
        },
      },
    });
    expect(place(wide, [info(node('a'), other)], { other: { team: 'a' } })).toMatchObject({ kind: 'none' });
    expect(place(wide, [info(node('a'), other)], { other: { team: 'b' } })).toMatchObject({ kind: 'node' });
  });
});
