/**
 * The container runtime, over CRI v1. Owns the connection; turns 64-bit strings and enum names into our own shapes
 * (`cri-types.ts`) and gRPC codes into kinds of failure. Decides nothing.
 */
import {
  type CallOptions,
  type GrpcClient,
  channelOptions,
  decodeAnswer,
  insecure,
  loadService,
  rawCall,
  streamCall,
  unaryCall,
} from '../../base/grpc.ts';
import { isNotFound } from '../../base/errors.ts';
import { fromRuntimeSignal } from '../../objects/stop-signal.ts';
import { ListedItems } from './listed-items.ts';
import type { AttachRequest } from './generated/runtime/v1/AttachRequest.ts';
import type { AuthConfig } from './generated/runtime/v1/AuthConfig.ts';
import type { Container__Output } from './generated/runtime/v1/Container.ts';
import type { ContainerConfig } from './generated/runtime/v1/ContainerConfig.ts';
import type { ContainerEventResponse__Output } from './generated/runtime/v1/ContainerEventResponse.ts';
import type { ContainerStats__Output } from './generated/runtime/v1/ContainerStats.ts';
import type { ContainerStatus__Output } from './generated/runtime/v1/ContainerStatus.ts';
import type { ExecRequest } from './generated/runtime/v1/ExecRequest.ts';
import type { ExecSyncResponse__Output } from './generated/runtime/v1/ExecSyncResponse.ts';
import type { FilesystemUsage__Output } from './generated/runtime/v1/FilesystemUsage.ts';
import type { Image__Output } from './generated/runtime/v1/Image.ts';
import type { LinuxContainerResources } from './generated/runtime/v1/LinuxContainerResources.ts';
import type { PodSandbox__Output } from './generated/runtime/v1/PodSandbox.ts';
import type { PodSandboxConfig } from './generated/runtime/v1/PodSandboxConfig.ts';
import type { PodSandboxStatus__Output } from './generated/runtime/v1/PodSandboxStatus.ts';
import type { StatusResponse__Output } from './generated/runtime/v1/StatusResponse.ts';
import type { VersionResponse__Output } from './generated/runtime/v1/VersionResponse.ts';
import type {
  CriContainer,
  CriContainerEvent,
  CriContainerStatus,
  CriImage,
  CriSandbox,
  CriSandboxStatus,
  CriRuntimeStatus,
  CriState,
} from './cri-types.ts';

export type { AuthConfig, ContainerConfig, LinuxContainerResources, PodSandboxConfig };

export interface CriOptions {
  /** `unix:///run/containerd/containerd.sock`; a bare path will do. */
  endpoint: string;
  /** Deadline of ordinary calls; upstream's `runtimeRequestTimeout`, 2 minutes. */
  requestTimeoutMs: number;
  /** Told of every call that has ended, failed or not. */
  onCall?: CriCallListener;
}

/** @param method as CRI names it */
export type CriCallListener = (method: string, durationMs: number, hasFailed: boolean) => void;

interface SandboxFilter {
  id?: string;
  state?: 'SANDBOX_READY' | 'SANDBOX_NOTREADY';
  podUid?: string;
}

interface ContainerFilter {
  id?: string;
  state?: CriState;
  sandboxId?: string;
  podUid?: string;
}

const podUidLabel = 'io.kubernetes.pod.uid';

export class Cri {
  readonly #runtime: GrpcClient;
  readonly #images: GrpcClient;
  readonly #timeoutMs: number;
  readonly #onCall: CriCallListener;
  /** Listings of everything, as they are asked for every second. */
  readonly #listSandboxes: (signal: AbortSignal) => Promise<CriSandbox[]>;
  readonly #listContainers: (signal: AbortSignal) => Promise<CriContainer[]>;

  constructor({ endpoint, requestTimeoutMs, onCall = () => {} }: CriOptions) {
    const address = endpoint.includes('://') ? endpoint.replace(/^unix:\/+/, 'unix:///') : `unix://${endpoint}`;
    const Runtime = loadService('cri-v1.proto', 'runtime.v1.RuntimeService');
    const Images = loadService('cri-v1.proto', 'runtime.v1.ImageService');
    this.#runtime = new Runtime(address, insecure, channelOptions);
    this.#images = new Images(address, insecure, channelOptions);
    this.#timeoutMs = requestTimeoutMs;
    this.#onCall = onCall;
    const listing = <List, Item>(
      method: string,
      fields: { idField: number; stateField: number },
      toItems: (list: List) => Item[],
    ) => {
      const decode = (message: Buffer): Item[] => toItems(decodeAnswer<List>(Runtime, method, message));
      const items = new ListedItems<Item>({ ...fields, decode });
      return async (signal: AbortSignal): Promise<Item[]> =>
        items.read(
          await this.#told(method, rawCall(this.#runtime, Runtime, method, {}, { timeoutMs: this.#timeoutMs, signal })),
        );
    };
    this.#listSandboxes = listing('ListPodSandbox', { idField: 1, stateField: 3 }, toSandboxes);
    this.#listContainers = listing('ListContainers', { idField: 1, stateField: 6 }, toContainers);
  }

  /** Ends the connection; calls in progress fail. */
  close(): void {
    this.#runtime.close();
    this.#images.close();
  }

  async version(signal: AbortSignal): Promise<{ runtimeName: string; runtimeVersion: string; apiVersion: string }> {
    const r = await this.#call<VersionResponse__Output>('Version', { version: 'v1' }, signal, 10_000);
    return { runtimeName: r.runtime_name, runtimeVersion: r.runtime_version, apiVersion: r.runtime_api_version };
  }

  async status(signal: AbortSignal): Promise<CriRuntimeStatus> {
    const r = await this.#call<StatusResponse__Output>('Status', { verbose: false }, signal, 10_000);
    return {
      conditions: (r.status?.conditions ?? []).map(({ type, status, reason, message }) => ({
        type,
        status,
        reason,
        message,
      })),
      handlers: (r.runtime_handlers ?? []).map(({ name, features }) => ({
        name,
        recursiveReadOnlyMounts: features?.recursive_read_only_mounts ?? false,
        userNamespaces: features?.user_namespaces ?? false,
      })),
      supplementalGroupsPolicy: r.features?.supplemental_groups_policy ?? false,
    };
  }

  /** The runtime's cgroup driver, where it can tell (containerd ≥ 2.0). @throws {UnimplementedError} where it can't */
  async cgroupDriver(signal: AbortSignal): Promise<'systemd' | 'cgroupfs'> {
    const r = await this.#call<{ linux: { cgroup_driver: string } | null }>('RuntimeConfig', {}, signal, 10_000);
    return r.linux?.cgroup_driver === 'CGROUPFS' ? 'cgroupfs' : 'systemd';
  }

  async updateRuntimeConfig(podCidr: string, signal: AbortSignal): Promise<void> {
    await this.#call('UpdateRuntimeConfig', { runtime_config: { network_config: { pod_cidr: podCidr } } }, signal);
  }

  // ---- sandboxes

  async runPodSandbox(config: PodSandboxConfig, runtimeHandler: string, signal: AbortSignal): Promise<string> {
    const request = { config, runtime_handler: runtimeHandler };
    return (await this.#call<{ pod_sandbox_id: string }>('RunPodSandbox', request, signal, 2 * this.#timeoutMs))
      .pod_sandbox_id;
  }

  /** A sandbox that is gone is stopped. */
  async stopPodSandbox(id: string, signal: AbortSignal): Promise<void> {
    await ignoreNotFound(this.#call('StopPodSandbox', { pod_sandbox_id: id }, signal));
  }

  /** A sandbox that is gone is removed. */
  async removePodSandbox(id: string, signal: AbortSignal): Promise<void> {
    await ignoreNotFound(this.#call('RemovePodSandbox', { pod_sandbox_id: id }, signal));
  }

  /**
   * Tells the runtime what a pod as a whole may use from now on.
   * @throws {UnimplementedError} where the runtime does not want to know (containerd < 2.1)
   */
  async updatePodSandboxResources(
    id: string,
    overhead: LinuxContainerResources,
    resources: LinuxContainerResources,
    signal: AbortSignal,
  ): Promise<void> {
    await this.#call('UpdatePodSandboxResources', { pod_sandbox_id: id, overhead, resources }, signal);
  }

  async podSandboxStatus(id: string, signal: AbortSignal): Promise<CriSandboxStatus> {
    const r = await this.#call<{ status: PodSandboxStatus__Output | null; timestamp: string }>(
      'PodSandboxStatus',
      { pod_sandbox_id: id, verbose: false },
      signal,
    );
    if (r.status === null) throw new Error(`PodSandboxStatus of "${id}" is empty`);
    return toSandboxStatus(r.status);
  }

  async listPodSandboxes(filter: SandboxFilter, signal: AbortSignal): Promise<CriSandbox[]> {
    if (Object.keys(filter).length === 0) return await this.#listSandboxes(signal);
    const r = await this.#call<SandboxList>(
      'ListPodSandbox',
      {
        filter: {
          id: filter.id ?? '',
          state: filter.state === undefined ? null : { state: filter.state },
          label_selector: filter.podUid === undefined ? {} : { [podUidLabel]: filter.podUid },
        },
      },
      signal,
    );
    return toSandboxes(r);
  }

  // ---- containers

  async createContainer(
    sandboxId: string,
    config: ContainerConfig,
    sandboxConfig: PodSandboxConfig,
    signal: AbortSignal,
  ): Promise<string> {
    const request = { pod_sandbox_id: sandboxId, config, sandbox_config: sandboxConfig };
    return (await this.#call<{ container_id: string }>('CreateContainer', request, signal)).container_id;
  }

  async startContainer(id: string, signal: AbortSignal): Promise<void> {
    await this.#call('StartContainer', { container_id: id }, signal);
  }

  /** SIGTERM, then SIGKILL after `timeoutSeconds`. A container that is gone is stopped. */
  async stopContainer(id: string, timeoutSeconds: number, signal: AbortSignal): Promise<void> {
    const request = { container_id: id, timeout: timeoutSeconds };
    await ignoreNotFound(this.#call('StopContainer', request, signal, this.#timeoutMs + timeoutSeconds * 1000));
  }

  /** A container that is gone is removed. */
  async removeContainer(id: string, signal: AbortSignal): Promise<void> {
    await ignoreNotFound(this.#call('RemoveContainer', { container_id: id }, signal));
  }

  async listContainers(filter: ContainerFilter, signal: AbortSignal): Promise<CriContainer[]> {
    if (Object.keys(filter).length === 0) return await this.#listContainers(signal);
    const r = await this.#call<ContainerList>(
      'ListContainers',
      {
        filter: {
          id: filter.id ?? '',
          state: filter.state === undefined ? null : { state: criStateNames[filter.state] },
          pod_sandbox_id: filter.sandboxId ?? '',
          label_selector: filter.podUid === undefined ? {} : { [podUidLabel]: filter.podUid },
        },
      },
      signal,
    );
    return toContainers(r);
  }

  async containerStatus(id: string, signal: AbortSignal): Promise<CriContainerStatus> {
    const r = await this.#call<{ status: ContainerStatus__Output | null }>(
      'ContainerStatus',
      { container_id: id, verbose: false },
      signal,
    );
    if (r.status === null) throw new Error(`ContainerStatus of "${id}" is empty`);
    return toContainerStatus(r.status);
  }

  async updateContainerResources(id: string, linux: LinuxContainerResources, signal: AbortSignal): Promise<void> {
    await this.#call('UpdateContainerResources', { container_id: id, linux }, signal);
  }

  async reopenContainerLog(id: string, signal: AbortSignal): Promise<void> {
    await this.#call('ReopenContainerLog', { container_id: id }, signal);
  }

  /** Runs a command to its end. `timeoutSeconds` 0: no limit. @throws {DeadlineError} when the time is over */
  async execSync(
    id: string,
    command: readonly string[],
    timeoutSeconds: number,
    signal: AbortSignal,
  ): Promise<{ exitCode: number; stdout: Buffer; stderr: Buffer }> {
    const r = await this.#call<ExecSyncResponse__Output>(
      'ExecSync',
      { container_id: id, cmd: [...command], timeout: timeoutSeconds },
      signal,
      timeoutSeconds === 0 ? undefined : this.#timeoutMs + timeoutSeconds * 1000,
    );
    return { exitCode: r.exit_code, stdout: Buffer.from(r.stdout), stderr: Buffer.from(r.stderr) };
  }

  /** The URL on the runtime's streaming server where the exec session waits. */
  async execUrl(request: ExecRequest, signal: AbortSignal): Promise<string> {
    return (await this.#call<{ url: string }>('Exec', request, signal)).url;
  }

  async attachUrl(request: AttachRequest, signal: AbortSignal): Promise<string> {
    return (await this.#call<{ url: string }>('Attach', request, signal)).url;
  }

  async portForwardUrl(sandboxId: string, ports: readonly number[], signal: AbortSignal): Promise<string> {
    return (await this.#call<{ url: string }>('PortForward', { pod_sandbox_id: sandboxId, port: [...ports] }, signal))
      .url;
  }

  /** Changes as they happen. @throws {UnimplementedError} where the runtime has no events (containerd < 1.7) */
  async *containerEvents(signal: AbortSignal): AsyncGenerator<CriContainerEvent> {
    for await (const e of streamCall<ContainerEventResponse__Output>(this.#runtime, 'GetContainerEvents', {}, signal)) {
      yield {
        containerId: e.container_id,
        type: e.container_event_type.replace(/^CONTAINER_|_EVENT$/g, '') as CriContainerEvent['type'],
        createdAtNs: BigInt(e.created_at),
        podUid: e.pod_sandbox_status?.metadata?.uid,
      };
    }
  }

  async containerStats(podUid: string | undefined, signal: AbortSignal): Promise<ContainerStats__Output[]> {
    const filter = {
      id: '',
      pod_sandbox_id: '',
      label_selector: podUid === undefined ? {} : { [podUidLabel]: podUid },
    };
    return (await this.#call<{ stats: ContainerStats__Output[] }>('ListContainerStats', { filter }, signal)).stats;
  }

  // ---- images

  /** Undefined when the image is not there. */
  async imageStatus(image: string, signal: AbortSignal): Promise<CriImage | undefined> {
    const request = { image: { image }, verbose: false };
    const r = await this.#imageCall<{ image: Image__Output | null }>('ImageStatus', request, signal, this.#timeoutMs);
    return r.image === null ? undefined : toImage(r.image);
  }

  async listImages(signal: AbortSignal): Promise<CriImage[]> {
    const r = await this.#imageCall<{ images: Image__Output[] }>('ListImages', {}, signal, this.#timeoutMs);
    return r.images.map(toImage);
  }

  /** No deadline: a pull takes what it takes, or ends with `signal`. Returns the runtime's reference of the image. */
  async pullImage(
    image: string,
    annotations: Record<string, string>,
    auth: AuthConfig | undefined,
    sandboxConfig: PodSandboxConfig | undefined,
    signal: AbortSignal,
  ): Promise<string> {
    const request = { image: { image, annotations }, auth: auth ?? null, sandbox_config: sandboxConfig ?? null };
    return (await this.#imageCall<{ image_ref: string }>('PullImage', request, signal, undefined)).image_ref;
  }

  async removeImage(image: string, signal: AbortSignal): Promise<void> {
    await ignoreNotFound(this.#imageCall('RemoveImage', { image: { image } }, signal, this.#timeoutMs));
  }

  async imageFilesystems(
    signal: AbortSignal,
  ): Promise<Array<{ mountpoint: string; usedBytes: number; inodesUsed: number }>> {
    const r = await this.#imageCall<{ image_filesystems: FilesystemUsage__Output[] }>(
      'ImageFsInfo',
      {},
      signal,
      this.#timeoutMs,
    );
    return r.image_filesystems.map((fs) => ({
      mountpoint: fs.fs_id?.mountpoint ?? '',
      usedBytes: Number(fs.used_bytes?.value ?? 0),
      inodesUsed: Number(fs.inodes_used?.value ?? 0),
    }));
  }

  #call<Res>(
    method: string,
    request: object,
    signal: AbortSignal,
    timeoutMs: number | undefined = this.#timeoutMs,
  ): Promise<Res> {
    const options = { timeoutMs, signal } satisfies CallOptions;
    return this.#told(method, unaryCall<Res>(this.#runtime, method, request, options));
  }

  #imageCall<Res>(method: string, request: object, signal: AbortSignal, timeoutMs: number | undefined): Promise<Res> {
    return this.#told(method, unaryCall<Res>(this.#images, method, request, { timeoutMs, signal }));
  }

  async #told<Res>(method: string, call: Promise<Res>): Promise<Res> {
    const beganMs = performance.now();
    let hasFailed = true;
    try {
      const result = await call;
      hasFailed = false;
      return result;
    } finally {
      this.#onCall(method, performance.now() - beganMs, hasFailed);
    }
  }
}

async function ignoreNotFound(call: Promise<unknown>): Promise<void> {
  try {
    await call;
  } catch (err) {
    if (!isNotFound(err)) throw err;
  }
}

const criStateNames: Record<CriState, string> = {
  created: 'CONTAINER_CREATED',
  running: 'CONTAINER_RUNNING',
  exited: 'CONTAINER_EXITED',
  unknown: 'CONTAINER_UNKNOWN',
};

function stateOf(name: string): CriState {
  if (name === 'CONTAINER_RUNNING') return 'running';
  if (name === 'CONTAINER_EXITED') return 'exited';
  if (name === 'CONTAINER_CREATED') return 'created';
  return 'unknown';
}

interface SandboxList {
  items: PodSandbox__Output[];
}

function toSandboxes({ items }: SandboxList): CriSandbox[] {
  return items.map((s) => ({
    id: s.id,
    name: s.metadata?.name ?? '',
    namespace: s.metadata?.namespace ?? '',
    podUid: s.metadata?.uid ?? '',
    attempt: s.metadata?.attempt ?? 0,
    isReady: s.state === 'SANDBOX_READY',
    createdAtNs: BigInt(s.created_at),
    labels: s.labels,
    annotations: s.annotations,
    runtimeHandler: s.runtime_handler,
  }));
}

interface ContainerList {
  containers: Container__Output[];
}

function toContainers({ containers }: ContainerList): CriContainer[] {
  return containers.map((c) => ({
    id: c.id,
    sandboxId: c.pod_sandbox_id,
    name: c.metadata?.name ?? '',
    attempt: c.metadata?.attempt ?? 0,
    podUid: c.labels[podUidLabel] ?? '',
    state: stateOf(c.state),
    createdAtNs: BigInt(c.created_at),
    image: c.image?.image ?? '',
    imageRef: c.image_ref,
    labels: c.labels,
    annotations: c.annotations,
  }));
}

function toSandboxStatus(s: PodSandboxStatus__Output): CriSandboxStatus {
  return {
    id: s.id,
    name: s.metadata?.name ?? '',
    namespace: s.metadata?.namespace ?? '',
    podUid: s.metadata?.uid ?? '',
    attempt: s.metadata?.attempt ?? 0,
    isReady: s.state === 'SANDBOX_READY',
    createdAtNs: BigInt(s.created_at),
    ip: s.network?.ip ?? '',
    additionalIps: (s.network?.additional_ips ?? []).map(({ ip }) => ip),
    hasNetworkStatus: s.network !== null,
    isHostNetwork: s.linux?.namespaces?.options?.network === 'NODE',
    labels: s.labels,
    annotations: s.annotations,
    runtimeHandler: s.runtime_handler,
  };
}

function toContainerStatus(c: ContainerStatus__Output): CriContainerStatus {
  const user = c.user?.linux;
  return {
    id: c.id,
    name: c.metadata?.name ?? '',
    attempt: c.metadata?.attempt ?? 0,
    state: stateOf(c.state),
    createdAtNs: BigInt(c.created_at),
    startedAtNs: BigInt(c.started_at),
    finishedAtNs: BigInt(c.finished_at),
    exitCode: c.exit_code,
    image: c.image?.user_specified_image || c.image?.image || '',
    imageRef: c.image_ref,
    imageId: c.image_id,
    reason: c.reason,
    message: c.message,
    labels: c.labels,
    annotations: c.annotations,
    mounts: c.mounts.map((m) => ({
      containerPath: m.container_path,
      hostPath: m.host_path,
      readonly: m.readonly,
      ...(m.image?.image ? { image: m.image.image } : {}),
    })),
    logPath: c.log_path,
    resources: c.resources?.linux ?? undefined,
    stopSignal: fromRuntimeSignal(c.stop_signal),
    user:
      user === null || user === undefined
        ? undefined
        : { uid: Number(user.uid), gid: Number(user.gid), supplementalGroups: user.supplemental_groups.map(Number) },
  };
}

function toImage(i: Image__Output): CriImage {
  return {
    id: i.id,
    repoTags: i.repo_tags,
    repoDigests: i.repo_digests,
    sizeBytes: Number(i.size),
    uid: i.uid === null ? undefined : Number(i.uid.value),
    username: i.username,
    pinned: i.pinned,
  };
}
