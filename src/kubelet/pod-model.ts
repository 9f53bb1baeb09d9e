/**
 * The nouns that travel on the kubelet's line. Types and the smallest questions about them; no state, no I/O.
 */
import type { CriContainerStatus, CriSandboxStatus } from '../adapters/cri/cri-types.ts';
import type { Container, EphemeralContainer, Pod, PodStatus } from '../objects/generated/core-v1.ts';

/** Where a pod's wish comes from; the value of `kubernetes.io/config.source`. */
export type PodSource = 'api' | 'file' | 'http';

export const configSourceAnnotation = 'kubernetes.io/config.source';
export const configSeenAnnotation = 'kubernetes.io/config.seen';
export const configHashAnnotation = 'kubernetes.io/config.hash';
export const configMirrorAnnotation = 'kubernetes.io/config.mirror';

/** What happened to one pod among those that should run. */
export type PodChange =
  | { kind: 'add'; pod: Pod }
  /** Something that the kubelet acts on differs; a new deletion timestamp is an update, too. */
  | { kind: 'update'; pod: Pod; old: Pod }
  /** Only the status differs. */
  | { kind: 'reconcile'; pod: Pod; old: Pod }
  | { kind: 'remove'; pod: Pod };

/** What the runtime has of one pod, read at one moment. */
export interface ObservedPod {
  uid: string;
  name: string;
  namespace: string;
  /** Newest first: by attempt, then by creation time. */
  sandboxes: readonly CriSandboxStatus[];
  /** Newest created first, of all sandboxes. The first with a name is that container's latest. */
  containers: readonly ObservedContainer[];
  /** IPs of the newest sandbox when it is ready; kept from before while no sandbox is ready. */
  ips: readonly string[];
  /** Monotonic time before the runtime was asked. */
  observedMs: number;
}

export interface ObservedContainer extends CriContainerStatus {
  sandboxId: string;
}

/** The four ways in which a pod lists containers. A sidecar is an init container that restarts always. */
export type ContainerKind = 'init' | 'sidecar' | 'regular' | 'ephemeral';

export interface PodContainer {
  kind: ContainerKind;
  spec: Container;
}

/** Why the latest try to start a container did not lead to a running one; shown as its waiting state. */
export interface StartFailure {
  reason: string;
  message: string;
}

/** How a probe kind stands for one container instance. */
export type ProbeResult = 'success' | 'failure' | 'unknown';

/** What probes know, by container id; undefined when nobody probes or nothing is known yet. */
export interface ProbeResults {
  liveness(containerId: string): ProbeResult | undefined;
  startup(containerId: string): ProbeResult | undefined;
  readiness(containerId: string): ProbeResult | undefined;
}

/** What a status says instead of what the containers tell. */
export interface StatusOverride extends Pick<PodStatus, 'phase' | 'reason' | 'message'> {
  /** Why this kubelet ends the pod for the node's sake: the message of the condition `DisruptionTarget`. */
  disruption?: string | undefined;
}

/** How a pod's end was asked for; absent fields mean the pod's own values. */
export interface KillOptions {
  gracePeriodSeconds?: number | undefined;
  /** An eviction: its containers and logs are removed soon after. */
  isEviction?: boolean | undefined;
  overrideStatus?: StatusOverride | undefined;
}

export const uidOf = (pod: Pod): string => pod.metadata.uid ?? '';

/** `namespace/name`, for logs. */
export const podKey = (pod: Pod): string => `${pod.metadata.namespace ?? 'default'}/${pod.metadata.name}`;

/** `<name>_<namespace>`: unique among the pods that run on a node at one time. */
export const podFullName = (pod: Pod): string => `${pod.metadata.name}_${pod.metadata.namespace ?? 'default'}`;

/** `<name>_<namespace>(<uid>)`: how events name a pod. */
export const podDescription = (pod: Pod): string => `${podFullName(pod)}(${uidOf(pod)})`;

export function podSource(pod: Pod): PodSource {
  const source = pod.metadata.annotations?.[configSourceAnnotation];
  return source === 'file' || source === 'http' ? source : 'api';
}

export const isStaticPod = (pod: Pod): boolean => podSource(pod) !== 'api';

export const isMirrorPod = (pod: Pod): boolean => pod.metadata.annotations?.[configMirrorAnnotation] !== undefined;

/** Static, mirror, or of system priority: never evicted, and others make room for it. */
export const isCriticalPod = (pod: Pod): boolean =>
  isStaticPod(pod) || isMirrorPod(pod) || (pod.spec.priority ?? 0) >= 2_000_000_000;

export const isTerminalPhase = (phase: string | undefined): boolean => phase === 'Failed' || phase === 'Succeeded';

export const isHostNetwork = (pod: Pod): boolean => pod.spec.hostNetwork === true;

export const isSidecar = (container: Container): boolean => container.restartPolicy === 'Always';

/** All containers in the order init, regular, ephemeral. */
export function podContainers(pod: Pod): PodContainer[] {
  return [
    ...(pod.spec.initContainers ?? []).map((spec): PodContainer => ({
      kind: isSidecar(spec) ? 'sidecar' : 'init',
      spec,
    })),
    ...pod.spec.containers.map((spec): PodContainer => ({ kind: 'regular', spec })),
    ...(pod.spec.ephemeralContainers ?? []).map((spec): PodContainer => ({
      kind: 'ephemeral',
      spec: asContainer(spec),
    })),
  ];
}

/** An ephemeral container has a container's fields and one more; it has no ports, probes, hooks or resources. */
function asContainer(spec: EphemeralContainer): Container {
  return { ...spec, image: spec.image ?? '' };
}

/** The field of the spec that lists containers of this kind, as event references name it. */
export function containerFieldPath(kind: ContainerKind, name: string): string {
  const list = kind === 'regular' ? 'containers' : kind === 'ephemeral' ? 'ephemeralContainers' : 'initContainers';
  return `spec.${list}{${name}}`;
}

/** The newest instance of a container, across sandboxes. */
export function latestContainer(observed: ObservedPod | undefined, name: string): ObservedContainer | undefined {
  return observed?.containers.find((container) => container.name === name);
}

/** The newest sandbox when it is ready. */
export function readySandbox(observed: ObservedPod | undefined): CriSandboxStatus | undefined {
  const newest = observed?.sandboxes[0];
  return newest?.isReady === true ? newest : undefined;
}

export const isRunning = (observed: ObservedPod | undefined): boolean =>
  observed?.containers.some(({ state }) => state === 'running') === true;

/** `containerd://<id>`, the form of the API. */
export const containerIdUrl = (runtimeName: string, id: string): string => `${runtimeName}://${id}`;

/** Says on the API what happened to a pod or to one of its containers. Never waits. */
export interface PodEvents {
  pod(pod: Pod, type: 'Normal' | 'Warning', reason: string, message: string): void;
  container(
    pod: Pod,
    kind: ContainerKind,
    container: string,
    type: 'Normal' | 'Warning',
    reason: string,
    message: string,
  ): void;
}

export interface PhaseOptions<T> {
  /** Not kept when it went well in less time, ms. */
  quietBelowMs?: number | undefined;
  /** What went wrong although nothing was thrown. */
  failureOf?: ((value: T) => string | undefined) | undefined;
}

/** Notes how long each phase of a pod's life took and how it ended. */
export interface PodPhases {
  /** Runs `work` as the phase `name` of the pod: a kind, and what it is about, e.g. `sandbox`, `pull web`, `start web`. */
  span<T>(pod: Pod, name: string, work: () => Promise<T>, options?: PhaseOptions<T>): Promise<T>;
}
