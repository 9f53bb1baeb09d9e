/**
 * A container runtime for tests: a real CRI v1 server on a Unix socket that keeps sandboxes, containers and images in
 * memory and behaves like containerd 1.6 (test/contracts/cri-contract.ts runs against both).
 *
 *     const cri = await openFakeCri();           // endpoint in cri.endpoint
 *     cri.images.add('web:1');                   // there; `images.publish` makes it pullable
 *     cri.behave({ name: 'stubborn' }, { onTerm: 'ignores' });
 *     cri.exitContainer({ pod: 'default/web', name: 'web' }, 1);
 *     const hang = cri.hang('RunPodSandbox'); … hang.release();
 *     cri.failNext('CreateContainer', 'UNAVAILABLE', 'away');
 *     await cri.stop(); await cri.start();       // a restart of the runtime: what it held is still there
 *     await cri.close();
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ContainerConfig__Output } from '../../src/adapters/cri/generated/runtime/v1/ContainerConfig.ts';
import type { ContainerEventResponse } from '../../src/adapters/cri/generated/runtime/v1/ContainerEventResponse.ts';
import { type Clock, systemClock } from '../../src/base/clock.ts';
import { GrpcServer, ServerCredentials, type ServerWritableStream, loadService } from '../../src/base/grpc.ts';
import {
  type FakeContainer,
  type FakeProcess,
  type FakeSandbox,
  type MessageFields,
  toContainerStatus,
  toSandboxStatus,
} from './fake-containers.ts';
import { imageMethods, runtimeMethods } from './fake-cri-methods.ts';
import { type FakeCall, Faults, FakeRpcError, type GrpcCodeName, type Hang, type MatchRequest } from './fake-faults.ts';
import { FakeImages } from './fake-images.ts';
import { type ContainerRef, type FakeContainerChange, FakeRuntime } from './fake-runtime.ts';

export interface FakeCriOptions {
  /** Moves graces and exits; the system's by default. */
  clock?: Clock;
  /** Addresses for pods; 10.88.0.2 … 10.88.0.254 by default. */
  ipPool?: readonly string[];
  /** Whether the runtime has GetContainerEvents; false as in containerd 1.6. */
  hasEvents?: boolean;
  /** Which containerd's messages; 1.6 by default. */
  fields?: MessageFields;
  /** What Status says about runtime handlers; nothing by default, as containerd 1.6. The default one has no name. */
  handlers?: ReadonlyArray<{ name: string; userNamespaces?: boolean; recursiveReadOnlyMounts?: boolean }>;
  /** Whether the runtime has RuntimeConfig, and what it says there; Unimplemented by default. */
  cgroupDriver?: 'SYSTEMD' | 'CGROUPFS';
  /** Where Exec, Attach and PortForward send their callers, without a slash at the end; refused by default. */
  streamingUrl?: string;
}

/** Which containers a behaviour is meant for; what is left out fits everything. */
export interface ContainerMatch {
  /** Name, `namespace/name` or uid. */
  pod?: string;
  /** The container's name. */
  name?: string;
  /** As the pod wrote it, or as the runtime was asked for it. */
  image?: string;
}

export interface ExecResult {
  exitCode: number;
  stdout?: string;
  stderr?: string;
}

/** Answers ExecSync; `undefined` for a command that never ends. */
export type ExecScript = (
  command: readonly string[],
  container: { id: string; name: string; pod: string },
) => ExecResult | undefined | Promise<ExecResult | undefined>;

export interface FakeStats {
  cpuCoreNanoSeconds: number;
  workingSetBytes: number;
}

export class FakeCri {
  readonly socketPath: string;
  readonly images = new FakeImages();
  readonly runtime: FakeRuntime;
  readonly faults = new Faults();
  readonly options: Readonly<FakeCriOptions>;
  readonly clock: Clock;
  readonly #directory: string;
  readonly #behaviours: Array<{ match: ContainerMatch; process: FakeProcess }> = [];
  readonly #stats = new Map<string, FakeStats>();
  #listeners = new Set<ServerWritableStream<unknown, ContainerEventResponse>>();
  #server: InstanceType<typeof GrpcServer> | undefined;
  #runtimeReady = true;
  #networkReady = true;
  #sandboxFailure: string | undefined;
  #hasEvents: boolean;
  #execScript: ExecScript = () => ({ exitCode: 0 });
  #podCidr = '';

  /** @param directory an own folder for the socket; `close` removes it */
  constructor(directory: string, options: FakeCriOptions = {}) {
    this.#directory = directory;
    this.socketPath = join(directory, 'cri.sock');
    this.options = options;
    this.clock = options.clock ?? systemClock;
    this.#hasEvents = options.hasEvents ?? false;
    this.runtime = new FakeRuntime(options.ipPool ?? Array.from({ length: 253 }, (_, i) => `10.88.0.${i + 2}`), {
      clock: this.clock,
      images: this.images,
      canMountImages: this.fields !== '1.6',
      isNetworkReady: () => this.#networkReady,
      processFor: (config, sandbox) => this.#processFor(config, sandbox),
      onChange: (change, id, sandbox) => this.#tell(change, id, sandbox),
    });
  }

  /** `unix:///…/cri.sock` */
  get endpoint(): string {
    return `unix://${this.socketPath}`;
  }

  // ---- the server

  async start(): Promise<void> {
    if (this.#server !== undefined) return;
    const server = new GrpcServer({ 'grpc.max_receive_message_length': 16 * 1024 * 1024 });
    server.addService(loadService('cri-v1.proto', 'runtime.v1.RuntimeService').service, runtimeMethods(this));
    server.addService(loadService('cri-v1.proto', 'runtime.v1.ImageService').service, imageMethods(this));
    await rm(this.socketPath, { force: true });
    await new Promise<void>((resolve, reject) =>
      server.bindAsync(`unix://${this.socketPath}`, ServerCredentials.createInsecure(), (err) =>
        err === null ? resolve() : reject(err),
      ),
    );
    this.#server = server;
  }

  /** The runtime goes away: calls in progress fail, the socket is gone, containers run on. */
  async stop(): Promise<void> {
    for (const listener of this.#listeners) listener.end();
    this.#listeners.clear();
    this.#server?.forceShutdown();
    this.#server = undefined;
    await rm(this.socketPath, { force: true });
  }

  /** Stops for good and removes the folder. */
  async close(): Promise<void> {
    await this.stop();
    for (const { ended } of this.runtime.containers.values()) ended.abort(); // nobody sleeps on
    await rm(this.#directory, { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  // ---- levers

  /** How containers that fit behave; they are asked when they are created, the latest that fits counts. */
  behave(match: ContainerMatch, process: Partial<FakeProcess>): void {
    this.#behaviours.push({ match, process: { onTerm: 0, ...process } });
  }

  exitContainer(ref: ContainerRef, exitCode: number, reason?: string): void {
    this.runtime.exitContainer(this.runtime.resolve(ref).id, exitCode, reason);
  }

  /** The pause process dies; containers go on. @param id the sandbox, or a pod: its newest sandbox */
  killSandbox(id: string): void {
    this.runtime.killSandbox(this.#sandboxId(id));
  }

  writeLog(ref: ContainerRef, line: string, stream: 'stdout' | 'stderr' = 'stdout'): Promise<void> {
    return this.runtime.writeLog(this.runtime.resolve(ref).id, line, stream);
  }

  failNext(method: string, codeName: GrpcCodeName, message: string, times?: number, match?: MatchRequest): void {
    this.faults.failNext(method, codeName, message, times, match);
  }

  hang(method: string, match?: MatchRequest): Hang {
    return this.faults.hang(method, match);
  }

  get calls(): readonly FakeCall[] {
    return this.faults.calls;
  }

  callsOf(method: string): FakeCall[] {
    return this.faults.calls.filter((call) => call.method === method);
  }

  clearCalls(): void {
    this.faults.clearCalls();
  }

  nextCall(method: string, match?: MatchRequest): Promise<FakeCall> {
    return this.faults.nextCall(method, match);
  }

  setRuntimeReady(isReady: boolean): void {
    this.#runtimeReady = isReady;
  }

  /** Without a network, sandboxes with their own one cannot be made. */
  setNetworkReady(isReady: boolean): void {
    this.#networkReady = isReady;
  }

  /** Sandboxes fail to start, and what was made of them stays and is not ready: so it is when a network plugin is missing. */
  setSandboxesFail(message: string | undefined): void {
    this.#sandboxFailure = message;
  }

  setEventsSupported(hasEvents: boolean): void {
    this.#hasEvents = hasEvents;
  }

  setExecScript(script: ExecScript): void {
    this.#execScript = script;
  }

  setStats(ref: ContainerRef, stats: FakeStats): void {
    this.#stats.set(this.runtime.resolve(ref).id, stats);
  }

  // ---- what tests look at

  /** A pod's containers, oldest first, of all its sandboxes. @param pod name, `namespace/name` or uid */
  containersOfPod(pod: string): FakeContainer[] {
    const ids = new Set(this.sandboxesOfPod(pod).map(({ id }) => id));
    return [...this.runtime.containers.values()].filter(({ sandboxId }) => ids.has(sandboxId));
  }

  /** A pod's sandboxes, oldest first. */
  sandboxesOfPod(pod: string): FakeSandbox[] {
    return [...this.runtime.sandboxes.values()].filter((sandbox) => isPod(sandbox, pod));
  }

  /** The CIDR that UpdateRuntimeConfig brought. */
  get podCidr(): string {
    return this.#podCidr;
  }

  // ---- for the methods

  get fields(): MessageFields {
    return this.options.fields ?? '1.6';
  }

  get isRuntimeReady(): boolean {
    return this.#runtimeReady;
  }

  get isNetworkReady(): boolean {
    return this.#networkReady;
  }

  get sandboxFailure(): string | undefined {
    return this.#sandboxFailure;
  }

  get hasEvents(): boolean {
    return this.#hasEvents;
  }

  setPodCidr(podCidr: string): void {
    this.#podCidr = podCidr;
  }

  statsOf(id: string): FakeStats {
    return this.#stats.get(id) ?? { cpuCoreNanoSeconds: 0, workingSetBytes: 0 };
  }

  async exec(id: string, command: readonly string[]): Promise<ExecResult | undefined> {
    const container = this.runtime.containers.get(id);
    if (container === undefined) {
      const reason = `failed to find container "${id}" in store: not found`;
      throw new FakeRpcError('NOT_FOUND', `failed to exec in container: ${reason}`);
    }
    if (container.state !== 'running') {
      const state = `CONTAINER_${container.state.toUpperCase()}`;
      throw new FakeRpcError('UNKNOWN', `failed to exec in container: container is in ${state} state`);
    }
    const pod = this.runtime.sandbox(container.sandboxId).config.metadata;
    const name = container.config.metadata?.name ?? '';
    return await this.#execScript(command, { id, name, pod: `${pod?.namespace}/${pod?.name}` });
  }

  listen(stream: ServerWritableStream<unknown, ContainerEventResponse>): void {
    this.#listeners.add(stream);
    stream.on('cancelled', () => this.#listeners.delete(stream));
  }

  #tell(change: FakeContainerChange, id: string, sandbox: FakeSandbox): void {
    const event: ContainerEventResponse = {
      container_id: id,
      container_event_type: `CONTAINER_${change}_EVENT`,
      created_at: String(BigInt(Math.round(this.clock.nowMs())) * 1_000_000n),
      pod_sandbox_status: toSandboxStatus(sandbox),
      containers_statuses: this.runtime
        .containersOf(sandbox.id)
        .map((container) => toContainerStatus(container, this.fields)),
    };
    for (const listener of this.#listeners) listener.write(event);
  }

  #processFor(config: ContainerConfig__Output, sandbox: FakeSandbox): FakeProcess {
    const fits = ({ match }: { match: ContainerMatch }): boolean =>
      (match.pod === undefined || isPod(sandbox, match.pod)) &&
      (match.name === undefined || match.name === config.metadata?.name) &&
      (match.image === undefined ||
        [config.image?.image, config.image?.user_specified_image].includes(match.image) ||
        this.images.find(config.image?.image ?? '') === this.images.find(match.image));
    return this.#behaviours.findLast(fits)?.process ?? { onTerm: 0 };
  }

  #sandboxId(ref: string): string {
    return this.runtime.sandboxes.has(ref) ? ref : (this.sandboxesOfPod(ref).at(-1)?.id ?? ref);
  }
}

/** A fake that is ready to be called, in a folder of its own. */
export async function openFakeCri(options: FakeCriOptions = {}): Promise<FakeCri> {
  const cri = new FakeCri(await mkdtemp(join(tmpdir(), 'gantry-cri-')), options);
  await cri.start();
  return cri;
}

function isPod(sandbox: FakeSandbox, pod: string): boolean {
  const metadata = sandbox.config.metadata;
  return metadata !== null && [metadata.name, metadata.uid, `${metadata.namespace}/${metadata.name}`].includes(pod);
}
