/** What the fake runtime keeps of a sandbox and a container, and how it looks over CRI. */
import type { Container } from '../../src/adapters/cri/generated/runtime/v1/Container.ts';
import type { ContainerConfig__Output } from '../../src/adapters/cri/generated/runtime/v1/ContainerConfig.ts';
import type { ContainerStatus } from '../../src/adapters/cri/generated/runtime/v1/ContainerStatus.ts';
import type { PodSandbox } from '../../src/adapters/cri/generated/runtime/v1/PodSandbox.ts';
import type { PodSandboxConfig__Output } from '../../src/adapters/cri/generated/runtime/v1/PodSandboxConfig.ts';
import type { PodSandboxStatus } from '../../src/adapters/cri/generated/runtime/v1/PodSandboxStatus.ts';
import type { FakeImage } from './fake-images.ts';

/** How a container's program behaves. */
export interface FakeProcess {
  /** Code of its exit at SIGTERM; `ignores` waits for SIGKILL. Default 0; a program without a handler has 143. */
  onTerm: number | 'ignores';
  /** Ends by itself with `code`, this long after its start. */
  exits?: { afterMs: number; code: number };
  /** What the runtime says when it cannot start the program. */
  failsToStart?: string;
  /** Lines on its standard output right after its start. */
  output?: readonly string[];
}

export interface FakeSandbox {
  readonly id: string;
  readonly config: PodSandboxConfig__Output;
  readonly runtimeHandler: string;
  readonly createdAtNs: bigint;
  isReady: boolean;
  /** Empty with host network. */
  ip: string;
  /** The network namespace goes with StopPodSandbox, not with the pause process. */
  hasNetwork: boolean;
}

export interface FakeContainer {
  readonly id: string;
  readonly sandboxId: string;
  readonly config: ContainerConfig__Output;
  readonly image: FakeImage;
  readonly createdAtNs: bigint;
  state: 'created' | 'running' | 'exited';
  startedAtNs: bigint;
  finishedAtNs: bigint;
  exitCode: number;
  reason: string;
  message: string;
  /** Absolute; empty without a log. */
  readonly logPath: string;
  readonly process: FakeProcess;
  /** Aborts when the program has ended. */
  readonly ended: AbortController;
}

const stateNames = {
  created: 'CONTAINER_CREATED',
  running: 'CONTAINER_RUNNING',
  exited: 'CONTAINER_EXITED',
} as const;

export function toSandbox(sandbox: FakeSandbox): PodSandbox {
  const { id, config, runtimeHandler, createdAtNs, isReady } = sandbox;
  return {
    id,
    metadata: config.metadata,
    state: isReady ? 'SANDBOX_READY' : 'SANDBOX_NOTREADY',
    created_at: String(createdAtNs),
    labels: config.labels,
    annotations: config.annotations,
    runtime_handler: runtimeHandler,
  };
}

export function toSandboxStatus(sandbox: FakeSandbox): PodSandboxStatus {
  return {
    ...toSandbox(sandbox),
    network: { ip: sandbox.hasNetwork ? sandbox.ip : '', additional_ips: [] },
    linux: { namespaces: { options: sandbox.config.linux?.security_context?.namespace_options ?? null } },
  };
}

export function toContainer(container: FakeContainer): Container {
  const { id, sandboxId, config, image, state, createdAtNs } = container;
  return {
    id,
    pod_sandbox_id: sandboxId,
    metadata: config.metadata,
    image: config.image,
    image_ref: image.id,
    state: stateNames[state],
    created_at: String(createdAtNs),
    labels: config.labels,
    annotations: config.annotations,
  };
}

/** Fields that containerd has since 1.7 and 2.0 are empty in the messages of 1.6. */
export type MessageFields = '1.6' | '2.x';

export function toContainerStatus(container: FakeContainer, fields: MessageFields): ContainerStatus {
  const { config, image } = container;
  const user = config.linux?.security_context?.run_as_user?.value ?? (typeof image.user === 'number' ? image.user : 0);
  return {
    id: container.id,
    metadata: config.metadata,
    state: stateNames[container.state],
    created_at: String(container.createdAtNs),
    started_at: String(container.startedAtNs),
    finished_at: String(container.finishedAtNs),
    exit_code: container.exitCode,
    image: {
      image: image.repoTags[0] ?? image.id,
      user_specified_image: fields === '1.6' ? '' : (config.image?.user_specified_image ?? ''),
    },
    image_ref: image.repoDigests[0] ?? image.id,
    image_id: fields === '1.6' ? '' : image.id,
    reason: container.reason,
    message: container.message,
    labels: config.labels,
    annotations: config.annotations,
    mounts: config.mounts,
    log_path: container.logPath,
    ...(fields === '1.6' ? {} : { stop_signal: config.stop_signal }),
    resources: config.linux?.resources ? { linux: config.linux.resources } : null,
    user:
      fields === '1.6' ? null : { linux: { uid: user, gid: config.linux?.security_context?.run_as_group?.value ?? 0 } },
  };
}

/** Labels that a selector asks for. */
export function hasLabels(labels: Record<string, string>, selector: Record<string, string>): boolean {
  return Object.entries(selector).every(([key, value]) => labels[key] === value);
}
