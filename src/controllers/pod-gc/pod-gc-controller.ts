/**
 * Removes pods that nobody else will remove: on nodes that are gone, deleted before they had a node, or long finished.
 *
 * Owns: since when a node has been missing. Needs: informers of pods and nodes.
 */
import { rfc3339Seconds } from '../../base/clock.ts';
import { describeError, isNotFound } from '../../base/errors.ts';
import { runLoop } from '../../base/run-loop.ts';
import type { Informer } from '../../client/informer.ts';
import { nodes as nodeType, pods as podType } from '../../client/resource-types.ts';
import type { Node, Pod } from '../../objects/generated/core-v1.ts';
import { objectKey } from '../../objects/object-key.ts';
import type { Controller, ControllerContext } from '../controller.ts';
import { isPodTerminal } from '../pod-state.ts';
import { type Collection, selectPodsToCollect } from './select-pods-to-collect.ts';

export interface PodGcOptions {
  /** Finished pods kept at most; 0 keeps all. */
  terminatedThreshold: number;
  periodMs?: number;
  /** A node may be missing for so long before its pods are removed. */
  quarantineMs?: number;
}

export class PodGcController implements Controller {
  readonly #context: ControllerContext;
  readonly #options: Required<PodGcOptions>;
  readonly #pods: Informer<Pod>;
  readonly #nodes: Informer<Node>;
  readonly #missingSinceMs = new Map<string, number>();

  constructor(context: ControllerContext, options: PodGcOptions) {
    this.#context = context;
    this.#options = { periodMs: 20_000, quarantineMs: 40_000, ...options };
    this.#pods = context.informers.of(podType);
    this.#nodes = context.informers.of(nodeType);
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#context;
    await Promise.all([this.#pods.whenSynced(signal), this.#nodes.whenSynced(signal)]);
    const { periodMs } = this.#options;
    await runLoop(
      (inner) => this.#collect(inner),
      { periodMs, clock, log: log.child({ controller: 'pod-gc' }) },
      signal,
    );
  }

  async #collect(signal: AbortSignal): Promise<void> {
    const { log } = this.#context;
    const collections = selectPodsToCollect({
      pods: this.#pods.list(),
      nodes: new Map(this.#nodes.list().map((node) => [node.metadata.name, node])),
      lostNodes: await this.#findLostNodes(signal),
      finishedMax: this.#options.terminatedThreshold,
    });
    for (const collection of collections) {
      try {
        await this.#remove(collection, signal);
        log.info({ pod: objectKey(collection.pod), reason: collection.why }, 'removed pod');
      } catch (err) {
        if (signal.aborted) return;
        if (isNotFound(err)) continue;
        log.warn({ pod: objectKey(collection.pod), reason: describeError(err) }, 'cannot remove pod, will retry');
      }
    }
  }

  /** Nodes that pods are bound to and that have been missing for the quarantine, by the server's own word too. */
  async #findLostNodes(signal: AbortSignal): Promise<Set<string>> {
    const { client, clock } = this.#context;
    const nowMs = clock.monotonicMs();
    const used = new Set(this.#pods.list().map(({ spec }) => spec.nodeName ?? ''));
    used.delete('');
    for (const name of this.#missingSinceMs.keys()) {
      if (!used.has(name) || this.#nodes.get({ name }) !== undefined) this.#missingSinceMs.delete(name);
    }
    const lost = new Set<string>();
    for (const name of used) {
      if (this.#nodes.get({ name }) !== undefined) continue;
      const sinceMs = this.#missingSinceMs.get(name) ?? nowMs;
      this.#missingSinceMs.set(name, sinceMs);
      if (nowMs - sinceMs < this.#options.quarantineMs) continue;
      try {
        await client.get(nodeType, { name }, signal);
      } catch (err) {
        if (!isNotFound(err)) throw err;
        lost.add(name);
      }
    }
    return lost;
  }

  async #remove(collection: Collection, signal: AbortSignal): Promise<void> {
    const { client, clock } = this.#context;
    const { pod, why } = collection;
    const { namespace, name, uid } = pod.metadata;
    const isUnfinished = !isPodTerminal(pod);
    if ((why === 'orphaned' || why === 'out-of-service') && isUnfinished) {
      const condition = {
        type: 'DisruptionTarget',
        status: 'True',
        reason: 'DeletionByPodGC',
        message: 'PodGC: node no longer exists',
        lastTransitionTime: rfc3339Seconds(clock.nowMs()),
      };
      const status = { phase: 'Failed', ...(why === 'orphaned' ? { conditions: [condition] } : {}) };
      const ref = { namespace, name, subresource: 'status' };
      await client.patch(podType, ref, 'strategic', { metadata: { uid }, status }, signal);
    }
    await client.delete(podType, { namespace, name }, { gracePeriodSeconds: 0, preconditions: { uid } }, signal);
  }
}
