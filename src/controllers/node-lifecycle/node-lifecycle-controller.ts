/**
 * Notices nodes that fall silent: marks them Unknown, taints them, and tells their pods.
 *
 * Owns: when each node was last heard, by our own clock, and how fast nodes may be emptied.
 * Needs: informers of nodes, leases and pods.
 */
import { rfc3339Seconds } from '../../base/clock.ts';
import { describeError, isNotFound } from '../../base/errors.ts';
import { runLoop } from '../../base/run-loop.ts';
import { runTogether } from '../../base/run-together.ts';
import type { WorkQueue } from '../../base/work-queue.ts';
import { type EventSink, eventTarget } from '../../client/event-recorder.ts';
import type { Informer } from '../../client/informer.ts';
import { leases, nodes as nodeType, pods as podType } from '../../client/resource-types.ts';
import { TokenBucket } from '../../client/token-bucket.ts';
import { findCondition, setCondition } from '../../objects/conditions.ts';
import type { Lease } from '../../objects/generated/coordination-v1.ts';
import type { Node, Pod, PodCondition, Taint } from '../../objects/generated/core-v1.ts';
import { type Controller, type ControllerContext, reconcileQueue, runQueue } from '../controller.ts';
import { isPodReady } from '../pod-state.ts';
import { sameJson } from '../same-json.ts';
import {
  type GracePeriods,
  type Heartbeat,
  nextHeartbeat,
  readyStatus,
  unknownConditions,
} from './assess-node-health.ts';
import {
  evictionRate,
  hasNoExecuteTaint,
  noExecuteTaintFor,
  withNoExecuteTaint,
  withNoScheduleTaints,
  zoneOf,
  zoneState,
} from './compute-node-taints.ts';

export interface NodeLifecycleOptions extends GracePeriods {
  periodMs: number;
}

const leaseNamespace = 'kube-node-lease';

interface Watched {
  heartbeat: Heartbeat;
  ready: 'True' | 'False' | 'Unknown' | undefined;
  /** The node stopped being ready and its pods have not been told yet. */
  mustTellPods: boolean;
}

export class NodeLifecycleController implements Controller {
  readonly #context: ControllerContext;
  readonly #options: NodeLifecycleOptions;
  readonly #events: EventSink;
  readonly #queue: WorkQueue;
  readonly #nodes: Informer<Node>;
  readonly #leases: Informer<Lease>;
  readonly #pods: Informer<Pod>;
  readonly #watched = new Map<string, Watched>();
  readonly #buckets = new Map<string, { rate: number; bucket: TokenBucket }>();
  #isAllLost = false;

  constructor(context: ControllerContext, options: NodeLifecycleOptions) {
    this.#context = context;
    this.#options = options;
    this.#events = context.eventsOf('node-controller');
    this.#queue = reconcileQueue(context, 'node-lifecycle');
    this.#nodes = context.informers.of(nodeType);
    this.#leases = context.informers.of(leases);
    this.#pods = context.informers.of(podType);
    this.#pods.addIndex('node', ({ spec }) => (spec.nodeName === undefined ? [] : [spec.nodeName]));
    const add = ({ metadata }: Node): void => this.#queue.add(metadata.name);
    this.#nodes.addHandlers({ onAdd: add, onUpdate: (_, node) => add(node) });
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#context;
    const informers = [this.#nodes, this.#leases, this.#pods];
    await Promise.all(informers.map((informer) => informer.whenSynced(signal)));
    const { periodMs } = this.#options;
    await runTogether(signal, [
      (inner) => runQueue(this.#queue, informers, (key, s) => this.#taint(key, s), inner),
      (inner) => runLoop((s) => this.#monitor(s), { periodMs, clock, log }, inner),
    ]);
  }

  /** Looks at every node once. */
  async #monitor(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#context;
    const nodes = this.#nodes.list();
    const names = new Set(nodes.map(({ metadata }) => metadata.name));
    for (const name of this.#watched.keys()) {
      if (names.has(name)) continue;
      this.#watched.delete(name);
      this.#nodeEvent({ metadata: { name }, spec: {} }, 'RemovingNode', `Removing Node ${name} from Controller`);
    }
    for (const node of nodes) {
      try {
        await this.#assess(node, clock.nowMs(), signal);
      } catch (err) {
        if (signal.aborted) return;
        log.warn({ node: node.metadata.name, reason: describeError(err) }, 'cannot assess node, will retry');
      }
    }
    await this.#limitEviction(signal);
  }

  async #assess(node: Node, nowMs: number, signal: AbortSignal): Promise<void> {
    const { client } = this.#context;
    const { name } = node.metadata;
    const known = this.#watched.get(name);
    if (known === undefined) this.#nodeEvent(node, 'RegisteredNode', `Registered Node ${name} in Controller`);
    const lease = this.#leases.get({ namespace: leaseNamespace, name });
    const heartbeat = nextHeartbeat(known?.heartbeat, node, lease, nowMs);
    const watched: Watched = { ready: undefined, mustTellPods: false, ...known, heartbeat };
    this.#watched.set(name, watched);
    const conditions = unknownConditions(node, heartbeat, this.#options, nowMs, rfc3339Seconds(nowMs));
    let ready = readyStatus(node);
    if (conditions !== undefined) {
      const ref = { name, subresource: 'status' };
      await client.patch(nodeType, ref, 'strategic', { status: { conditions } }, signal);
      ready = 'Unknown';
    }
    if (watched.ready === 'True' && ready !== 'True') {
      this.#nodeEvent(node, 'NodeNotReady', `Node ${name} status is now: NodeNotReady`);
      watched.mustTellPods = true;
    }
    watched.ready = ready;
    if (ready === 'True') watched.mustTellPods = false;
    if (watched.mustTellPods) {
      await this.#tellPods(name, signal);
      watched.mustTellPods = false;
    }
  }

  /** A pod on a lost node is not ready: Services must not send anybody there. */
  async #tellPods(nodeName: string, signal: AbortSignal): Promise<void> {
    const { client, clock } = this.#context;
    for (const pod of this.#pods.byIndex('node', nodeName)) {
      if (!isPodReady(pod)) continue;
      const before = findCondition(pod.status?.conditions, 'Ready');
      const wanted: PodCondition = { ...before, type: 'Ready', status: 'False' };
      const now = rfc3339Seconds(clock.nowMs());
      const condition = findCondition(setCondition(pod.status?.conditions, wanted, now), 'Ready');
      const { namespace, name, uid } = pod.metadata;
      try {
        await client.patch(
          podType,
          { namespace, name, subresource: 'status' },
          'strategic',
          { metadata: { uid }, status: { conditions: [condition] } },
          signal,
        );
        this.#events.record(eventTarget(podType, pod), 'Warning', 'NodeNotReady', 'Node is not ready');
      } catch (err) {
        if (!isNotFound(err)) throw err;
      }
    }
  }

  /** Adds evicting taints at the rate that the state of each zone allows; none at all when every zone is lost. */
  async #limitEviction(signal: AbortSignal): Promise<void> {
    const { clock } = this.#context;
    const zones = Map.groupBy(this.#nodes.list(), zoneOf);
    const states = new Map([...zones].map(([zone, members]) => [zone, zoneState(members)]));
    const isAllLost = states.size > 0 && [...states.values()].every((state) => state === 'FullDisruption');
    if (this.#isAllLost && !isAllLost) {
      // it was us who heard nothing: everybody gets a full grace period again
      for (const watched of this.#watched.values()) watched.heartbeat.heardMs = clock.nowMs();
    }
    this.#isAllLost = isAllLost;
    for (const [zone, members] of zones) {
      const rate = isAllLost ? 0 : evictionRate(states.get(zone) ?? 'Normal', members.length);
      const bucket = this.#bucketOf(zone, rate);
      for (const node of members) {
        if (isAllLost) {
          if (hasNoExecuteTaint(node))
            await this.#setTaints(node, (live, now) => withNoExecuteTaint(live, undefined, now), signal);
          continue;
        }
        const key = noExecuteTaintFor(node);
        if (key === undefined || hasNoExecuteTaint(node) || rate === 0 || !bucket.tryTake()) continue;
        await this.#setTaints(node, (live, now) => withNoExecuteTaint(live, noExecuteTaintFor(live), now), signal);
      }
    }
  }

  #bucketOf(zone: string, rate: number): TokenBucket {
    const known = this.#buckets.get(zone);
    if (known?.rate === rate) return known.bucket;
    const bucket = new TokenBucket({ qps: rate, burst: 1, clock: this.#context.clock });
    this.#buckets.set(zone, { rate, bucket });
    return bucket;
  }

  /** What follows from the conditions at once: NoSchedule taints, and an evicting taint that no longer fits. */
  async #taint(name: string, signal: AbortSignal): Promise<void> {
    const node = this.#nodes.get({ name });
    if (node === undefined) return;
    await this.#setTaints(
      node,
      (live, now) => {
        const taints = withNoScheduleTaints(live, now);
        const marked: Node = { ...live, spec: { ...live.spec, taints } };
        return hasNoExecuteTaint(live) ? withNoExecuteTaint(marked, noExecuteTaintFor(live), now) : taints;
      },
      signal,
    );
  }

  async #setTaints(node: Node, compute: (node: Node, now: string) => Taint[], signal: AbortSignal): Promise<void> {
    const { client, clock } = this.#context;
    const now = rfc3339Seconds(clock.nowMs());
    if (sameJson(compute(node, now), node.spec?.taints ?? [])) return;
    const { name } = node.metadata;
    try {
      const live = await client.get(nodeType, { name }, signal);
      const taints = compute(live, now);
      if (sameJson(taints, live.spec?.taints ?? [])) return;
      const { resourceVersion } = live.metadata;
      await client.patch(nodeType, { name }, 'merge', { metadata: { resourceVersion }, spec: { taints } }, signal);
    } catch (err) {
      if (!isNotFound(err)) throw err;
    }
  }

  #nodeEvent(node: Node, reason: string, message: string): void {
    this.#events.record(eventTarget(nodeType, node), 'Normal', reason, message);
  }
}
