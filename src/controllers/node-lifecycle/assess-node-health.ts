/** Whether a node's kubelet still speaks, and what the node's conditions say if it doesn't. Pure. */
import { findCondition } from '../../objects/conditions.ts';
import type { Lease } from '../../objects/generated/coordination-v1.ts';
import type { Node, NodeCondition } from '../../objects/generated/core-v1.ts';

/** What was last heard of a node, stamped with our own clock: the node's clock is never compared with ours. */
export interface Heartbeat {
  heardMs: number;
  leaseRenewTime: string;
  readyHeartbeatTime: string;
}

export interface GracePeriods {
  /** Silence after which a node counts as lost, in ms. */
  monitorMs: number;
  /** The same for a node that has never reported, counted from its creation. */
  startupMs: number;
}

const watchedTypes = ['Ready', 'MemoryPressure', 'DiskPressure', 'PIDPressure'];

/** A change of the lease or of the Ready condition's heartbeat is a sign of life now. */
export function nextHeartbeat(
  before: Heartbeat | undefined,
  node: Node,
  lease: Lease | undefined,
  nowMs: number,
): Heartbeat {
  const ready = findCondition(node.status?.conditions, 'Ready');
  const leaseRenewTime = lease?.spec.renewTime ?? '';
  const readyHeartbeatTime = ready?.lastHeartbeatTime ?? '';
  if (before === undefined) {
    const createdMs = Date.parse(node.metadata.creationTimestamp ?? '');
    const neverReported = ready === undefined && leaseRenewTime === '' && !Number.isNaN(createdMs);
    return { heardMs: neverReported ? createdMs : nowMs, leaseRenewTime, readyHeartbeatTime };
  }
  const isAlive =
    (leaseRenewTime !== '' && leaseRenewTime !== before.leaseRenewTime) ||
    (readyHeartbeatTime !== before.readyHeartbeatTime && ready?.reason !== 'NodeStatusUnknown');
  return { heardMs: isAlive ? nowMs : before.heardMs, leaseRenewTime, readyHeartbeatTime };
}

/** The conditions to write for a silent node; undefined when it is heard or they are so already. */
export function unknownConditions(
  node: Node,
  heartbeat: Heartbeat,
  { monitorMs, startupMs }: GracePeriods,
  nowMs: number,
  now: string,
): NodeCondition[] | undefined {
  const conditions = node.status?.conditions;
  const graceMs = findCondition(conditions, 'Ready') === undefined ? startupMs : monitorMs;
  if (nowMs - heartbeat.heardMs <= graceMs) return undefined;
  const changed: NodeCondition[] = [];
  for (const type of watchedTypes) {
    const current = findCondition(conditions, type);
    if (current === undefined) {
      changed.push({
        type,
        status: 'Unknown',
        reason: 'NodeStatusNeverUpdated',
        message: 'Kubelet never posted node status.',
        lastHeartbeatTime: node.metadata.creationTimestamp,
        lastTransitionTime: now,
      });
    } else if (current.status !== 'Unknown') {
      changed.push({
        ...current,
        status: 'Unknown',
        reason: 'NodeStatusUnknown',
        message: 'Kubelet stopped posting node status.',
        lastTransitionTime: now,
      });
    }
  }
  return changed.length === 0 ? undefined : changed;
}

export function readyStatus({ status }: Node): 'True' | 'False' | 'Unknown' {
  const found = findCondition(status?.conditions, 'Ready')?.status;
  return found === 'True' || found === 'False' ? found : 'Unknown';
}
