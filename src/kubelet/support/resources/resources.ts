/**
 * The cgroups of pods. Owns the tree `<cgroup root>/kubepods/{,burstable,besteffort}/pod<uid>`: makes it, limits it,
 * takes pods' groups away with whatever still runs in them. A group that exists is not written again: a restart of
 * the kubelet changes nothing for running pods. Needs the cgroup adapter and the node's size; decides by the pure
 * files beside it.
 */
import type { Cgroups } from '../../../adapters/cgroups/cgroups.ts';
import { describeError } from '../../../base/errors.ts';
import type { Logger } from '../../../base/logger.ts';
import type { Pod } from '../../../objects/generated/core-v1.ts';
import type { PodQos } from '../../../objects/qos.ts';
import type { NodeResources } from './compute-node-resources.ts';
import {
  type PodCgroupOptions,
  computePodCgroup,
  computePodsCgroup,
  computeQosCgroup,
  podGroup,
  podUidOf,
  qosGroup,
} from './compute-pod-cgroup.ts';

interface PodCgroupsNeed {
  cgroups: Pick<Cgroups, 'create' | 'update' | 'exists' | 'isMissing' | 'remove' | 'children'>;
  /** An existing or future group under which everything lies; `/` for the top. */
  cgroupRoot: string;
  node: NodeResources;
  /** The machine as it is, for a node that enforces nothing. */
  machine: { cpuCount: number; memoryBytes: number };
  enforceNodeAllocatable: readonly string[];
  options: PodCgroupOptions;
  /** An event on the Node object. */
  event(type: 'Normal' | 'Warning', reason: string, message: string): void;
  log: Logger;
}

/** The least that the kernel takes. */
const minimumShares = 2;
const classes: readonly PodQos[] = ['Guaranteed', 'Burstable', 'BestEffort'];

export class PodCgroups {
  readonly #need: PodCgroupsNeed;
  #burstableShares: number | undefined;

  constructor(need: PodCgroupsNeed) {
    this.#need = need;
  }

  /** Makes and limits the groups above the pods. Called at start, before any pod. */
  async ensureTree(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { cgroups, node, machine, enforceNodeAllocatable, options, event, log } = this.#need;
    const isEnforced = enforceNodeAllocatable.includes('pods');
    const whole = { milliCpu: machine.cpuCount * 1000, memoryBytes: machine.memoryBytes };
    await cgroups.create(this.#path(qosGroup('Guaranteed')), {});
    for (const qos of ['Burstable', 'BestEffort'] as const) {
      const path = this.#path(qosGroup(qos));
      // what runs already keeps its weight until the pods are known
      const isNew = !(await cgroups.exists(path));
      await cgroups.create(path, isNew ? computeQosCgroup(qos, [], options.hugepageSizes) : {});
    }
    try {
      await cgroups.update(this.#path(qosGroup('Guaranteed')), computePodsCgroup(node, whole, isEnforced));
      if (isEnforced) event('Normal', 'NodeAllocatableEnforced', 'Updated Node Allocatable limit across pods');
    } catch (err) {
      // pods in use may hold more memory than a limit lowered since: the node goes on without the new limit
      const limits = `${JSON.stringify(node.forPods)}: ${describeError(err)}`;
      event('Warning', 'FailedNodeAllocatableEnforcement', `Failed to update Node Allocatable Limits ${limits}`);
      log.error({ err }, 'cannot limit the cgroup of all pods');
    }
  }

  /** The group of all pods. */
  get topPath(): string {
    return this.#path(qosGroup('Guaranteed'));
  }

  /** What CRI gets as `cgroup_parent`. */
  parentFor(pod: Pod): string {
    return this.#path(podGroup(pod));
  }

  /** Makes the pod's group, with its limits, unless it is there. Comes before the sandbox. */
  async ensure(pod: Pod, signal: AbortSignal): Promise<void> {
    const { cgroups, options, log } = this.#need;
    const path = this.parentFor(pod);
    if (await cgroups.exists(path)) return;
    try {
      await cgroups.create(path, computePodCgroup(pod, options));
    } catch (cause) {
      // a group without its limits must not pass for a finished one at the next try
      await cgroups.remove(path, signal).catch((err: unknown) => log.warn({ err }, 'cannot take back a pod cgroup'));
      throw new Error(`failed to ensure that the pod: ${pod.metadata.uid} cgroups exist and are correctly applied`, {
        cause,
      });
    }
  }

  /** Its containers, if it has any, run outside of the group that limits them. */
  isMissing(pod: Pod): Promise<boolean> {
    return this.#need.cgroups.isMissing(this.parentFor(pod));
  }

  /** What still runs in the pod's group gets the least CPU time; for a group that has to stay for a while. */
  async slowDown(uid: string): Promise<void> {
    const { cgroups } = this.#need;
    for (const qos of classes) {
      const path = this.#path([...qosGroup(qos), `pod${uid}`]);
      if (await cgroups.exists(path)) await cgroups.update(path, { cpuShares: minimumShares });
    }
  }

  /** Kills leftovers in the pod's group and removes it. A pod without a group is success. */
  async remove(uid: string, signal: AbortSignal): Promise<void> {
    const { cgroups } = this.#need;
    for (const qos of classes) {
      const path = this.#path([...qosGroup(qos), `pod${uid}`]);
      await cgroups.remove(path, signal);
    }
  }

  /** Uids of all pods that have a group. */
  async list(): Promise<string[]> {
    const uids = new Set<string>();
    for (const qos of classes) {
      for (const name of await this.#need.cgroups.children(this.#path(qosGroup(qos)))) {
        const uid = podUidOf(name);
        if (uid !== undefined) uids.add(uid);
      }
    }
    return [...uids];
  }

  /** Weighs the Burstable class by what its pods ask for. Writes only when that changed. */
  async updateQos(activePods: readonly Pod[]): Promise<void> {
    const values = computeQosCgroup('Burstable', activePods, this.#need.options.hugepageSizes);
    if (values.cpuShares === this.#burstableShares) return;
    await this.#need.cgroups.update(this.#path(qosGroup('Burstable')), { cpuShares: values.cpuShares });
    this.#burstableShares = values.cpuShares;
  }

  #path(parts: readonly string[]): string {
    const { cgroupRoot } = this.#need;
    return [cgroupRoot === '/' ? '' : cgroupRoot, ...parts].join('/');
  }
}
