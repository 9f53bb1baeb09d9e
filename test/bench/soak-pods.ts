/** The pods of a long run: a full node of mixed pods that are probed each second. Pure. */
import type { Container, Pod, Probe } from '../../src/objects/generated/core-v1.ts';

export interface SoakPodsOptions {
  nodeName: string;
  images: { pause: string; busybox: string };
  /** Where the probes go: a server of the test's own, which sees when each of them comes. */
  probeHost: string;
  probePort: number;
}

/** Of 110 pods: how many of which kind. */
export const soakKinds = { plain: 70, sidecar: 20, restarting: 10, exec: 10 } as const;
export type SoakKind = keyof typeof soakKinds;

export const probePeriodSeconds = 1;

export function soakPods(options: SoakPodsOptions): Pod[] {
  return (Object.keys(soakKinds) as SoakKind[]).flatMap((kind) =>
    Array.from({ length: soakKinds[kind] }, (_, i) => soakPod(kind, `soak-${kind}-${i}`, options)),
  );
}

/** Paths that must be asked each period as long as the pod runs; a container that ends by itself is asked in between. */
export function steadyProbePaths(pods: readonly Pod[]): string[] {
  return pods
    .filter(({ metadata }) => metadata.labels?.['soak'] !== 'restarting')
    .flatMap(({ spec }) => [...(spec.initContainers ?? []), ...spec.containers])
    .flatMap(({ livenessProbe, readinessProbe }) => [livenessProbe, readinessProbe])
    .flatMap((probe) => probe?.httpGet?.path ?? []);
}

function soakPod(kind: SoakKind, name: string, { nodeName, images, probeHost, probePort }: SoakPodsOptions): Pod {
  const http = (what: string): Probe => ({
    httpGet: { host: probeHost, port: probePort, path: `/${name}/${what}` },
    periodSeconds: probePeriodSeconds,
    timeoutSeconds: 1,
    failureThreshold: 3,
  });
  const pause: Container = { name: 'main', image: images.pause, imagePullPolicy: 'IfNotPresent' };
  const shell = (script: string): Container => ({
    ...pause,
    image: images.busybox,
    command: ['/bin/sh', '-c', script],
  });
  const probed: Container = { ...pause, livenessProbe: http('live'), readinessProbe: http('ready') };
  const containers: Record<SoakKind, Container[]> = {
    plain: [probed],
    sidecar: [probed],
    restarting: [{ ...shell('sleep 20; exit 1'), livenessProbe: http('live') }],
    exec: [
      {
        ...shell('exec sleep 1000000'),
        livenessProbe: { exec: { command: ['/bin/true'] }, periodSeconds: 10, timeoutSeconds: 5 },
        readinessProbe: { tcpSocket: { host: probeHost, port: probePort }, periodSeconds: probePeriodSeconds },
      },
    ],
  };
  const initContainers: Container[] = [
    { ...shell('true'), name: 'init' },
    { ...pause, name: 'beside', restartPolicy: 'Always', readinessProbe: http('beside') },
  ];
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'default', labels: { soak: kind } },
    spec: {
      nodeName,
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      terminationGracePeriodSeconds: 1,
      ...(kind === 'sidecar' ? { initContainers } : {}),
      containers: containers[kind],
    },
  };
}
