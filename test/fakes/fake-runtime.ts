/**
 * The sandboxes and containers of the fake runtime, which change state as containerd's do: same states, same codes,
 * same order of things. Knows nothing of gRPC servers.
 */
import { randomBytes } from 'node:crypto';
import { appendFile, mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { ContainerConfig__Output } from '../../src/adapters/cri/generated/runtime/v1/ContainerConfig.ts';
import type { PodSandboxConfig__Output } from '../../src/adapters/cri/generated/runtime/v1/PodSandboxConfig.ts';
import { type Clock, rfc3339Nanos } from '../../src/base/clock.ts';
import type { FakeContainer, FakeProcess, FakeSandbox } from './fake-containers.ts';
import { FakeRpcError } from './fake-faults.ts';
import type { FakeImages } from './fake-images.ts';

export type FakeContainerChange = 'CREATED' | 'STARTED' | 'STOPPED' | 'DELETED';

/** A container by id, or by its pod (name, `namespace/name` or uid) and its name in it: the newest of that name. */
export type ContainerRef = string | { pod: string; name: string };

interface RuntimeNeeds {
  clock: Clock;
  images: FakeImages;
  /** As containerd since 2.1. */
  canMountImages: boolean;
  /** Whether CNI can give a pod an address. */
  isNetworkReady: () => boolean;
  /** The program of a new container. */
  processFor: (config: ContainerConfig__Output, sandbox: FakeSandbox) => FakeProcess;
  onChange: (change: FakeContainerChange, id: string, sandbox: FakeSandbox, container?: FakeContainer) => void;
}

const killedExitCode = 137;
const startErrorExitCode = 128;

export class FakeRuntime {
  readonly #need: RuntimeNeeds;
  readonly sandboxes = new Map<string, FakeSandbox>();
  readonly containers = new Map<string, FakeContainer>();
  readonly #ips: string[];
  #lastNs = 0n;

  /** @param ipPool addresses that pods get, in order; a freed one goes to the end */
  constructor(ipPool: readonly string[], need: RuntimeNeeds) {
    this.#need = need;
    this.#ips = [...ipPool];
  }

  // ---- sandboxes

  runSandbox(config: PodSandboxConfig__Output, runtimeHandler: string): string {
    const { metadata } = config;
    if (metadata === null) throw new FakeRpcError('UNKNOWN', 'sandbox config must include metadata');
    const nameOf = (m: typeof metadata): string => `${m.name}_${m.namespace}_${m.uid}_${m.attempt}`;
    const name = nameOf(metadata);
    for (const other of this.sandboxes.values()) {
      if (other.config.metadata !== null && nameOf(other.config.metadata) === name) {
        throw new FakeRpcError(
          'UNKNOWN',
          `failed to reserve sandbox name "${name}": name "${name}" is reserved for "${other.id}"`,
        );
      }
    }
    const id = randomBytes(32).toString('hex');
    const isHostNetwork = config.linux?.security_context?.namespace_options?.network === 'NODE';
    const sandbox: FakeSandbox = {
      id,
      config,
      runtimeHandler,
      createdAtNs: this.#nowNs(),
      isReady: true,
      ip: isHostNetwork ? '' : this.#takeIp(id),
      hasNetwork: true,
    };
    this.sandboxes.set(id, sandbox);
    this.#need.onChange('CREATED', id, sandbox);
    this.#need.onChange('STARTED', id, sandbox);
    return id;
  }

  /** Kills what runs in it, then gives its address back. A stopped one stays as it is. */
  stopSandbox(id: string): void {
    const sandbox = this.sandbox(id);
    for (const container of this.containersOf(id)) this.#end(container, killedExitCode);
    this.killSandbox(id);
    if (!sandbox.hasNetwork) return;
    sandbox.hasNetwork = false;
    if (sandbox.ip !== '') this.#ips.push(sandbox.ip);
  }

  removeSandbox(id: string): void {
    const sandbox = this.sandboxes.get(id);
    if (sandbox === undefined) return;
    this.stopSandbox(id);
    for (const container of this.containersOf(id)) this.removeContainer(container.id);
    this.sandboxes.delete(id);
    this.#need.onChange('DELETED', id, sandbox);
  }

  /** Ends the pause process alone: containers go on, the network namespace stays. */
  killSandbox(id: string): void {
    const sandbox = this.sandbox(id);
    if (!sandbox.isReady) return;
    sandbox.isReady = false;
    this.#need.onChange('STOPPED', id, sandbox);
  }

  // ---- containers

  createContainer(sandboxId: string, config: ContainerConfig__Output): string {
    const sandbox = this.sandboxes.get(sandboxId);
    if (sandbox === undefined) {
      throw new FakeRpcError('NOT_FOUND', `failed to find sandbox id "${sandboxId}": not found`);
    }
    if (!sandbox.isReady) {
      throw new FakeRpcError(
        'NOT_FOUND',
        `failed to get sandbox container task: no running task found: task ${sandboxId} not found: not found`,
      );
    }
    if (config.metadata === null) throw new FakeRpcError('UNKNOWN', 'container config must include metadata');
    const { name, attempt } = config.metadata;
    const twin = this.containersOf(sandboxId).find(
      (other) => other.config.metadata?.name === name && other.config.metadata.attempt === attempt,
    );
    if (twin !== undefined) {
      const m = sandbox.config.metadata;
      const full = `${name}_${m?.name}_${m?.namespace}_${m?.uid}_${attempt}`;
      throw new FakeRpcError(
        'UNKNOWN',
        `failed to reserve container name "${full}": name "${full}" is reserved for "${twin.id}"`,
      );
    }
    const image = this.#need.images.find(config.image?.image ?? '');
    if (image === undefined) {
      throw new FakeRpcError('NOT_FOUND', `failed to resolve image "${config.image?.image ?? ''}": not found`);
    }
    const id = randomBytes(32).toString('hex');
    this.#checkImageMounts(id, config);
    const { log_directory: logDirectory } = sandbox.config;
    const container: FakeContainer = {
      id,
      sandboxId,
      config,
      image,
      createdAtNs: this.#nowNs(),
      state: 'created',
      startedAtNs: 0n,
      finishedAtNs: 0n,
      exitCode: 0,
      reason: '',
      message: '',
      logPath: logDirectory !== '' && config.log_path !== '' ? join(logDirectory, config.log_path) : '',
      process: this.#need.processFor(config, sandbox),
      ended: new AbortController(),
    };
    this.containers.set(id, container);
    this.#need.onChange('CREATED', id, sandbox, container);
    return id;
  }

  /** A runtime that does not know mounts of images sees mounts of no path. */
  #checkImageMounts(id: string, { mounts }: ContainerConfig__Output): void {
    for (const { image, host_path: hostPath } of mounts) {
      if (image === null && hostPath !== '') continue;
      const spec = `failed to generate container "${id}" spec: failed to generate spec`;
      if (image === null || !this.#need.canMountImages) {
        throw new FakeRpcError('UNKNOWN', `${spec}: failed to mkdir "": mkdir : no such file or directory`);
      }
      if (this.#need.images.find(image.image) === undefined) {
        throw new FakeRpcError('UNKNOWN', `failed to mutate image mount: image "${image.image}": not found`);
      }
    }
  }

  async startContainer(id: string): Promise<void> {
    const container = this.container(id);
    if (container.state !== 'created') {
      const state = `CONTAINER_${container.state.toUpperCase()}`;
      throw new FakeRpcError(
        'UNKNOWN',
        `failed to set starting state for container "${id}": container is in ${state} state`,
      );
    }
    const sandbox = this.sandbox(container.sandboxId);
    const failure = sandbox.isReady
      ? container.process.failsToStart
      : `sandbox container "${container.sandboxId}" is not running`;
    if (failure !== undefined) {
      container.state = 'exited';
      container.finishedAtNs = this.#nowNs();
      container.exitCode = startErrorExitCode;
      container.reason = 'StartError';
      container.message = failure;
      throw new FakeRpcError('UNKNOWN', failure);
    }
    container.state = 'running';
    container.startedAtNs = this.#nowNs();
    if (container.logPath !== '') {
      await mkdir(dirname(container.logPath), { recursive: true });
      await appendFile(container.logPath, '');
    }
    this.#need.onChange('STARTED', id, sandbox, container);
    for (const line of container.process.output ?? []) await this.writeLog(id, line);
    const { exits } = container.process;
    if (exits !== undefined) {
      // `sleep` never rejects; ending one that has ended does nothing
      void this.#need.clock.sleep(exits.afterMs, container.ended.signal).then(() => this.#end(container, exits.code));
    }
  }

  /** SIGTERM, then SIGKILL after `timeoutSeconds`; 0 kills at once. One that does not run stays as it is. */
  async stopContainer(id: string, timeoutSeconds: number): Promise<void> {
    const container = this.container(id);
    if (container.state !== 'running') return;
    if (timeoutSeconds > 0) {
      if (container.process.onTerm !== 'ignores') {
        this.#end(container, container.process.onTerm);
        return;
      }
      await this.#need.clock.sleep(timeoutSeconds * 1000, container.ended.signal);
    }
    this.#end(container, killedExitCode);
  }

  /** Kills it if it runs. */
  removeContainer(id: string): void {
    const container = this.containers.get(id);
    if (container === undefined) return;
    this.#end(container, killedExitCode);
    this.containers.delete(id);
    const sandbox = this.sandboxes.get(container.sandboxId);
    if (sandbox !== undefined) this.#need.onChange('DELETED', id, sandbox, container);
  }

  /** The program ends by itself. @param reason containerd's own word by default: Completed or Error */
  exitContainer(id: string, exitCode: number, reason?: string): void {
    this.#end(this.container(id), exitCode, reason);
  }

  /** A line as CRI logs have it. */
  async writeLog(id: string, line: string, stream: 'stdout' | 'stderr' = 'stdout'): Promise<void> {
    const { logPath } = this.container(id);
    if (logPath !== '') {
      await appendFile(logPath, `${rfc3339Nanos(this.#need.clock.nowMs())} ${stream} F ${line}\n`);
    }
  }

  /** Makes the log file again where it was renamed away. */
  async reopenLog(id: string): Promise<void> {
    const { logPath, state } = this.container(id);
    if (state !== 'running') throw new FakeRpcError('UNKNOWN', 'container is not running');
    if (logPath !== '') await appendFile(logPath, '');
  }

  // ---- looking up

  containersOf(sandboxId: string): FakeContainer[] {
    return [...this.containers.values()].filter((container) => container.sandboxId === sandboxId);
  }

  /** @throws {FakeRpcError} NOT_FOUND */
  sandbox(id: string): FakeSandbox {
    const sandbox = this.sandboxes.get(id);
    if (sandbox === undefined) {
      throw new FakeRpcError('NOT_FOUND', 'an error occurred when try to find sandbox: not found');
    }
    return sandbox;
  }

  /** @throws {FakeRpcError} NOT_FOUND */
  container(id: string): FakeContainer {
    const container = this.containers.get(id);
    if (container === undefined) {
      throw new FakeRpcError('NOT_FOUND', `an error occurred when try to find container "${id}": not found`);
    }
    return container;
  }

  /** @throws when nothing fits: a mistake of the test */
  resolve(ref: ContainerRef): FakeContainer {
    if (typeof ref === 'string') return this.container(ref);
    const fits = [...this.containers.values()].filter(({ config, sandboxId }) => {
      const pod = this.sandboxes.get(sandboxId)?.config.metadata;
      if (config.metadata?.name !== ref.name || pod === null || pod === undefined) return false;
      return [pod.name, pod.uid, `${pod.namespace}/${pod.name}`].includes(ref.pod);
    });
    const newest = fits.at(-1);
    if (newest === undefined)
      throw new Error(`Cannot find container "${ref.name}" of pod "${ref.pod}" in the fake runtime`);
    return newest;
  }

  #end(container: FakeContainer, exitCode: number, reason = exitCode === 0 ? 'Completed' : 'Error'): void {
    if (container.state !== 'running') return;
    container.state = 'exited';
    container.exitCode = exitCode;
    container.finishedAtNs = this.#nowNs();
    container.reason = reason;
    container.ended.abort();
    const sandbox = this.sandboxes.get(container.sandboxId);
    if (sandbox !== undefined) this.#need.onChange('STOPPED', container.id, sandbox, container);
  }

  #takeIp(sandboxId: string): string {
    const failed = `failed to setup network for sandbox "${sandboxId}": `;
    if (!this.#need.isNetworkReady()) throw new FakeRpcError('UNKNOWN', `${failed}cni plugin not initialized`);
    const ip = this.#ips.shift();
    if (ip === undefined) {
      throw new FakeRpcError(
        'UNKNOWN',
        `${failed}plugin type="bridge" failed (add): failed to allocate for range 0: no IP addresses available in range set`,
      );
    }
    return ip;
  }

  /** Later than every time told before, as a real clock with nanoseconds is. */
  #nowNs(): bigint {
    const nowNs = BigInt(Math.round(this.#need.clock.nowMs())) * 1_000_000n;
    this.#lastNs = nowNs > this.#lastNs ? nowNs : this.#lastNs + 1n;
    return this.#lastNs;
  }
}
