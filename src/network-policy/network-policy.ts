/**
 * Network policies on a node: READ THIS FIRST. Pods, namespaces and policies as the API has them, and what the runtime
 * says of pods of this node before the API can, become one nft table (`compute/`), which `install/` keeps in the kernel.
 *
 * Owns: the informers, when to write and when to look again, and what is told.
 * Promises: nothing is written before all lists are there; a change is in the kernel with the next transaction; rules
 * stay in force while no agent runs, and a new one finds them again.
 */
import type { Attachment } from '../adapters/cni/attachments.ts';
import { readCounters } from '../adapters/host-network/rule-tables.ts';
import type { Clock } from '../base/clock.ts';
import { describeError } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import { runTogether } from '../base/run-together.ts';
import type { ApiClient } from '../client/api-client.ts';
import type { EventSink } from '../client/event-recorder.ts';
import { Informer } from '../client/informer.ts';
import { namespaces, networkPolicies, nodes, pods } from '../client/resource-types.ts';
import type { Namespace, Node, Pod } from '../objects/generated/core-v1.ts';
import type { NetworkPolicy } from '../objects/generated/networking-v1.ts';
import { objectKey } from '../objects/object-key.ts';
import { PodDirectory, trimPod } from './collect/pod-directory.ts';
import { strangersCounter } from './compute/base-objects.ts';
import { compilePolicy } from './compute/compile-policy.ts';
import { tableName } from './compute/nft-objects.ts';
import { counterName, directions } from './compute/policy-objects.ts';
import { PolicyState } from './compute/policy-state.ts';
import { PolicyTable } from './install/policy-table.ts';
import { type Drops, NetworkPolicyMetrics } from './metrics.ts';

export interface NetworkPolicyOptions {
  nodeName: string;
  lookPeriodMs?: number;
}

export interface NetworkPolicyNeed {
  client: Pick<ApiClient, 'list' | 'watch'>;
  events: EventSink;
  /** What the runtime remembers of the attachments of pods here, by file; until `signal` aborts. */
  watchAttachments: (
    onChange: (file: string, attachment: Attachment | undefined) => void,
    signal: AbortSignal,
  ) => Promise<void>;
  clock: Clock;
  log: Logger;
}

const lookPeriodMinMs = 5000;
/** In times of a look: the larger the table, the rarer. */
const lookPause = 30;
const retryMinMs = 200;
const retryMaxMs = 10_000;

export class NetworkPolicies {
  readonly #nodeName: string;
  /** Between two looks whether the table is still as it was written. */
  #lookPeriodMs: number;
  readonly #lookPeriodMinMs: number;
  readonly #need: NetworkPolicyNeed;
  readonly #metrics = new NetworkPolicyMetrics();
  readonly #state = new PolicyState();
  readonly #directory: PodDirectory;
  readonly #table = new PolicyTable();
  readonly #informers: {
    pods: Informer<Pod>;
    namespaces: Informer<Namespace>;
    policies: Informer<NetworkPolicy>;
    node: Informer<Node>;
  };
  /** By policy: what was told of it. */
  readonly #told = new Map<string, string>();
  #failure: string | undefined;
  #hasWritten = false;
  #isMarked = false;
  #wake: () => void = () => {};

  constructor({ nodeName, lookPeriodMs = lookPeriodMinMs }: NetworkPolicyOptions, need: NetworkPolicyNeed) {
    const { client, clock, log } = need;
    this.#nodeName = nodeName;
    this.#lookPeriodMs = lookPeriodMs;
    this.#lookPeriodMinMs = lookPeriodMs;
    this.#need = need;
    this.#directory = new PodDirectory(nodeName, this.#state);
    this.#informers = {
      pods: new Informer<Pod>({ client, type: pods, trim: trimPod, clock, log }),
      namespaces: new Informer<Namespace>({ client, type: namespaces, trim: trimNamespace, clock, log }),
      policies: new Informer<NetworkPolicy>({ client, type: networkPolicies, trim: trimPolicy, clock, log }),
      node: new Informer<Node>({
        client,
        type: nodes,
        fieldSelector: `metadata.name=${nodeName}`,
        trim: trimNode,
        clock,
        log,
      }),
    };
    this.#follow();
  }

  /** What is wrong now; undefined before the first table is written. */
  get problems(): readonly string[] | undefined {
    if (this.#failure !== undefined) return [this.#failure];
    return this.#hasWritten ? [] : undefined;
  }

  /** In Prometheus' text form; the kernel is asked for its counters. */
  async metrics(signal: AbortSignal): Promise<string> {
    let drops: Drops[] = [];
    try {
      drops = await this.#drops(signal);
    } catch (err) {
      this.#need.log.debug({ reason: describeError(err) }, 'counters cannot be read');
    }
    return this.#metrics.text(drops);
  }

  async run(signal: AbortSignal): Promise<void> {
    const { pods: podInformer, namespaces: namespaceInformer, policies, node } = this.#informers;
    await runTogether(signal, [
      (inner) => podInformer.run(inner),
      (inner) => namespaceInformer.run(inner),
      (inner) => policies.run(inner),
      (inner) => node.run(inner),
      (inner) => this.#watchAttachments(inner),
      (inner) => this.#write(inner),
    ]);
  }

  #follow(): void {
    const { pods: podInformer, namespaces: namespaceInformer, policies, node } = this.#informers;
    const put = (pod: Pod): void => this.#change(() => this.#directory.putPod(pod));
    podInformer.addHandlers({
      onAdd: put,
      onUpdate: (_, pod) => put(pod),
      onDelete: (pod) => this.#change(() => this.#directory.removePod(pod)),
    });
    const putNamespace = ({ metadata }: Namespace): void =>
      this.#change(() => this.#directory.setNamespace(metadata.name, metadata.labels ?? {}));
    namespaceInformer.addHandlers({
      onAdd: putNamespace,
      onUpdate: (_, namespace) => putNamespace(namespace),
      onDelete: ({ metadata }) => this.#change(() => this.#directory.setNamespace(metadata.name, undefined)),
    });
    const putPolicy = (policy: NetworkPolicy): void => this.#change(() => this.#state.putPolicy(compilePolicy(policy)));
    policies.addHandlers({
      onAdd: putPolicy,
      onUpdate: (before, policy) => {
        if (JSON.stringify(before.spec) !== JSON.stringify(policy.spec)) putPolicy(policy);
      },
      onDelete: (policy) => this.#change(() => this.#state.removePolicy(objectKey(policy))),
    });
    // what a deleted Node had stays: its pods may still run
    const putNode = ({ spec }: Node): void => this.#change(() => this.#state.setPodCidrs(spec?.podCIDRs ?? []));
    node.addHandlers({ onAdd: putNode, onUpdate: (_, now) => putNode(now) });
  }

  #change(apply: () => void): void {
    apply();
    if (!this.#state.objects.isChanged) return;
    this.#isMarked = true;
    this.#wake();
  }

  async #watchAttachments(signal: AbortSignal): Promise<void> {
    const { watchAttachments, clock, log } = this.#need;
    while (!signal.aborted) {
      try {
        await watchAttachments(
          (file, attachment) => this.#change(() => this.#directory.setAttachment(file, attachment)),
          signal,
        );
      } catch (err) {
        if (signal.aborted) return;
        log.warn(
          { reason: describeError(err) },
          "the runtime's attachments cannot be watched: new pods may be cut off until their status is known",
        );
      }
      await clock.sleep(retryMaxMs, signal);
    }
  }

  /** Whenever something has changed, and to look whether it still is so. Never twice at once. */
  async #write(signal: AbortSignal): Promise<void> {
    const { clock } = this.#need;
    await Promise.all(Object.values(this.#informers).map((informer) => informer.whenSynced(signal)));
    let retryMs = retryMinMs;
    while (!signal.aborted) {
      this.#isMarked = false;
      const isWell = await this.#writeOnce(signal);
      retryMs = isWell ? retryMinMs : Math.min(retryMs * 2, retryMaxMs);
      if (this.#isMarked && isWell) continue;
      const wait = new AbortController();
      if (isWell) this.#wake = () => wait.abort();
      await clock.sleep(isWell ? this.#lookPeriodMs : retryMs, AbortSignal.any([signal, wait.signal]));
      this.#wake = () => {};
      if (isWell && !this.#isMarked && !signal.aborted) await this.#look(signal);
    }
  }

  async #writeOnce(signal: AbortSignal): Promise<boolean> {
    const { clock, log } = this.#need;
    const startMs = clock.monotonicMs();
    try {
      const written = await this.#table.keep(this.#state.objects, signal);
      if (written !== 'nothing') {
        const ms = clock.monotonicMs() - startMs;
        this.#metrics.wrote(written, ms / 1000);
        log.debug({ written, ms: Math.round(ms) }, 'network policies written');
      }
      if (this.#failure !== undefined) log.info('network policies are in force again');
      else if (!this.#hasWritten) log.info({ written }, 'network policies are in force');
      this.#failure = undefined;
      this.#hasWritten = true;
      this.#tellProblems();
      return true;
    } catch (err) {
      if (!signal.aborted) this.#fail(err);
      return false;
    }
  }

  async #look(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#need;
    const startMs = clock.monotonicMs();
    try {
      const difference = await this.#table.look(this.#state.objects, signal);
      if (difference !== undefined) {
        log.warn({ table: tableName, difference }, 'somebody has changed our table: it is written anew');
      }
      this.#lookPeriodMs = Math.max(this.#lookPeriodMinMs, lookPause * (clock.monotonicMs() - startMs));
    } catch (err) {
      if (!signal.aborted) this.#fail(err);
    }
  }

  #fail(err: unknown): void {
    const reason = describeError(err);
    this.#metrics.failed();
    if (this.#failure !== reason) this.#need.log.warn({ reason }, 'network policies cannot be written, will retry');
    this.#failure = reason;
  }

  /** Once per policy and problem, where the policy is about pods of this node. */
  #tellProblems(): void {
    const { events, log } = this.#need;
    const active = this.#state.activePolicies;
    const bad = active.filter(({ problems }) => problems.length > 0);
    this.#metrics.holds({
      policies: active.length,
      isolatedPods: this.#state.isolatedPods,
      problems: bad.length,
    });
    for (const key of this.#told.keys()) if (!bad.some((policy) => policy.key === key)) this.#told.delete(key);
    for (const { key, namespace, name, uid, problems } of bad) {
      const text = problems.join('; ');
      if (this.#told.get(key) === text) continue;
      this.#told.set(key, text);
      log.warn(
        { policy: key, problems },
        'a network policy cannot be enforced as it is written: that part allows nothing',
      );
      events.record(
        { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', namespace, name, uid },
        'Warning',
        'PolicyNotUnderstood',
        `Node ${this.#nodeName} lets this part allow nothing: ${text}`,
      );
    }
  }

  async #drops(signal: AbortSignal): Promise<Drops[]> {
    if (this.#state.objects.size === 0) return [];
    const counters = await readCounters(tableName, signal);
    const packets = (counter: string): number => Number(/packets (\d+)/.exec(counters.get(counter) ?? '')?.[1] ?? 0);
    return directions.flatMap((direction) => [
      { direction, policy: undefined, packets: packets(strangersCounter(direction)) },
      ...this.#state.activePolicies
        .filter((policy) => policy[direction] !== undefined)
        .map(({ key, namespace, name }) => ({
          direction,
          policy: { namespace, name },
          packets: packets(counterName(direction, key)),
        })),
    ]);
  }
}

function trimNamespace({ metadata: { name, uid, resourceVersion, labels } }: Namespace): Namespace {
  return { metadata: { name, uid, resourceVersion, labels } };
}

function trimPolicy({ metadata: { namespace, name, uid, resourceVersion }, spec }: NetworkPolicy): NetworkPolicy {
  return { metadata: { namespace, name, uid, resourceVersion }, spec };
}

function trimNode({ metadata: { name, uid, resourceVersion }, spec }: Node): Node {
  return { metadata: { name, uid, resourceVersion }, spec: { podCIDRs: spec?.podCIDRs } };
}
