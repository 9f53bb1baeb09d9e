/** The defaults that the API gives a pod, for pods that never pass an API server. Pure; idempotent. */
import type {
  Container,
  EphemeralContainer,
  Lifecycle,
  LifecycleHandler,
  Pod,
  PodSpec,
  Probe,
  ResourceRequirements,
  Volume,
} from './generated/core-v1.ts';

export function defaultPod(pod: Pod): Pod {
  return { ...pod, spec: defaultPodSpec(pod.spec) };
}

function defaultPodSpec(spec: PodSpec): PodSpec {
  const isHostNetwork = spec.hostNetwork === true;
  return {
    ...spec,
    restartPolicy: spec.restartPolicy ?? 'Always',
    dnsPolicy: spec.dnsPolicy ?? 'ClusterFirst',
    schedulerName: spec.schedulerName ?? 'default-scheduler',
    terminationGracePeriodSeconds: spec.terminationGracePeriodSeconds ?? 30,
    securityContext: spec.securityContext ?? {},
    enableServiceLinks: spec.enableServiceLinks ?? true,
    containers: spec.containers.map((container) => defaultContainer(container, isHostNetwork)),
    ...(spec.initContainers === undefined
      ? {}
      : { initContainers: spec.initContainers.map((container) => defaultContainer(container, isHostNetwork)) }),
    ...(spec.ephemeralContainers === undefined
      ? {}
      : { ephemeralContainers: spec.ephemeralContainers.map(defaultEphemeral) }),
    ...(spec.volumes === undefined ? {} : { volumes: spec.volumes.map(defaultVolume) }),
  };
}

export function defaultContainer(container: Container, isHostNetwork: boolean): Container {
  return {
    ...container,
    imagePullPolicy: container.imagePullPolicy ?? defaultPullPolicy(container.image),
    terminationMessagePath: container.terminationMessagePath ?? '/dev/termination-log',
    terminationMessagePolicy: container.terminationMessagePolicy ?? 'File',
    resources: defaultResources(container.resources),
    ...(container.ports === undefined
      ? {}
      : {
          ports: container.ports.map((port) => ({
            ...port,
            protocol: port.protocol ?? 'TCP',
            ...(isHostNetwork && !port.hostPort ? { hostPort: port.containerPort } : {}),
          })),
        }),
    ...(container.env === undefined
      ? {}
      : {
          env: container.env.map((env) =>
            env.valueFrom?.fieldRef === undefined
              ? env
              : { ...env, valueFrom: { ...env.valueFrom, fieldRef: { apiVersion: 'v1', ...env.valueFrom.fieldRef } } },
          ),
        }),
    ...(container.livenessProbe === undefined ? {} : { livenessProbe: defaultProbe(container.livenessProbe) }),
    ...(container.readinessProbe === undefined ? {} : { readinessProbe: defaultProbe(container.readinessProbe) }),
    ...(container.startupProbe === undefined ? {} : { startupProbe: defaultProbe(container.startupProbe) }),
    ...(container.lifecycle === undefined ? {} : { lifecycle: defaultLifecycle(container.lifecycle) }),
  };
}

function defaultEphemeral(container: EphemeralContainer): EphemeralContainer {
  return {
    ...container,
    imagePullPolicy: container.imagePullPolicy ?? defaultPullPolicy(container.image ?? ''),
    terminationMessagePath: container.terminationMessagePath ?? '/dev/termination-log',
    terminationMessagePolicy: container.terminationMessagePolicy ?? 'File',
    resources: container.resources ?? {},
  };
}

/** `Always` for `latest` or no tag at all, unless a digest pins the image. */
export function defaultPullPolicy(image: string): 'Always' | 'IfNotPresent' {
  if (image.includes('@')) return 'IfNotPresent';
  const tag = image.slice(image.lastIndexOf('/') + 1).split(':')[1];
  return tag === undefined || tag === 'latest' ? 'Always' : 'IfNotPresent';
}

/** A limit without a request is the request, too. */
function defaultResources(resources: ResourceRequirements | undefined): ResourceRequirements {
  if (resources?.limits === undefined) return resources ?? {};
  return { ...resources, requests: { ...resources.limits, ...resources.requests } };
}

function defaultProbe(probe: Probe): Probe {
  return {
    ...probe,
    timeoutSeconds: probe.timeoutSeconds || 1,
    periodSeconds: probe.periodSeconds || 10,
    successThreshold: probe.successThreshold || 1,
    failureThreshold: probe.failureThreshold || 3,
    ...(probe.httpGet === undefined
      ? {}
      : { httpGet: { ...probe.httpGet, path: probe.httpGet.path || '/', scheme: probe.httpGet.scheme ?? 'HTTP' } }),
    ...(probe.grpc === undefined ? {} : { grpc: { ...probe.grpc, service: probe.grpc.service ?? '' } }),
  };
}

function defaultLifecycle({ postStart, preStop, ...rest }: Lifecycle): Lifecycle {
  return {
    ...rest,
    ...(postStart === undefined ? {} : { postStart: defaultHandler(postStart) }),
    ...(preStop === undefined ? {} : { preStop: defaultHandler(preStop) }),
  };
}

function defaultHandler(handler: LifecycleHandler): LifecycleHandler {
  if (handler.httpGet === undefined) return handler;
  return {
    ...handler,
    httpGet: { ...handler.httpGet, path: handler.httpGet.path || '/', scheme: handler.httpGet.scheme ?? 'HTTP' },
  };
}

function defaultVolume(volume: Volume): Volume {
  const { name, ...sources } = volume;
  if (Object.values(sources).every((source) => source === undefined)) return { name, emptyDir: {} };
  const defaultMode = 0o644;
  return {
    ...volume,
    ...(volume.secret === undefined ? {} : { secret: { defaultMode, ...volume.secret } }),
    ...(volume.configMap === undefined ? {} : { configMap: { defaultMode, ...volume.configMap } }),
    ...(volume.downwardAPI === undefined ? {} : { downwardAPI: { defaultMode, ...volume.downwardAPI } }),
    ...(volume.projected === undefined ? {} : { projected: { defaultMode, ...volume.projected } }),
    ...(volume.hostPath === undefined ? {} : { hostPath: { type: '', ...volume.hostPath } }),
    ...(volume.image === undefined
      ? {}
      : { image: { pullPolicy: defaultPullPolicy(volume.image.reference ?? ''), ...volume.image } }),
  };
}
