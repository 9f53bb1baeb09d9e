/**
 * The node as the API server sees it. Owns the Node object's last known state and when it was last written. Promises:
 * the Node is registered as soon as the server can be reached; its status is computed every update period and written
 * when it changed, or when the report period is over; a change that is marked is written at once. Lives through any
 * outage; `node()` has a Node from the start, with or without a server.
 */
import { waitIsOver } from '../../base/quiet-abort.ts';
import { type ApiClient, apiStatus } from '../../client/api-client.ts';
import { nodes } from '../../client/resource-types.ts';
import { rfc3339Seconds } from '../../base/clock.ts';
import { withDeadline } from '../../base/deadline.ts';
import { describeError, isConflict } from '../../base/errors.ts';
import type { Node } from '../../objects/generated/core-v1.ts';
import { NodeObserver, type NodeObserverNeed } from './node-observer.ts';
import { initialNode, reconcileNode } from './node-registration.ts';
import { type NodeMemory, computeNodeStatus, isNodeChanged, nodePatch } from './node-status.ts';

export interface NodeReporterNeed extends NodeObserverNeed {
  /** Undefined: standalone, without a server. */
  api: Pick<ApiClient, 'get' | 'create' | 'patch'> | undefined;
  /** Whether device plugins' checkpoint is there. */
  hasDeviceState: boolean;
  /** The Node as a watch sees it; undefined before the first look, or without a watch. */
  cachedNode(): Node | undefined;
  /** An event on the Node object. */
  event(type: 'Normal' | 'Warning', reason: string, message: string): void;
  /** 0 ≤ x < 1; `Math.random` by default. */
  random?: () => number;
}

const registerDelayInitialMs = 100;
const registerDelayMaxMs = 7000;
const periodJitter = 0.04;
const writeTries = 5;
/** A request that takes longer than this is given up: the next one may get through. */
const requestTimeoutMs = 10_000;

export class NodeReporter {
  readonly #need: NodeReporterNeed;
  readonly #observer: NodeObserver;
  #isRegistered = false;
  /** The newest Node we know: from the server, or computed here while there is none. */
  #node: Node | undefined;
  #memory: NodeMemory = { bootIdSeen: false, wasUnschedulable: false };
  #lastReportMs: number | undefined;
  #reportDelayMs = 0;
  #isFailing = false;
  #hasAnnounced = false;
  #isMarked = false;
  #wake: () => void = () => {};

  constructor(need: NodeReporterNeed) {
    this.#need = need;
    this.#observer = new NodeObserver(need);
  }

  /** The Node as last known; before registration as it would be registered. Undefined only before `run`. */
  node(): Node | undefined {
    return newer(this.#need.cachedNode(), this.#node);
  }

  /** Something that the status shows may have changed: compute it now. */
  markChanged(): void {
    this.#isMarked = true;
    this.#wake();
  }

  async run(signal: AbortSignal): Promise<void> {
    const { config, event, random = Math.random } = this.#need;
    event('Normal', 'Starting', 'Starting kubelet.');
    while (!signal.aborted) {
      this.#isMarked = false;
      await this.#turn(signal);
      await this.#sleepUnlessMarked(config.nodeStatusUpdatePeriodMs * (1 + periodJitter * random()), signal);
    }
  }

  async #turn(signal: AbortSignal): Promise<void> {
    const { api, config } = this.#need;
    if (api === undefined) return this.#computeLocally(signal);
    if (config.registerNode && !this.#isRegistered) await this.#register(signal);
    if (signal.aborted) return;
    try {
      await this.#sync(signal);
      this.#recover();
    } catch (err) {
      if (!signal.aborted) this.#fail(err, 'cannot update the node status, will retry');
    }
  }

  /** Before each try there is a wait, longer each time; the Node is computed anew for every try. */
  async #register(signal: AbortSignal): Promise<void> {
    const { clock, log, nodeName } = this.#need;
    if (this.#node === undefined) await this.#computeLocally(signal);
    for (let delayMs = registerDelayInitialMs; !signal.aborted; delayMs = Math.min(2 * delayMs, registerDelayMaxMs)) {
      await clock.sleep(delayMs, signal);
      if (signal.aborted) return;
      try {
        const wanted = await this.#initial(signal);
        this.#node = wanted; // for others, while the server is away
        this.#node = await this.#createOrReconcile(wanted, signal);
        this.#isRegistered = true;
        this.#recover();
        log.info({ node: nodeName }, 'node is registered');
        return;
      } catch (err) {
        if (!signal.aborted) this.#fail(err, 'cannot register the node, will retry');
      }
    }
  }

  async #createOrReconcile(wanted: Node, signal: AbortSignal): Promise<Node> {
    const { nodeName, hasDeviceState } = this.#need;
    try {
      return await this.#call((api, s) => api.create(nodes, wanted, s), signal);
    } catch (err) {
      // a node that may not create its object may still have one that somebody made for it
      if (!isConflict(err) && apiStatus(err)?.code !== 403) throw err;
    }
    const existing = await this.#get(signal);
    const patch = nodePatch(existing, reconcileNode(existing, wanted, hasDeviceState));
    if (patch === undefined) return existing;
    return this.#call(
      (api, s) => api.patch(nodes, { name: nodeName, subresource: 'status' }, 'strategic', patch, s),
      signal,
    );
  }

  /** The Node as it would be registered now; its flips make no events, since nobody has seen them before. */
  async #initial(signal: AbortSignal): Promise<Node> {
    const { nodeName, config } = this.#need;
    const facts = await this.#observer.facts();
    if (facts === undefined) throw new Error('Cannot describe this node: the machine could not be read');
    const bare = initialNode({
      nodeName,
      architecture: facts.architecture,
      nodeLabels: config.nodeLabels,
      registerWithTaints: config.registerWithTaints,
      providerId: config.providerId,
      enableControllerAttachDetach: config.enableControllerAttachDetach,
      cloudProvider: config.cloudProvider,
      nodeIps: config.nodeIps.ips,
    });
    const seen = await this.#observer.observe(bare, signal);
    const { node, events } = computeNodeStatus(bare, seen, this.#memory, this.#now());
    if (!this.#hasAnnounced) {
      this.#hasAnnounced = true;
      for (const { type, reason, message } of events) this.#need.event(type, reason, message);
    }
    return node;
  }

  async #computeLocally(signal: AbortSignal): Promise<void> {
    try {
      this.#node = await this.#initial(signal);
    } catch (err) {
      if (!signal.aborted) this.#fail(err, 'cannot tell what this node is');
    }
  }

  async #sync(signal: AbortSignal): Promise<void> {
    let failure: unknown;
    for (let attempt = 1; attempt <= writeTries && !signal.aborted; attempt++) {
      try {
        await this.#writeOnce(attempt === 1 ? this.node() : undefined, signal);
        return;
      } catch (err) {
        failure = err;
      }
    }
    if (!signal.aborted) throw new Error('update node status exceeds retry count', { cause: failure });
  }

  async #writeOnce(known: Node | undefined, signal: AbortSignal): Promise<void> {
    const { clock, config, event, nodeName, random = Math.random } = this.#need;
    // before registration the known Node is only a computed one
    const base = known?.metadata.uid === undefined ? await this.#get(signal) : known;
    const seen = await this.#observer.observe(base, signal);
    const next = computeNodeStatus(base, seen, this.#memory, this.#now());
    const labelled = withOwnLabels(next.node, seen.facts?.architecture);
    const isChanged = isNodeChanged(base, labelled);
    const reportAfterMs = config.nodeStatusReportPeriodMs + this.#reportDelayMs;
    const isDue = this.#lastReportMs === undefined || clock.monotonicMs() - this.#lastReportMs >= reportAfterMs;
    if (isChanged || isDue) {
      // nodes that changed at the same moment shall not all report again at the same moment
      const spreadMs = (random() - 0.5) * config.nodeStatusReportPeriodMs;
      this.#reportDelayMs = isChanged || this.#lastReportMs === undefined ? spreadMs : 0;
      const patch = nodePatch(base, labelled);
      // nothing to write: registration has said all of it within the same second
      if (patch !== undefined) {
        this.#node = await this.#call(
          (api, s) => api.patch(nodes, { name: nodeName, subresource: 'status' }, 'strategic', patch, s),
          signal,
        );
      }
      this.#lastReportMs = clock.monotonicMs();
    }
    this.#memory = next.memory;
    for (const { type, reason, message } of next.events) event(type, reason, message);
  }

  #get(signal: AbortSignal): Promise<Node> {
    return this.#call((api, s) => api.get(nodes, { name: this.#need.nodeName }, s), signal);
  }

  #call<T>(
    work: (api: NonNullable<NodeReporterNeed['api']>, signal: AbortSignal) => Promise<T>,
    signal: AbortSignal,
  ): Promise<T> {
    const { api, clock } = this.#need;
    if (api === undefined) throw new Error('there is no API server: the kubelet runs standalone');
    return withDeadline('the node status request', requestTimeoutMs, clock, signal, (s) => work(api, s));
  }

  #now(): string {
    return rfc3339Seconds(this.#need.clock.nowMs());
  }

  /** Said once per outage. */
  #fail(err: unknown, message: string): void {
    const { log, nodeName } = this.#need;
    const fields = { node: nodeName, reason: describeError(err) };
    if (this.#isFailing) log.debug(fields, message);
    else log.warn(fields, message);
    this.#isFailing = true;
  }

  #recover(): void {
    if (this.#isFailing) this.#need.log.info('the node status reaches the API server again');
    this.#isFailing = false;
  }

  async #sleepUnlessMarked(ms: number, signal: AbortSignal): Promise<void> {
    if (this.#isMarked) return;
    const woken = new AbortController();
    this.#wake = () => woken.abort(waitIsOver);
    await this.#need.clock.sleep(ms, AbortSignal.any([signal, woken.signal]));
    this.#wake = () => {};
  }
}

/** Two labels that others rely on are put back when somebody changes them. */
function withOwnLabels(node: Node, architecture: string | undefined): Node {
  if (architecture === undefined) return node;
  const labels = { ...node.metadata.labels, 'kubernetes.io/os': 'linux', 'kubernetes.io/arch': architecture };
  return { ...node, metadata: { ...node.metadata, labels } };
}

/** The one with the higher resource version; a Node without one was only computed. */
function newer(a: Node | undefined, b: Node | undefined): Node | undefined {
  return versionOf(a) >= versionOf(b) ? (a ?? b) : b;
}

function versionOf(node: Node | undefined): bigint {
  const text = node?.metadata.resourceVersion ?? '';
  return /^\d+$/.test(text) ? BigInt(text) : -1n;
}
