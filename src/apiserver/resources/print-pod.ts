/** A pod's row: the one status word that says where it stands. */
import { findCondition, isConditionTrue } from '../../objects/conditions.ts';
import type { Container, ContainerState, ContainerStatus, Pod } from '../../objects/generated/core-v1.ts';
import { typed } from './resource.ts';
import { type TableColumns, age, columns, humanDuration } from './print-table.ts';

export const podColumns: TableColumns = {
  columns: columns('Name', 'Ready', 'Status', 'Restarts', 'Age', 'IP*', 'Node*', 'Nominated Node*', 'Readiness Gates*'),
  cells(object, nowMs) {
    const pod = typed<Pod>(object);
    const { ready, total, status, restarts, lastRestart } = podSummary(pod);
    return [
      pod.metadata.name,
      `${ready}/${total}`,
      status,
      lastRestart === undefined || restarts === 0
        ? String(restarts)
        : `${restarts} (${humanDuration(nowMs - Date.parse(lastRestart))} ago)`,
      age(pod.metadata.creationTimestamp, nowMs),
      pod.status?.podIP || '<none>',
      pod.spec.nodeName || '<none>',
      pod.status?.nominatedNodeName || '<none>',
      readinessGates(pod),
    ];
  },
  conditions(object) {
    const phase = typed<Pod>(object).status?.phase;
    if (phase !== 'Succeeded' && phase !== 'Failed') return undefined;
    const message = phase === 'Succeeded' ? 'The pod has completed successfully.' : 'The pod failed.';
    return [{ type: 'Completed', status: 'True', reason: phase, message }];
  },
};

function readinessGates(pod: Pod): string {
  const gates = pod.spec.readinessGates ?? [];
  if (gates.length === 0) return '<none>';
  const passed = gates.filter(({ conditionType }) => isConditionTrue(pod.status?.conditions, conditionType)).length;
  return `${passed}/${gates.length}`;
}

interface PodSummary {
  ready: number;
  total: number;
  status: string;
  restarts: number;
  lastRestart: string | undefined;
}

export function podSummary(pod: Pod): PodSummary {
  const initContainers = new Map<string, Container>((pod.spec.initContainers ?? []).map((one) => [one.name, one]));
  const isSidecar = (name: string): boolean => initContainers.get(name)?.restartPolicy === 'Always';
  const sidecarCount = [...initContainers.keys()].filter(isSidecar).length;
  const summary: PodSummary = {
    ready: 0,
    total: pod.spec.containers.length + sidecarCount,
    status: pod.status?.reason || pod.status?.phase || 'Unknown',
    restarts: 0,
    lastRestart: undefined,
  };
  const scheduled = findCondition(pod.status?.conditions, 'PodScheduled');
  if (scheduled?.reason === 'SchedulingGated') summary.status = 'SchedulingGated';

  const sidecars: PodSummary = { ...summary };
  let isInitializing = false;
  for (const [i, status] of (pod.status?.initContainerStatuses ?? []).entries()) {
    countRestarts(summary, status);
    if (isSidecar(status.name)) countRestarts(sidecars, status);
    const word = initWord(status, isSidecar(status.name));
    if (word === 'done') continue;
    if (word === 'started sidecar') {
      if (status.ready) summary.ready++;
      continue;
    }
    summary.status = word === 'waiting' ? `Init:${i}/${initContainers.size}` : word;
    isInitializing = true;
    break;
  }
  if (!isInitializing || isConditionTrue(pod.status?.conditions, 'Initialized')) {
    summary.restarts = sidecars.restarts;
    summary.lastRestart = sidecars.lastRestart;
    addRunningContainers(summary, pod);
  }
  if (pod.metadata.deletionTimestamp !== undefined) {
    const isDone = pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed';
    if (pod.status?.reason === 'NodeLost') summary.status = 'Unknown';
    else if (!isDone) summary.status = 'Terminating';
  }
  return summary;
}

/** Where one init container stands: finished, a sidecar that runs, the word to show, or just its turn. */
function initWord({ state, started }: ContainerStatus, isSidecar: boolean): string {
  const terminated = state?.terminated;
  if (terminated !== undefined && terminated.exitCode === 0) return 'done';
  if (isSidecar && started === true) return 'started sidecar';
  if (terminated !== undefined) return `Init:${terminated.reason || exitWord(terminated)}`;
  const waiting = state?.waiting?.reason ?? '';
  if (waiting !== '' && waiting !== 'PodInitializing') return `Init:${waiting}`;
  return 'waiting';
}

function exitWord({ signal, exitCode }: { signal?: number | undefined; exitCode: number }): string {
  return signal ? `Signal:${signal}` : `ExitCode:${exitCode}`;
}

function addRunningContainers(summary: PodSummary, pod: Pod): void {
  let hasRunning = false;
  let lastError: string | undefined;
  for (const status of (pod.status?.containerStatuses ?? []).toReversed()) {
    countRestarts(summary, status);
    const state: ContainerState = status.state ?? {};
    if (state.waiting?.reason) {
      summary.status = state.waiting.reason;
    } else if (state.terminated !== undefined) {
      summary.status = state.terminated.reason || exitWord(state.terminated);
      if (state.terminated.exitCode !== 0) lastError = summary.status;
    } else if (status.ready && state.running !== undefined) {
      hasRunning = true;
      summary.ready++;
    }
  }
  if (summary.status !== 'Completed') return;
  if (hasRunning) summary.status = isConditionTrue(pod.status?.conditions, 'Ready') ? 'Running' : 'NotReady';
  else if (lastError !== undefined) summary.status = lastError;
}

function countRestarts(summary: PodSummary, { restartCount, lastState }: ContainerStatus): void {
  summary.restarts += restartCount;
  const finished = lastState?.terminated?.finishedAt;
  if (finished !== undefined && (summary.lastRestart === undefined || finished > summary.lastRestart)) {
    summary.lastRestart = finished;
  }
}
