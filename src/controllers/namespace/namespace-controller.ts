/**
 * Empties namespaces that are being deleted, pods first, and lets them go when nothing is left.
 *
 * Needs: an informer of namespaces, and the server's discovery: whatever it can delete is deleted.
 */
import { rfc3339Seconds } from '../../base/clock.ts';
import { describeError, isNotFound } from '../../base/errors.ts';
import { Backoff } from '../../base/backoff.ts';
import { WorkQueue } from '../../base/work-queue.ts';
import type { KubeObject } from '../../client/api-client.ts';
import type { Informer } from '../../client/informer.ts';
import { namespaces } from '../../client/resource-types.ts';
import type { Namespace, Pod } from '../../objects/generated/core-v1.ts';
import { type Controller, type ControllerContext, runQueue } from '../controller.ts';
import { type DiscoveredResource, discoverResources } from '../discover-resources.ts';
import { sameJson } from '../same-json.ts';
import { type DeletionState, computeDeletionConditions, podGraceSeconds } from './compute-deletion-conditions.ts';

/** Time for what is on its way into the namespace to arrive. */
const settleMs = 5000;
const finalizerWaitSeconds = 15;

export class NamespaceController implements Controller {
  readonly #context: ControllerContext;
  readonly #queue: WorkQueue;
  readonly #namespaces: Informer<Namespace>;
  readonly #settleMs: number;

  constructor(context: ControllerContext, { settleMs: settle = settleMs }: { settleMs?: number } = {}) {
    const { clock, log } = context;
    this.#context = context;
    this.#settleMs = settle;
    this.#queue = new WorkQueue({
      workersMax: 10,
      backoff: new Backoff({ initialMs: 5, maxMs: 60_000 }),
      clock,
      log: log.child({ controller: 'namespace' }),
    });
    this.#namespaces = context.informers.of(namespaces);
  }

  async run(signal: AbortSignal): Promise<void> {
    const add = ({ metadata }: Namespace): void => {
      if (metadata.deletionTimestamp !== undefined) this.#queue.addAfter(metadata.name, this.#settleMs, signal);
    };
    this.#namespaces.addHandlers({ onAdd: add, onUpdate: (_, namespace) => add(namespace) });
    await runQueue(this.#queue, [this.#namespaces], (key, inner) => this.#sync(key, inner), signal);
  }

  async #sync(name: string, signal: AbortSignal): Promise<void> {
    const { client } = this.#context;
    let namespace: Namespace;
    try {
      namespace = await client.get(namespaces, { name }, signal);
    } catch (err) {
      if (isNotFound(err)) return;
      throw err;
    }
    if (namespace.metadata.deletionTimestamp === undefined) return;
    if (!(namespace.spec?.finalizers ?? []).includes('kubernetes')) return;
    if (namespace.status?.phase !== 'Terminating') {
      namespace = await client.updateStatus(
        namespaces,
        { ...namespace, status: { ...namespace.status, phase: 'Terminating' } },
        signal,
      );
    }
    const { state, waitSeconds } = await this.#empty(namespace, signal);
    namespace = await this.#report(namespace, state, signal);
    const { discoveryFailures, contentFailures, remaining } = state;
    if (waitSeconds > 0) {
      this.#queue.addAfter(name, (waitSeconds / 2 + 1) * 1000, signal);
    } else if (discoveryFailures.length > 0 || contentFailures.length > 0) {
      throw new Error(`Cannot delete namespace "${name}": ${[...discoveryFailures, ...contentFailures].join(', ')}`);
    } else if (remaining.size > 0) {
      throw new Error(`unexpected items still remain in namespace: ${name}`);
    } else {
      const finalizers = (namespace.spec?.finalizers ?? []).filter((finalizer) => finalizer !== 'kubernetes');
      const body = { ...namespace, apiVersion: 'v1', kind: 'Namespace', spec: { ...namespace.spec, finalizers } };
      await client.raw('PUT', `/api/v1/namespaces/${encodeURIComponent(name)}/finalize`, body, signal);
    }
  }

  /** Deletes everything that it can: pods first, the rest when they are gone. */
  async #empty({ metadata }: Namespace, signal: AbortSignal): Promise<{ state: DeletionState; waitSeconds: number }> {
    const { watchClient, clock } = this.#context;
    const { resources, failures } = await discoverResources(watchClient, signal);
    const state = {
      discoveryFailures: failures.map(({ groupVersion, reason }) => `${groupVersion}: ${reason}`),
      contentFailures: [] as string[],
      remaining: new Map<string, number>(),
      finalizers: new Map<string, number>(),
    };
    const deletable = resources.filter(
      ({ namespaced, verbs }) => namespaced && verbs.includes('delete') && verbs.includes('list'),
    );
    const isPods = ({ prefix, plural }: DiscoveredResource): boolean => prefix === '/api/v1' && plural === 'pods';
    let waitSeconds = 0;
    for (const group of [deletable.filter(isPods), deletable.filter((resource) => !isPods(resource))]) {
      for (const resource of group) {
        try {
          const left = await this.#deleteAll(resource, metadata.name, signal);
          if (left.length === 0) continue;
          state.remaining.set(`${resource.plural}.${resource.group}`, left.length);
          if (isPods(resource)) {
            const pods = (left as Pod[]).map(({ spec, status }) => ({
              phase: status?.phase,
              graceSeconds: spec.terminationGracePeriodSeconds ?? 30,
            })); // the list was of pods
            const deletedMs = Date.parse(metadata.deletionTimestamp ?? '');
            waitSeconds = Math.max(waitSeconds, podGraceSeconds(pods, deletedMs, clock.nowMs()));
          }
          for (const finalizer of left.flatMap((object) => object.metadata.finalizers ?? [])) {
            state.finalizers.set(finalizer, (state.finalizers.get(finalizer) ?? 0) + 1);
            waitSeconds = Math.max(waitSeconds, finalizerWaitSeconds);
          }
        } catch (err) {
          if (signal.aborted) throw err;
          state.contentFailures.push(`${resource.plural}.${resource.group}: ${describeError(err)}`);
        }
      }
      if (state.remaining.size > 0 || state.contentFailures.length > 0) break;
    }
    return { state, waitSeconds };
  }

  /** Orders the deletion of all objects of one type, and returns what is there afterwards. */
  async #deleteAll(resource: DiscoveredResource, namespace: string, signal: AbortSignal): Promise<KubeObject[]> {
    const { client } = this.#context;
    const { items } = await client.list(resource, { namespace }, signal);
    if (items.length === 0) return [];
    for (const { metadata } of items) {
      if (metadata.deletionTimestamp !== undefined) continue;
      try {
        await client.delete(resource, { namespace, name: metadata.name }, { propagationPolicy: 'Background' }, signal);
      } catch (err) {
        if (!isNotFound(err)) throw err;
      }
    }
    return (await client.list(resource, { namespace }, signal)).items;
  }

  async #report(namespace: Namespace, state: DeletionState, signal: AbortSignal): Promise<Namespace> {
    const { client, clock } = this.#context;
    const before = namespace.status?.conditions;
    const isFine = state.remaining.size === 0 && state.contentFailures.length + state.discoveryFailures.length === 0;
    if (isFine && before === undefined) return namespace; // gone in a moment: not worth a write
    const conditions = computeDeletionConditions(before, state, rfc3339Seconds(clock.nowMs()));
    if (sameJson(before, conditions)) return namespace;
    return client.updateStatus(namespaces, { ...namespace, status: { ...namespace.status, conditions } }, signal);
  }
}
