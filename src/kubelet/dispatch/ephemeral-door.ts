/**
 * The door for ephemeral containers. They come when their pod runs already, so one that this node cannot run is refused
 * alone: it waits with the reason, and its pod goes on as if it were not there. Pure.
 */
import type { EphemeralContainer, Pod } from '../../objects/generated/core-v1.ts';
import { type ObservedPod, latestContainer } from '../pod-model.ts';
import type { Rejection } from './admit-pod.ts';

export interface SortedOut {
  /** The pod without the containers that are refused; the pod itself when none is. */
  pod: Pod;
  /** By container name. */
  refused: ReadonlyMap<string, Rejection>;
}

/** Containers that have been started are not asked again. */
export function sortOutEphemeral(
  pod: Pod,
  observed: ObservedPod | undefined,
  refuse: (container: EphemeralContainer) => Rejection | undefined,
): SortedOut {
  const refused = new Map<string, Rejection>();
  for (const container of pod.spec.ephemeralContainers ?? []) {
    if (latestContainer(observed, container.name) !== undefined) continue;
    const rejection = refuse(container);
    if (rejection !== undefined) refused.set(container.name, rejection);
  }
  if (refused.size === 0) return { pod, refused };
  const accepted = (pod.spec.ephemeralContainers ?? []).filter(({ name }) => !refused.has(name));
  return { pod: withEphemeral(pod, accepted), refused };
}

/** What is asked about a pod when it comes is not asked about its ephemeral containers. */
export const withoutEphemeral = (pod: Pod): Pod =>
  pod.spec.ephemeralContainers === undefined ? pod : withEphemeral(pod, []);

/** The pod as if it had this container alone: for questions that are about a whole pod. */
export const onlyEphemeral = (pod: Pod, container: EphemeralContainer): Pod => ({
  ...pod,
  spec: { ...pod.spec, initContainers: [], containers: [], ephemeralContainers: [container] },
});

const withEphemeral = (pod: Pod, ephemeralContainers: EphemeralContainer[]): Pod => ({
  ...pod,
  spec: { ...pod.spec, ephemeralContainers },
});
