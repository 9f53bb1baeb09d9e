/** Which instance of a container a request for logs means. Pure. */
import type { ContainerStatus, Pod } from '../../objects/generated/core-v1.ts';

export type LogContainer = { kind: 'found'; containerId: string } | { kind: 'none'; text: string };

/** @param pod with its current status */
export function selectLogContainer(pod: Pod, container: string, previous: boolean): LogContainer {
  const name = JSON.stringify(container);
  const podName = JSON.stringify(pod.metadata.name);
  const none = (text: string): LogContainer => ({ kind: 'none', text });
  const found = containerStatuses(pod).find((status) => status.name === container);
  if (found === undefined) return none(`container ${name} in pod ${podName} is not available`);
  const last = bareId(found.lastState?.terminated?.containerID);
  if (previous) {
    if (last === undefined) return none(`previous terminated container ${name} in pod ${podName} not found`);
    return { kind: 'found', containerId: last };
  }
  const { running, terminated, waiting } = found.state ?? {};
  const isOver = terminated !== undefined || found.lastState?.terminated !== undefined;
  const id = running === undefined ? (bareId(terminated?.containerID) ?? last) : bareId(found.containerID);
  if (id !== undefined) return { kind: 'found', containerId: id };
  if (isOver && running === undefined) return none(`container ${name} in pod ${podName} is terminated`);
  // a state that nobody knows yet has no reason
  if (waiting === undefined) return none(`container ${name} in pod ${podName} is waiting to start - no logs yet`);
  return none(`container ${name} in pod ${podName} is waiting to start: ${waitingText(waiting.reason)}`);
}

function waitingText(reason: string | undefined): string {
  if (reason === 'ErrImagePull') return "image can't be pulled";
  if (reason === 'ImagePullBackOff') return 'trying and failing to pull image';
  return reason ?? '';
}

function containerStatuses({ status }: Pod): ContainerStatus[] {
  return [
    ...(status?.containerStatuses ?? []),
    ...(status?.initContainerStatuses ?? []),
    ...(status?.ephemeralContainerStatuses ?? []),
  ];
}

/** `containerd://abc` → `abc`. */
function bareId(id: string | undefined): string | undefined {
  return id === undefined || id === '' ? undefined : id.replace(/^[\w.-]+:\/\//, '');
}
