/** A node and a pod as the scheduler sees them: amounts summed up once, as plain numbers. */
import type { Container, Node, Pod } from '../../objects/generated/core-v1.ts';
import { claimKeysOf } from '../../objects/claims.ts';
import { podRequests, wishOf } from '../../objects/qos.ts';
import { toMilli, toValue } from '../../objects/quantity.ts';
import { type Resources, parseResources } from '../../objects/resource-list.ts';

/** Resource name to amount: cpu in thousandths, everything else in its unit (bytes, pieces). */
export type Amounts = Readonly<Record<string, number>>;

export interface HostPort {
  protocol: string;
  ip: string;
  port: number;
}

export interface PodInfo {
  readonly pod: Pod;
  readonly requests: Amounts;
  /** For scoring: what a container without requests is taken to use. */
  readonly nonZero: { readonly cpu: number; readonly memory: number };
  readonly hostPorts: readonly HostPort[];
  /** `namespace/name` of every claim that the pod uses. */
  readonly claimKeys: readonly string[];
}

export interface NodeInfo {
  readonly node: Node;
  readonly allocatable: Amounts;
  readonly pods: readonly PodInfo[];
  readonly requested: Amounts;
  readonly nonZero: { readonly cpu: number; readonly memory: number };
}

const nonZeroMilliCpu = 100;
const nonZeroMemoryBytes = 200 * 1024 * 1024;

export function podInfoOf(pod: Pod): PodInfo {
  const requests = amountsOf(podRequests(pod));
  const { cpu, memory } = pod.spec.containers.reduce(
    (sum, container) => {
      const wish = wishOf(container.resources).requests;
      return {
        cpu: sum.cpu + (wish['cpu'] === undefined ? nonZeroMilliCpu : toMilli(wish['cpu'])),
        memory: sum.memory + (wish['memory'] === undefined ? nonZeroMemoryBytes : toValue(wish['memory'])),
      };
    },
    { cpu: 0, memory: 0 },
  );
  return {
    pod,
    requests,
    nonZero: { cpu: Math.max(cpu, requests['cpu'] ?? 0), memory: Math.max(memory, requests['memory'] ?? 0) },
    hostPorts: hostPortsOf(pod),
    claimKeys: claimKeysOf(pod),
  };
}

export function nodeInfoOf(node: Node, pods: readonly PodInfo[]): NodeInfo {
  const requested: Record<string, number> = {};
  let cpu = 0;
  let memory = 0;
  for (const { requests, nonZero } of pods) {
    for (const [name, amount] of Object.entries(requests)) requested[name] = (requested[name] ?? 0) + amount;
    cpu += nonZero.cpu;
    memory += nonZero.memory;
  }
  return {
    node,
    allocatable: amountsOf(parseResources(node.status?.allocatable)),
    pods,
    requested,
    nonZero: { cpu, memory },
  };
}

function amountsOf(resources: Resources): Amounts {
  return Object.fromEntries(
    Object.entries(resources).map(([name, quantity]) => [name, name === 'cpu' ? toMilli(quantity) : toValue(quantity)]),
  );
}

function hostPortsOf({ spec }: Pod): HostPort[] {
  const sidecars = (spec.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === 'Always');
  return [...spec.containers, ...sidecars].flatMap(({ ports = [] }: Container) =>
    ports.flatMap(({ hostPort = 0, hostIP = '', protocol = 'TCP' }) =>
      hostPort > 0 ? [{ protocol, ip: hostIP === '' ? '0.0.0.0' : hostIP, port: hostPort }] : [],
    ),
  );
}
