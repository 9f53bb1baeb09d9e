/**
 * Mirror pods: what a static pod shows on the API. Created as a copy that the node owns, replaced when it is not what
 * the static pod is, deleted when the static pod is gone. Deleting one through the API never stops the static pod.
 */
import type { ApiClient } from '../../client/api-client.ts';
import { pods } from '../../client/resource-types.ts';
import { isConflict, isNotFound } from '../../base/errors.ts';
import type { Node, Pod } from '../../objects/generated/core-v1.ts';
import { configHashAnnotation, configMirrorAnnotation } from '../pod-model.ts';

interface MirrorPodsNeed {
  api: Pick<ApiClient, 'create' | 'delete' | 'get'>;
  /** Our node as the API has it; a mirror needs its uid. */
  node(): Node | undefined;
}

export class MirrorPods {
  readonly #need: MirrorPodsNeed;

  constructor(need: MirrorPodsNeed) {
    this.#need = need;
  }

  /** Makes the API show the static pod. @throws when the node is not registered yet or the API refuses */
  async ensure(pod: Pod, mirror: Pod | undefined, signal: AbortSignal): Promise<void> {
    const hash = pod.metadata.annotations?.[configHashAnnotation];
    if (mirror !== undefined) {
      const isGood =
        mirror.metadata.deletionTimestamp === undefined &&
        mirror.metadata.annotations?.[configMirrorAnnotation] === hash;
      if (isGood) return;
      await this.delete(mirror, signal);
    }
    const node = this.#need.node();
    if (node === undefined || node.metadata.deletionTimestamp !== undefined) return;
    try {
      await this.#need.api.create(pods, makeMirror(pod, node), signal);
    } catch (err) {
      if (!isConflict(err)) throw err;
      const existing = await this.#need.api.get(pods, pod.metadata, signal);
      if (existing.metadata.annotations?.[configMirrorAnnotation] !== hash) throw err;
    }
  }

  /** A mirror that is gone, or replaced by another, is deleted. */
  async delete(mirror: Pod, signal: AbortSignal): Promise<void> {
    const { name, namespace, uid } = mirror.metadata;
    const preconditions = uid === undefined ? {} : { preconditions: { uid } };
    try {
      await this.#need.api.delete(pods, { name, namespace }, { gracePeriodSeconds: 0, ...preconditions }, signal);
    } catch (err) {
      if (!isNotFound(err) && !isConflict(err)) throw err;
    }
  }
}

export function makeMirror(pod: Pod, node: Node): Pod {
  const { uid: _uid, annotations, ...metadata } = pod.metadata;
  const { status: _status, ...rest } = pod;
  return {
    ...rest,
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      ...metadata,
      annotations: { ...annotations, [configMirrorAnnotation]: annotations?.[configHashAnnotation] ?? '' },
      ownerReferences: [
        { apiVersion: 'v1', kind: 'Node', name: node.metadata.name, uid: node.metadata.uid ?? '', controller: true },
      ],
    },
  };
}
