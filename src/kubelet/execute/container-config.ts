/** CRI configurations of sandboxes and containers, from a pod and the parts that other rooms computed. Pure. */
import type { ContainerConfig, LinuxContainerResources, PodSandboxConfig } from '../../adapters/cri/cri.ts';
import type { DNSConfig } from '../../adapters/cri/generated/runtime/v1/DNSConfig.ts';
import type { Device } from '../../adapters/cri/generated/runtime/v1/Device.ts';
import type { LinuxContainerSecurityContext } from '../../adapters/cri/generated/runtime/v1/LinuxContainerSecurityContext.ts';
import type { LinuxSandboxSecurityContext } from '../../adapters/cri/generated/runtime/v1/LinuxSandboxSecurityContext.ts';
import type { Mount } from '../../adapters/cri/generated/runtime/v1/Mount.ts';
import type { PortMapping } from '../../adapters/cri/generated/runtime/v1/PortMapping.ts';
import { bytesOfText } from '../../base/byte-text.ts';
import type { Container, Pod } from '../../objects/generated/core-v1.ts';
import { toRuntimeSignal } from '../../objects/stop-signal.ts';
import { type PodContainer, isHostNetwork, uidOf } from '../pod-model.ts';
import { containerHash } from './container-hash.ts';
import { annotations, containerLogPath, labels, podLabels, podLogDirectory } from './pod-names.ts';

/** What a sandbox needs beyond the pod itself. */
export interface SandboxParts {
  /** Empty for host network. */
  hostname: string;
  dns: DNSConfig;
  cgroupParent: string;
  resources: LinuxContainerResources;
  overhead: LinuxContainerResources;
  security: LinuxSandboxSecurityContext;
  sysctls: Record<string, string>;
  runtimeHandler: string;
}

export function makeSandboxConfig(
  pod: Pod,
  attempt: number,
  podLogsDir: string,
  parts: SandboxParts,
): PodSandboxConfig {
  const portMappings = makePortMappings(pod);
  return {
    metadata: { name: pod.metadata.name, namespace: pod.metadata.namespace ?? 'default', uid: uidOf(pod), attempt },
    hostname: isHostNetwork(pod) ? '' : parts.hostname,
    log_directory: podLogDirectory(podLogsDir, pod),
    dns_config: parts.dns,
    ...(portMappings.length === 0 ? {} : { port_mappings: portMappings }),
    labels: { ...pod.metadata.labels, ...podLabels(pod) },
    annotations: { ...pod.metadata.annotations },
    linux: {
      cgroup_parent: parts.cgroupParent,
      security_context: parts.security,
      sysctls: parts.sysctls,
      resources: parts.resources,
      overhead: parts.overhead,
    },
  };
}

/** Ports of regular containers. Of two with the same name (or the same key, when unnamed) the first counts. */
export function makePortMappings(pod: Pod): PortMapping[] {
  const seen = new Set<string>();
  const mappings: PortMapping[] = [];
  for (const container of pod.spec.containers) {
    for (const { name, protocol = 'TCP', hostIP = '', containerPort, hostPort = 0 } of container.ports ?? []) {
      const family = hostIP === '' ? 'any' : hostIP.includes(':') ? 'v6' : 'v4';
      const key =
        name === undefined || name === ''
          ? `${family}-${protocol}-${hostIP}:${containerPort}:${hostPort}`
          : `${container.name}-${name}`;
      if (seen.has(key)) continue;
      seen.add(key);
      mappings.push({
        protocol: protocol === 'UDP' ? 'UDP' : protocol === 'SCTP' ? 'SCTP' : 'TCP',
        container_port: containerPort,
        host_port: hostPort,
        host_ip: hostIP,
      });
    }
  }
  return mappings;
}

/** What a container needs beyond its spec. */
export interface ContainerParts {
  command: string[];
  args: string[];
  envs: ReadonlyArray<{ name: string; value: string }>;
  mounts: Mount[];
  devices: Device[];
  resources: LinuxContainerResources;
  security: LinuxContainerSecurityContext;
  /** Takes away what was made for this start alone, when the container could not be created. */
  cleanup(): Promise<void>;
}

export function makeContainerConfig(
  pod: Pod,
  container: PodContainer,
  { imageId, restartCount }: { imageId: string; restartCount: number },
  parts: ContainerParts,
): ContainerConfig {
  const { spec } = container;
  // A pod that asks for one came in because the node's gate is on.
  const stopSignal = spec.lifecycle?.stopSignal;
  return {
    metadata: { name: spec.name, attempt: restartCount },
    image: { image: imageId, user_specified_image: spec.image },
    command: parts.command,
    args: parts.args,
    working_dir: spec.workingDir ?? '',
    envs: parts.envs.map(({ name, value }) => ({ key: name, value: bytesOfText(value) })),
    mounts: parts.mounts,
    devices: parts.devices,
    labels: { ...podLabels(pod), [labels.containerName]: spec.name },
    annotations: makeContainerAnnotations(pod, spec, restartCount),
    log_path: containerLogPath(spec.name, restartCount),
    stdin: spec.stdin ?? false,
    stdin_once: spec.stdinOnce ?? false,
    tty: spec.tty ?? false,
    linux: { resources: parts.resources, security_context: parts.security },
    ...(stopSignal === undefined ? {} : { stop_signal: parseStopSignal(stopSignal) }),
  };
}

/** @throws for a name that the runtime's list does not have */
function parseStopSignal(name: string): NonNullable<ContainerConfig['stop_signal']> {
  return toRuntimeSignal(name) as NonNullable<ContainerConfig['stop_signal']>; // the list's names are of that form
}

function makeContainerAnnotations(pod: Pod, spec: Container, restartCount: number): Record<string, string> {
  const result: Record<string, string> = {
    [annotations.hash]: containerHash(spec),
    [annotations.restartCount]: String(restartCount),
    [annotations.terminationMessagePath]: spec.terminationMessagePath ?? '/dev/termination-log',
    [annotations.terminationMessagePolicy]: spec.terminationMessagePolicy ?? 'File',
  };
  const { deletionGracePeriodSeconds } = pod.metadata;
  const { terminationGracePeriodSeconds } = pod.spec;
  if (deletionGracePeriodSeconds !== undefined)
    result[annotations.deletionGracePeriod] = String(deletionGracePeriodSeconds);
  if (terminationGracePeriodSeconds !== undefined) {
    result[annotations.terminationGracePeriod] = String(terminationGracePeriodSeconds);
  }
  if (spec.lifecycle?.preStop !== undefined)
    result[annotations.preStopHandler] = JSON.stringify(spec.lifecycle.preStop);
  if ((spec.ports ?? []).length > 0) result[annotations.ports] = JSON.stringify(spec.ports);
  return result;
}
