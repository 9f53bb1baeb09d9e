/**
 * Deletes what has lost its owners, in the order that the deletion of the owner asked for.
 *
 * Owns: the graph of all objects that the server can list, watch and delete; only their metadata is kept.
 * Needs: the server's discovery, asked again every half minute for types that came later.
 */
import { Backoff } from '../../base/backoff.ts';
import { describeError, isConflict, isNotFound } from '../../base/errors.ts';
import { runLoop } from '../../base/run-loop.ts';
import { runTogether } from '../../base/run-together.ts';
import { WorkQueue } from '../../base/work-queue.ts';
import { type KubeObject, apiStatus } from '../../client/api-client.ts';
import { type EventSink, eventTarget } from '../../client/event-recorder.ts';
import { Informer } from '../../client/informer.ts';
import type { ObjectMeta, OwnerReference } from '../../objects/generated/meta-v1.ts';
import type { Controller, ControllerContext } from '../controller.ts';
import { type DiscoveredResource, discoverResources } from '../discover-resources.ts';
import { type OwnerState, decideCollection } from './decide-collection.ts';
import {
  type GraphNode,
  OwnerGraph,
  foregroundFinalizer,
  graphNodeOf,
  isForeground,
  isOrphaning,
  orphanFinalizer,
} from './owner-graph.ts';

const discoveryPeriodMs = 30_000;
const absentMax = 500;

export class GarbageCollector implements Controller {
  readonly #context: ControllerContext;
  readonly #events: EventSink;
  readonly #queue: WorkQueue;
  readonly #graph = new OwnerGraph();
  readonly #resources = new Map<string, DiscoveredResource>();
  readonly #informers = new Map<string, Informer<KubeObject>>();
  /** Owners that are known not to exist: uids are never used again. */
  readonly #absent = new Set<string>();

  constructor(context: ControllerContext) {
    const { clock, log } = context;
    this.#context = context;
    this.#events = context.eventsOf('garbage-collector-controller');
    this.#queue = new WorkQueue({
      workersMax: 20,
      backoff: new Backoff({ initialMs: 5, maxMs: 1_000_000 }),
      clock,
      log: log.child({ controller: 'garbage-collector' }),
    });
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#context;
    const running = new Set<Promise<void>>();
    const discover = async (inner: AbortSignal): Promise<void> => {
      for (const informer of await this.#discover(inner)) {
        const run = informer.run(signal).finally(() => running.delete(run));
        running.add(run);
      }
    };
    await runTogether(signal, [
      (inner) => runLoop(discover, { periodMs: discoveryPeriodMs, retryMs: 1000, clock, log }, inner),
      async (inner) => {
        while (this.#informers.size === 0 && !inner.aborted) await clock.sleep(100, inner);
        // nothing is judged before everything has been seen: what looks unowned may only be unseen
        await Promise.all([...this.#informers.values()].map((informer) => informer.whenSynced(inner)));
        await this.#queue.run((uid, s) => this.#process(uid, s), inner);
      },
    ]);
    await Promise.allSettled(running);
  }

  /** Makes informers for types that were not known before. */
  async #discover(signal: AbortSignal): Promise<Array<Informer<KubeObject>>> {
    const { watchClient: client, clock, log } = this.#context;
    const { resources, failures } = await discoverResources(client, signal);
    for (const { groupVersion, reason } of failures) {
      log.warn({ groupVersion, reason }, 'cannot discover resources, their objects are not collected');
    }
    const fresh: Array<Informer<KubeObject>> = [];
    for (const resource of resources) {
      this.#resources.set(`${resource.group}/${resource.kind}`, resource);
      const key = `${resource.prefix}/${resource.plural}`;
      const isWatchable = ['delete', 'list', 'watch'].every((verb) => resource.verbs.includes(verb));
      if (resource.plural === 'events' || !isWatchable || this.#informers.has(key)) continue;
      const informer = new Informer<KubeObject>({ client, type: resource, trim: onlyOwnership, clock, log });
      const put = ({ metadata }: KubeObject): void => this.#add(this.#graph.put(graphNodeOf(resource, metadata)));
      informer.addHandlers({
        onAdd: put,
        onUpdate: (_, object) => put(object),
        onDelete: ({ metadata }) => this.#add(this.#graph.remove(metadata.uid ?? '')),
      });
      this.#informers.set(key, informer);
      fresh.push(informer);
    }
    return fresh;
  }

  #add(uids: readonly string[]): void {
    for (const uid of uids) this.#queue.add(uid);
  }

  async #process(uid: string, signal: AbortSignal): Promise<void> {
    const node = this.#graph.get(uid);
    if (node === undefined) return;
    if (isOrphaning(node)) {
      await this.#orphanDependents(node, signal);
    } else if (isForeground(node)) {
      await this.#awaitDependents(node, signal);
    } else if (!node.isDeleting) {
      await this.#judge(node, signal);
    }
  }

  /** Deletes the object, or drops references, or leaves it: as the state of its owners says. */
  async #judge(node: GraphNode, signal: AbortSignal): Promise<void> {
    const { client, log } = this.#context;
    const live = await this.#getLive(node, signal);
    if (live === undefined || live.deletionTimestamp !== undefined) return;
    const owners = live.ownerReferences ?? [];
    const states = await Promise.all(owners.map((owner) => this.#ownerState(node, owner, signal)));
    const dependents = this.#graph.dependentsOf(node.uid);
    const judged = owners.map(({ uid }, i) => ({ uid, state: states[i] ?? 'solid' }));
    const verdict = decideCollection(judged, dependents.length > 0, live.finalizers ?? []);
    switch (verdict.kind) {
      case 'keep':
        return;
      case 'drop-references':
        await this.#dropReferences(node, live, verdict.uids, signal);
        return;
      case 'delete': {
        const { propagationPolicy } = verdict;
        if (propagationPolicy === 'Foreground' && dependents.some(isForeground)) {
          await this.#unblock(node, live, signal); // a circle of owners would wait for itself
        }
        const preconditions = { uid: node.uid, resourceVersion: live.resourceVersion };
        try {
          await client.delete(node.resource, node, { propagationPolicy, preconditions }, signal);
        } catch (err) {
          if (isNotFound(err)) return;
          throw err; // a conflict means that it changed: judge it anew
        }
        log.info({ kind: node.resource.kind, namespace: node.namespace, name: node.name }, 'deleted unowned object');
      }
    }
  }

  /** An owner lets go when nobody that it owns blocks it any more. */
  async #awaitDependents(node: GraphNode, signal: AbortSignal): Promise<void> {
    const dependents = this.#graph.dependentsOf(node.uid);
    const isBlocked = dependents.some(({ owners }) =>
      owners.some(({ uid, blockOwnerDeletion }) => uid === node.uid && blockOwnerDeletion === true),
    );
    if (!isBlocked) {
      await this.#removeFinalizer(node, foregroundFinalizer, signal);
      return;
    }
    for (const { uid, isDeleting } of dependents) if (!isDeleting) this.#queue.add(uid);
  }

  async #orphanDependents(node: GraphNode, signal: AbortSignal): Promise<void> {
    for (const dependent of this.#graph.dependentsOf(node.uid)) {
      const live = await this.#getLive(dependent, signal);
      if (live !== undefined) await this.#dropReferences(dependent, live, [node.uid], signal);
    }
    await this.#removeFinalizer(node, orphanFinalizer, signal);
  }

  async #ownerState(node: GraphNode, owner: OwnerReference, signal: AbortSignal): Promise<OwnerState> {
    const { client } = this.#context;
    const group = owner.apiVersion.includes('/') ? (owner.apiVersion.split('/')[0] ?? '') : '';
    const resource = this.#resources.get(`${group}/${owner.kind}`);
    if (resource === undefined) {
      throw new Error(`Cannot find the owner "${owner.apiVersion} ${owner.kind}": the server has no such type`);
    }
    if (resource.namespaced && node.namespace === undefined) return 'solid'; // an owner it cannot have: left alone
    const known = this.#graph.get(owner.uid);
    if (known !== undefined) {
      const isSamePlace = !resource.namespaced || known.namespace === node.namespace;
      if (known.resource.kind === owner.kind && known.name === owner.name && isSamePlace) {
        return isForeground(known) ? 'waiting' : 'solid';
      }
      if (!isSamePlace) this.#wrongNamespaceEvent(node, owner, known.namespace ?? '');
    }
    const absentKey = `${resource.namespaced ? (node.namespace ?? '') : ''}/${owner.kind}/${owner.name}/${owner.uid}`;
    if (this.#absent.has(absentKey)) return 'dangling';
    const namespace = resource.namespaced ? node.namespace : undefined;
    try {
      const { metadata } = await client.get(resource, { namespace, name: owner.name }, signal);
      if (metadata.uid === owner.uid) {
        const isWaiting =
          metadata.deletionTimestamp !== undefined && (metadata.finalizers ?? []).includes(foregroundFinalizer);
        return isWaiting ? 'waiting' : 'solid';
      }
    } catch (err) {
      if (!isNotFound(err)) throw err;
    }
    this.#absent.add(absentKey);
    const oldest = this.#absent.values().next().value;
    if (this.#absent.size > absentMax && oldest !== undefined) this.#absent.delete(oldest);
    return 'dangling';
  }

  /** The newest metadata; undefined when the object is gone or another has its name. */
  async #getLive(node: GraphNode, signal: AbortSignal): Promise<ObjectMeta | undefined> {
    try {
      const { metadata } = await this.#context.client.get(node.resource, node, signal);
      return metadata.uid === node.uid ? metadata : undefined;
    } catch (err) {
      if (isNotFound(err)) return undefined;
      throw err;
    }
  }

  async #dropReferences(
    node: GraphNode,
    live: ObjectMeta,
    uids: readonly string[],
    signal: AbortSignal,
  ): Promise<void> {
    const rest = (live.ownerReferences ?? []).filter(({ uid }) => !uids.includes(uid));
    if (rest.length === (live.ownerReferences ?? []).length) return;
    const strategic = {
      metadata: { uid: node.uid, ownerReferences: uids.map((uid) => ({ $patch: 'delete', uid })) },
    };
    await this.#patchOwners(node, strategic, live, rest, signal);
  }

  async #unblock(node: GraphNode, live: ObjectMeta, signal: AbortSignal): Promise<void> {
    const references = (live.ownerReferences ?? []).map((owner) => ({ ...owner, blockOwnerDeletion: false }));
    await this.#patchOwners(
      node,
      { metadata: { uid: node.uid, ownerReferences: references } },
      live,
      references,
      signal,
    );
  }

  /** Custom resources know no strategic merge: for them the whole list is written, on the version that we read. */
  async #patchOwners(
    node: GraphNode,
    strategic: unknown,
    { resourceVersion }: ObjectMeta,
    ownerReferences: readonly OwnerReference[],
    signal: AbortSignal,
  ): Promise<void> {
    const { client } = this.#context;
    try {
      await client.patch(node.resource, node, 'strategic', strategic, signal);
    } catch (err) {
      if (isNotFound(err)) return;
      if (apiStatus(err)?.code !== 415) throw err;
      const body = { metadata: { resourceVersion, ownerReferences } };
      await client.patch(node.resource, node, 'merge', body, signal);
    }
  }

  async #removeFinalizer(node: GraphNode, finalizer: string, signal: AbortSignal): Promise<void> {
    const live = await this.#getLive(node, signal);
    if (live === undefined || !(live.finalizers ?? []).includes(finalizer)) return;
    const finalizers = (live.finalizers ?? []).filter((name) => name !== finalizer);
    const body = { metadata: { resourceVersion: live.resourceVersion, finalizers } };
    try {
      await this.#context.client.patch(node.resource, node, 'merge', body, signal);
    } catch (err) {
      if (isNotFound(err)) return;
      if (isConflict(err))
        throw new Error(`Cannot remove finalizer "${finalizer}": ${describeError(err)}`, { cause: err });
      throw err;
    }
  }

  #wrongNamespaceEvent(node: GraphNode, { apiVersion, kind, name, uid }: OwnerReference, namespace: string): void {
    const { resource } = node;
    const target = eventTarget(resource, { metadata: { name: node.name, namespace: node.namespace, uid: node.uid } });
    const message = `ownerRef [${apiVersion}/${kind}, namespace: ${namespace}, name: ${name}, uid: ${uid}] does not exist in namespace "${node.namespace ?? ''}"`;
    this.#events.record(target, 'Warning', 'OwnerRefInvalidNamespace', message);
  }
}

function onlyOwnership({ metadata }: KubeObject): KubeObject {
  const { name, namespace, uid, resourceVersion, ownerReferences, finalizers, deletionTimestamp } = metadata;
  return { metadata: { name, namespace, uid, resourceVersion, ownerReferences, finalizers, deletionTimestamp } };
}
