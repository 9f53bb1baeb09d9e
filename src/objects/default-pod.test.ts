import { describe, expect, it } from 'vitest';
import { defaultPod, defaultPullPolicy } from './default-pod.ts';
import type { Container, Pod, PodSpec } from './generated/core-v1.ts';

const pod = (spec: Partial<PodSpec>): Pod => ({
  metadata: { name: 'p' },
  spec: { containers: [{ name: 'c', image: 'x:1' }], ...spec },
});
const container = (more: Partial<Container>, spec: Partial<PodSpec> = {}): Container | undefined =>
  defaultPod(pod({ ...spec, containers: [{ name: 'c', image: 'x:1', ...more }] })).spec.containers[0];

describe('defaultPullPolicy', () => {
  it.each([
    ['web', 'Always'],
    ['web:latest', 'Always'],
    ['web:1', 'IfNotPresent'],
    ['host:5000/web', 'Always'],
    ['host:5000/web:1', 'IfNotPresent'],
    [`web@sha256:${'0'.repeat(64)}`, 'IfNotPresent'],
    [`web:latest@sha256:${'0'.repeat(64)}`, 'IfNotPresent'],
  ] as const)('%s: %s', (image, want) => expect(defaultPullPolicy(image)).toBe(want));
});

describe('defaultPod', () => {
  it('gives a bare pod what the API gives it', () => {
    expect(defaultPod(pod({})).spec).toEqual({
      restartPolicy: 'Always',
      dnsPolicy: 'ClusterFirst',
      schedulerName: 'default-scheduler',
      terminationGracePeriodSeconds: 30,
      securityContext: {},
      enableServiceLinks: true,
      containers: [
        {
          name: 'c',
          image: 'x:1',
          imagePullPolicy: 'IfNotPresent',
          terminationMessagePath: '/dev/termination-log',
          terminationMessagePolicy: 'File',
          resources: {},
        },
      ],
    });
  });

  it('leaves what is said', () => {
    const said = pod({
      restartPolicy: 'Never',
      dnsPolicy: 'None',
      terminationGracePeriodSeconds: 0,
      enableServiceLinks: false,
      schedulerName: 's',
      securityContext: { runAsUser: 1 },
    });
    expect(defaultPod(said).spec).toMatchObject({
      restartPolicy: 'Never',
      dnsPolicy: 'None',
      terminationGracePeriodSeconds: 0,
      enableServiceLinks: false,
      schedulerName: 's',
      securityContext: { runAsUser: 1 },
    });
  });

  it('changes nothing the second time', () => {
    const once = defaultPod(
      pod({
        hostNetwork: true,
        initContainers: [{ name: 'i', image: 'x', ports: [{ containerPort: 1 }] }],
        ephemeralContainers: [{ name: 'e', image: 'x' }],
        volumes: [{ name: 'v' }, { name: 's', secret: { secretName: 's' } }],
      }),
    );
    expect(defaultPod(once)).toEqual(once);
  });

  it.each([
    {
      name: 'a limit is the request, too',
      got: () =>
        container({ resources: { limits: { cpu: '1', memory: '1Gi' }, requests: { cpu: '500m' } } })?.resources,
      want: { limits: { cpu: '1', memory: '1Gi' }, requests: { cpu: '500m', memory: '1Gi' } },
    },
    {
      name: 'ports are TCP',
      got: () => container({ ports: [{ containerPort: 80 }] })?.ports,
      want: [{ containerPort: 80, protocol: 'TCP' }],
    },
    {
      name: 'with host network a port is the host’s',
      got: () => container({ ports: [{ containerPort: 80 }] }, { hostNetwork: true })?.ports,
      want: [{ containerPort: 80, protocol: 'TCP', hostPort: 80 }],
    },
    {
      name: 'field references have a version',
      got: () => container({ env: [{ name: 'A', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } }] })?.env,
      want: [{ name: 'A', valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.name' } } }],
    },
    {
      name: 'probes',
      got: () => container({ livenessProbe: { httpGet: { port: 80 } } })?.livenessProbe,
      want: {
        timeoutSeconds: 1,
        periodSeconds: 10,
        successThreshold: 1,
        failureThreshold: 3,
        httpGet: { port: 80, path: '/', scheme: 'HTTP' },
      },
    },
    {
      name: 'gRPC probes',
      got: () => container({ startupProbe: { grpc: { port: 1 } } })?.startupProbe?.grpc,
      want: { port: 1, service: '' },
    },
    {
      name: 'HTTP hooks',
      got: () => container({ lifecycle: { preStop: { httpGet: { port: 1 } } } })?.lifecycle?.preStop,
      want: { httpGet: { port: 1, path: '/', scheme: 'HTTP' } },
    },
    {
      name: 'a volume without a source is an emptyDir',
      got: () => defaultPod(pod({ volumes: [{ name: 'v' }] })).spec.volumes,
      want: [{ name: 'v', emptyDir: {} }],
    },
    {
      name: 'modes of files',
      got: () =>
        defaultPod(
          pod({
            volumes: [
              { name: 's', secret: { secretName: 'x' } },
              { name: 'c', configMap: { name: 'x', defaultMode: 0o400 } },
            ],
          }),
        ).spec.volumes,
      want: [
        { name: 's', secret: { secretName: 'x', defaultMode: 0o644 } },
        { name: 'c', configMap: { name: 'x', defaultMode: 0o400 } },
      ],
    },
    {
      name: 'the type of a host path',
      got: () => defaultPod(pod({ volumes: [{ name: 'h', hostPath: { path: '/x' } }] })).spec.volumes,
      want: [{ name: 'h', hostPath: { path: '/x', type: '' } }],
    },
    {
      name: 'when an image that is mounted is pulled',
      got: () =>
        defaultPod(
          pod({
            volumes: [
              { name: 'a', image: { reference: 'x' } },
              { name: 'b', image: { reference: 'x:1' } },
              { name: 'c', image: { reference: 'x:1', pullPolicy: 'Never' } },
            ],
          }),
        ).spec.volumes?.map(({ image }) => image?.pullPolicy),
      want: ['Always', 'IfNotPresent', 'Never'],
    },
    {
      name: 'init containers',
      got: () =>
        defaultPod(pod({ initContainers: [{ name: 'i', image: 'x' }] })).spec.initContainers?.[0]?.imagePullPolicy,
      want: 'Always',
    },
    {
      name: 'ephemeral containers',
      got: () =>
        defaultPod(pod({ ephemeralContainers: [{ name: 'e', image: 'x' }] })).spec.ephemeralContainers?.[0]
          ?.imagePullPolicy,
      want: 'Always',
    },
  ])('$name', ({ got, want }) => expect(got()).toEqual(want));
});
