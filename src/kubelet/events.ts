/** How pods, containers and the node become the objects of events. */
import type { EventSink } from '../client/event-recorder.ts';
import type { Pod } from '../objects/generated/core-v1.ts';
import type { ObjectMeta } from '../objects/generated/meta-v1.ts';
import { type PodEvents, containerFieldPath, uidOf } from './pod-model.ts';

export function podEvents(sink: EventSink): PodEvents {
  return {
    pod: (pod, type, reason, message) => sink.record(podTarget(pod), type, reason, message),
    container: (pod, kind, container, type, reason, message) =>
      sink.record({ ...podTarget(pod), fieldPath: containerFieldPath(kind, container) }, type, reason, message),
  };
}

export function podTarget(pod: Pod): Parameters<EventSink['record']>[0] {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    namespace: pod.metadata.namespace ?? 'default',
    name: pod.metadata.name,
    uid: uidOf(pod),
    resourceVersion: pod.metadata.resourceVersion,
  };
}

/** Of a claim, or of a PersistentVolume, which is in no namespace. */
export function storageTarget({
  kind,
  metadata,
}: {
  kind: string;
  metadata: ObjectMeta;
}): Parameters<EventSink['record']>[0] {
  const { namespace, name, uid = '', resourceVersion } = metadata;
  return { apiVersion: 'v1', kind, ...(namespace === undefined ? {} : { namespace }), name, uid, resourceVersion };
}

/** Events on the Node carry its name as uid, as upstream's do. */
export function nodeEvents(
  sink: EventSink,
  nodeName: string,
): (type: 'Normal' | 'Warning', reason: string, message: string) => void {
  return (type, reason, message) =>
    sink.record({ apiVersion: 'v1', kind: 'Node', name: nodeName, uid: nodeName }, type, reason, message);
}
