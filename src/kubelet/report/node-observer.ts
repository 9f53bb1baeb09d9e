/**
 * What the node is at one moment, for its status: asks the machine, the runtime and the other rooms, each by itself. A
 * part that cannot be told is said once and left out, a runtime or name service that hangs is not waited for long.
 * Owns the facts that are read once, and the answers that are asked for seldom.
 */
import type { CriImage, CriRuntimeStatus } from '../../adapters/cri/cri-types.ts';
import type { Host, HostFacts } from '../../adapters/host/host.ts';
import type { Clock } from '../../base/clock.ts';
import { withDeadline } from '../../base/deadline.ts';
import { describeError } from '../../base/errors.ts';
import type { Logger } from '../../base/logger.ts';
import type { Node, NodeAddress, Taint } from '../../objects/generated/core-v1.ts';
import { type NodeIpChoice, computeNodeAddresses } from './node-addresses.ts';
import type { NodeObservation } from './node-status.ts';

/** The part of the kubelet's configuration that the Node object needs; `KubeletConfig` fits. */
export interface NodeReportConfig {
  nodeIps: NodeIpChoice;
  nodeLabels: Readonly<Record<string, string>>;
  registerNode: boolean;
  registerWithTaints: readonly Taint[];
  providerId: string;
  cloudProvider: '' | 'external';
  enableControllerAttachDetach: boolean;
  localStorageCapacityIsolation: boolean;
  nodeStatusUpdatePeriodMs: number;
  nodeStatusReportPeriodMs: number;
  nodeStatusMaxImages: number;
  server: { port: number };
}

export interface NodeObserverNeed {
  nodeName: string;
  config: NodeReportConfig;
  host: Pick<Host, 'addresses' | 'defaultRouteAddress' | 'lookup'>;
  /** Asked once: what changes needs a restart to be seen. */
  facts(): Promise<HostFacts>;
  /** What the machine has and what of it pods may use. */
  resources(): Promise<{ capacity: Record<string, string>; allocatable: Record<string, string> }>;
  /** Name and version of the runtime; undefined while it is away. */
  runtimeVersion(signal: AbortSignal): Promise<{ runtimeName: string; runtimeVersion: string } | undefined>;
  runtimeStatus(): CriRuntimeStatus | undefined;
  /** Why no pod can run: the runtime's readiness and the relist's. */
  runtimeErrors(): readonly string[];
  networkError(): string | undefined;
  storageErrors(): readonly string[];
  pressures(): { memory: boolean; disk: boolean; pid: boolean };
  images(signal: AbortSignal): Promise<readonly CriImage[]>;
  /** Undefined until volumes have been looked at once. */
  volumesInUse(): readonly string[] | undefined;
  declaredFeatures: readonly string[];
  isShuttingDown(): boolean;
  clock: Clock;
  log: Logger;
}

const imagesMaxAgeMs = 30_000;
const runtimeTimeoutMs = 2000;
const nameMaxAgeMs = 300_000;
const nameTimeoutMs = 2000;

export class NodeObserver {
  readonly #need: NodeObserverNeed;
  #facts: HostFacts | undefined;
  #images: { list: readonly CriImage[]; atMs: number } | undefined;
  #ofName: { list: readonly string[]; atMs: number } | undefined;
  /** Texts of failures of single parts, so that each is said once. */
  readonly #saidFailures = new Map<string, string>();

  constructor(need: NodeObserverNeed) {
    this.#need = need;
  }

  /** Each part by itself: one that fails is said once and leaves the others alone. */
  async observe(base: Node, signal: AbortSignal): Promise<NodeObservation> {
    const need = this.#need;
    const { config } = need;
    const facts = await this.facts();
    const resources = await this.#part('resources', () => need.resources());
    const addresses = await this.#part('addresses', () => this.#addresses(base.status?.addresses ?? [], signal));
    const runtime = await this.#part('runtime version', () => this.#soon((s) => need.runtimeVersion(s), signal));
    const images = await this.#part('images', () => this.#soon((s) => this.#recentImages(s), signal));
    const { memory, disk, pid } = need.pressures();
    return {
      facts,
      resources,
      addresses,
      runtime: runtime === undefined ? undefined : { name: runtime.runtimeName, version: runtime.runtimeVersion },
      runtimeStatus: need.runtimeStatus(),
      images,
      imagesMax: config.nodeStatusMaxImages,
      kubeletPort: config.server.port,
      health: {
        hasMemoryPressure: memory,
        hasDiskPressure: disk,
        hasPidPressure: pid,
        runtimeErrors: need.runtimeErrors(),
        networkError: need.networkError(),
        storageErrors: need.storageErrors(),
        isShuttingDown: need.isShuttingDown(),
      },
      volumesInUse: need.volumesInUse(),
      declaredFeatures: need.declaredFeatures,
      hasLocalStorageIsolation: config.localStorageCapacityIsolation,
    };
  }

  /** Undefined when the machine cannot be read: then it is tried again. */
  async facts(): Promise<HostFacts | undefined> {
    this.#facts ??= await this.#part('machine', () => this.#need.facts());
    return this.#facts;
  }

  async #addresses(existing: readonly NodeAddress[], signal: AbortSignal): Promise<NodeAddress[]> {
    const { nodeName, config, host } = this.#need;
    const { ips, preferredFamily } = config.nodeIps;
    const isGiven = ips.length > 0;
    return computeNodeAddresses(
      nodeName,
      config.nodeIps,
      config.cloudProvider === 'external',
      {
        addresses: host.addresses(),
        ofName: isGiven ? [] : await this.#addressesOfName(signal),
        ofDefaultRoute: isGiven ? undefined : await host.defaultRouteAddress(preferredFamily),
      },
      existing,
    );
  }

  /** Asked seldom and not waited for long: a name service that is away would hold up every status. */
  async #addressesOfName(signal: AbortSignal): Promise<readonly string[]> {
    const { host, nodeName, clock, log } = this.#need;
    if (this.#ofName === undefined || clock.monotonicMs() - this.#ofName.atMs > nameMaxAgeMs) {
      let list: readonly string[] = [];
      try {
        list = await withDeadline('the look-up of the node name', nameTimeoutMs, clock, signal, () =>
          host.lookup(nodeName),
        );
      } catch (err) {
        log.debug({ reason: describeError(err) }, 'the name service does not know the node, its default route does');
      }
      this.#ofName = { list, atMs: clock.monotonicMs() };
    }
    return this.#ofName.list;
  }

  async #recentImages(signal: AbortSignal): Promise<readonly CriImage[]> {
    const { images, clock, config } = this.#need;
    if (config.nodeStatusMaxImages === 0) return [];
    if (this.#images === undefined || clock.monotonicMs() - this.#images.atMs > imagesMaxAgeMs) {
      this.#images = { list: await images(signal), atMs: clock.monotonicMs() };
    }
    return this.#images.list;
  }

  async #part<T>(name: string, read: () => Promise<T>): Promise<T | undefined> {
    try {
      const value = await read();
      this.#saidFailures.delete(name);
      return value;
    } catch (err) {
      const reason = describeError(err);
      if (this.#saidFailures.get(name) !== reason) {
        this.#saidFailures.set(name, reason);
        this.#need.log.warn({ part: name, reason }, 'cannot tell a part of the node status, the old one stays');
      }
      return undefined;
    }
  }

  /** A runtime that hangs must not keep the node from saying so. */
  #soon<T>(ask: (signal: AbortSignal) => Promise<T>, signal: AbortSignal): Promise<T> {
    return withDeadline('the container runtime', runtimeTimeoutMs, this.#need.clock, signal, ask);
  }
}
