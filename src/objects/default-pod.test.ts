import { describe, expect, it } from 'vitest';
import { defaultContainer, defaultPod, defaultPullPolicy } from './default-pod.ts';
import type { Container, Pod, PodSpec } from './generated/core-v1.ts';

const podWith = (spec: Partial<PodSpec>): Pod => ({
  metadata: { name: 'web' },
  spec: { containers: [{ name: 'web', image: 'web:1' }], ...spec },
});

describe('defaultPod', () => {
  it('gives a pod what the API gives it', () => {
    expect(defaultPod(podWith({})).spec).toEqual({
      restartPolicy: 'Always',
      dnsPolicy: 'ClusterFirst',
      schedulerName: 'default-scheduler',
      terminationGracePeriodSeconds: 30,
      securityContext: {},
      enableServiceLinks: true,
      containers: [
        {
          name: 'web',
          image: 'web:1',
          imagePullPolicy: 'IfNotPresent',
          terminationMessagePath: '/dev/termination-log',
          terminationMessagePolicy: 'File',
          resources: {},
        },
      ],
    });
  });

  it('keeps what is said', () => {
    const said = {
      restartPolicy: 'Never',
      dnsPolicy: 'Default',
      schedulerName: 'mine',
      terminationGracePeriodSeconds: 0,
      enableServiceLinks: false,
    };
    expect(defaultPod(podWith(said)).spec).toMatchObject(said);
  });

  it('changes nothing the second time', () => {
    const once = defaultPod(
      podWith({
        hostNetwork: true,
        initContainers: [{ name: 'init', image: 'init', ports: [{ containerPort: 80 }] }],
        volumes: [{ name: 'a' }, { name: 'b', secret: { secretName: 'b' } }],
      }),
    );
    expect(defaultPod(once)).toEqual(once);
  });

  it.each([
    { name: 'nothing', volume: { name: 'v' }, want: { name: 'v', emptyDir: {} } },
    {
      name: 'a secret',
      volume: { name: 'v', secret: { secretName: 's' } },
      want: { name: 'v', secret: { secretName: 's', defaultMode: 0o644 } },
    },
    {
      name: 'a config map with a mode',
      volume: { name: 'v', configMap: { name: 'c', defaultMode: 0o400 } },
      want: { name: 'v', configMap: { name: 'c', defaultMode: 0o400 } },
    },
    {
      name: 'a path of the host',
      volume: { name: 'v', hostPath: { path: '/x' } },
      want: { name: 'v', hostPath: { path: '/x', type: '' } },
    },
  ])('completes a volume of $name', ({ volume, want }) => {
    expect(defaultPod(podWith({ volumes: [volume] })).spec.volumes).toEqual([want]);
  });
});

describe('defaultContainer', () => {
  const container: Container = { name: 'web', image: 'web:1' };

  it('takes a limit for a request that is not there', () => {
    const resources = { limits: { cpu: '1', memory: '1Gi' }, requests: { cpu: '500m' } };
    expect(defaultContainer({ ...container, resources }, false).resources).toEqual({
      limits: { cpu: '1', memory: '1Gi' },
      requests: { cpu: '500m', memory: '1Gi' },
    });
  });

  it.each([
    { isHostNetwork: false, want: { containerPort: 80, protocol: 'TCP' } },
    { isHostNetwork: true, want: { containerPort: 80, protocol: 'TCP', hostPort: 80 } },
  ])('completes ports (host network: $isHostNetwork)', ({ isHostNetwork, want }) => {
    expect(defaultContainer({ ...container, ports: [{ containerPort: 80 }] }, isHostNetwork).ports).toEqual([want]);
  });

  it('completes probes and hooks', () => {
    const complete = defaultContainer(
      {
        ...container,
        livenessProbe: { httpGet: { port: 80 } },
        startupProbe: { grpc: { port: 81 }, failureThreshold: 9 },
        lifecycle: { preStop: { httpGet: { port: 80, path: '/stop', scheme: 'HTTPS' } } },
      },
      false,
    );
    const times = { timeoutSeconds: 1, periodSeconds: 10, successThreshold: 1 };
    expect(complete.livenessProbe).toEqual({
      ...times,
      failureThreshold: 3,
      httpGet: { port: 80, path: '/', scheme: 'HTTP' },
    });
    expect(complete.startupProbe).toEqual({ ...times, failureThreshold: 9, grpc: { port: 81, service: '' } });
    expect(complete.lifecycle).toEqual({ preStop: { httpGet: { port: 80, path: '/stop', scheme: 'HTTPS' } } });
  });

  it('completes references to fields', () => {
    const env = [
      { name: 'A', value: 'a' },
      { name: 'B', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
    ];
    expect(defaultContainer({ ...container, env }, false).env).toEqual([
      { name: 'A', value: 'a' },
      { name: 'B', valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.name' } } },
    ]);
  });
});

describe('defaultPullPolicy', () => {
  it.each([
    ['web', 'Always'],
    ['web:latest', 'Always'],
    ['localhost:5000/web', 'Always'],
    ['localhost:5000/web:1', 'IfNotPresent'],
    ['web:1', 'IfNotPresent'],
    [`web@sha256:${'0'.repeat(64)}`, 'IfNotPresent'],
    [`web:latest@sha256:${'0'.repeat(64)}`, 'IfNotPresent'],
  ])('%s: %s', (image, want) => expect(defaultPullPolicy(image)).toBe(want));
});
