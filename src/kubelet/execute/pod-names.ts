/** Names, labels and paths that others read: crictl, log collectors, an upstream kubelet that takes over. */
import { join } from 'node:path';
import type { Pod } from '../../objects/generated/core-v1.ts';
import { uidOf } from '../pod-model.ts';

export const labels = {
  podName: 'io.kubernetes.pod.name',
  podNamespace: 'io.kubernetes.pod.namespace',
  podUid: 'io.kubernetes.pod.uid',
  containerName: 'io.kubernetes.container.name',
} as const;

export const annotations = {
  hash: 'io.kubernetes.container.hash',
  restartCount: 'io.kubernetes.container.restartCount',
  terminationMessagePath: 'io.kubernetes.container.terminationMessagePath',
  terminationMessagePolicy: 'io.kubernetes.container.terminationMessagePolicy',
  deletionGracePeriod: 'io.kubernetes.pod.deletionGracePeriod',
  terminationGracePeriod: 'io.kubernetes.pod.terminationGracePeriod',
  preStopHandler: 'io.kubernetes.container.preStopHandler',
  ports: 'io.kubernetes.container.ports',
} as const;

export function podLabels(pod: Pod): Record<string, string> {
  return {
    [labels.podName]: pod.metadata.name,
    [labels.podNamespace]: pod.metadata.namespace ?? 'default',
    [labels.podUid]: uidOf(pod),
  };
}

/** `<podLogsDir>/<namespace>_<name>_<uid>` */
export function podLogDirectory(podLogsDir: string, pod: Pod): string {
  return join(podLogsDir, `${pod.metadata.namespace ?? 'default'}_${pod.metadata.name}_${uidOf(pod)}`);
}

/** Relative to the pod's log directory: `<container>/<restartCount>.log`. */
export const containerLogPath = (container: string, restartCount: number): string =>
  join(container, `${restartCount}.log`);

/** The link in `/var/log/containers`; a file name holds at most 255 bytes. */
export function containerLogLink(containerLogsDir: string, pod: Pod, container: string, containerId: string): string {
  const base = `${pod.metadata.name}_${pod.metadata.namespace ?? 'default'}_${container}-${containerId}`;
  return join(containerLogsDir, `${base.slice(0, 251)}.log`);
}

/** The restart count that a log directory's file names tell: one more than the highest, 0 for an empty one. */
export function restartCountFromLogs(fileNames: readonly string[]): number {
  const counts = fileNames.map((name) => /^(\d+)\.log(\..*)?$/.exec(name)?.[1]).filter((count) => count !== undefined);
  return counts.length === 0 ? 0 : Math.max(...counts.map(Number)) + 1;
}
