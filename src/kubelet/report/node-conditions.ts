/** The conditions of the Node object: their words, and the events of their flips. Pure. */
import type { NodeCondition } from '../../objects/generated/core-v1.ts';

/** What the kubelet knows about itself and its parts at one moment. */
export interface NodeHealth {
  hasMemoryPressure: boolean;
  hasDiskPressure: boolean;
  hasPidPressure: boolean;
  /** Why the runtime runs no pods, one text per cause (the relist's too); empty when it does. */
  runtimeErrors: readonly string[];
  networkError: string | undefined;
  /** What volumes lack before the first pod. A node that is Ready has had it: its kubelet was only started again. */
  storageErrors: readonly string[];
  isShuttingDown: boolean;
  /** Names of resources without a capacity, of those every node must have. */
  missingCapacity: readonly string[];
}

export interface NodeEvent {
  type: 'Normal' | 'Warning';
  reason: string;
  message: string;
}

interface Pressure {
  type: string;
  isOn: (health: NodeHealth) => boolean;
  on: { reason: string; message: string; event: string };
  off: { reason: string; message: string; event: string };
}

const pressures: readonly Pressure[] = [
  {
    type: 'MemoryPressure',
    isOn: ({ hasMemoryPressure }) => hasMemoryPressure,
    on: {
      reason: 'KubeletHasInsufficientMemory',
      message: 'kubelet has insufficient memory available',
      event: 'NodeHasInsufficientMemory',
    },
    off: {
      reason: 'KubeletHasSufficientMemory',
      message: 'kubelet has sufficient memory available',
      event: 'NodeHasSufficientMemory',
    },
  },
  {
    type: 'DiskPressure',
    isOn: ({ hasDiskPressure }) => hasDiskPressure,
    on: { reason: 'KubeletHasDiskPressure', message: 'kubelet has disk pressure', event: 'NodeHasDiskPressure' },
    off: {
      reason: 'KubeletHasNoDiskPressure',
      message: 'kubelet has no disk pressure',
      event: 'NodeHasNoDiskPressure',
    },
  },
  {
    type: 'PIDPressure',
    isOn: ({ hasPidPressure }) => hasPidPressure,
    on: {
      reason: 'KubeletHasInsufficientPID',
      message: 'kubelet has insufficient PID available',
      event: 'NodeHasInsufficientPID',
    },
    off: {
      reason: 'KubeletHasSufficientPID',
      message: 'kubelet has sufficient PID available',
      event: 'NodeHasSufficientPID',
    },
  },
];

/** The next conditions and the events of what flipped. Conditions of others stay where and as they are. */
export function computeNodeConditions(
  existing: readonly NodeCondition[],
  health: NodeHealth,
  nodeName: string,
  now: string,
): { conditions: NodeCondition[]; events: NodeEvent[] } {
  let conditions = [...existing];
  const events: NodeEvent[] = [];
  const record = (reason: string): void => {
    events.push({ type: 'Normal', reason, message: nodeEventMessage(nodeName, reason) });
  };
  for (const { type, isOn, on, off } of pressures) {
    const words = isOn(health) ? on : off;
    const status = isOn(health) ? 'True' : 'False';
    const old = conditions.find((condition) => condition.type === type);
    if (old?.status === status) {
      conditions = replaced(conditions, { ...old, lastHeartbeatTime: now });
    } else {
      const { reason, message } = words;
      const times = { lastHeartbeatTime: now, lastTransitionTime: now };
      conditions = replaced(conditions, { type, status, reason, message, ...times });
      record(words.event);
    }
  }
  const old = conditions.find(({ type }) => type === 'Ready');
  const errors = readyErrors(old?.status === 'True' ? { ...health, storageErrors: [] } : health);
  const status = errors.length === 0 ? 'True' : 'False';
  const ready: NodeCondition = {
    type: 'Ready',
    status,
    lastHeartbeatTime: now,
    lastTransitionTime: old?.status === status ? (old.lastTransitionTime ?? now) : now,
    reason: errors.length === 0 ? 'KubeletReady' : 'KubeletNotReady',
    message: errors.length === 0 ? 'kubelet is posting ready status' : aggregate(errors),
  };
  conditions = replaced(conditions, ready);
  if (old !== undefined && old.status !== status) record(status === 'True' ? 'NodeReady' : 'NodeNotReady');
  return { conditions, events };
}

export const nodeEventMessage = (nodeName: string, reason: string): string =>
  `Node ${nodeName} status is now: ${reason}`;

function readyErrors(health: NodeHealth): string[] {
  const { runtimeErrors, networkError, storageErrors, isShuttingDown, missingCapacity } = health;
  return [
    ...runtimeErrors,
    ...(networkError === undefined ? [] : [networkError]),
    ...storageErrors,
    ...(isShuttingDown ? ['node is shutting down'] : []),
    ...(missingCapacity.length === 0 ? [] : [`missing node capacity for resources: ${missingCapacity.join(', ')}`]),
  ];
}

/** One error is its text, several are a list without repetitions. */
function aggregate(errors: readonly string[]): string {
  const distinct = [...new Set(errors)];
  return distinct.length === 1 ? (distinct[0] ?? '') : `[${distinct.join(', ')}]`;
}

function replaced(conditions: readonly NodeCondition[], next: NodeCondition): NodeCondition[] {
  const index = conditions.findIndex(({ type }) => type === next.type);
  return index === -1 ? [...conditions, next] : conditions.with(index, next);
}
