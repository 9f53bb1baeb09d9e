/**
 * The cgroups of pods. Owns the tree `<cgroup root>/kubepods/{,burstable,besteffort}/pod<uid>`: makes it, limits it,
 * takes pods' groups away with whatever still runs in them. A group that exists is not written again: a restart of
 * the kubelet changes nothing for running pods. Needs the cgroup adapter and the node's size; decides by the pure
 * files beside it.
 */
import { describeError } from '../../../base/errors.ts';
import type { Logger } from '../../../base/logger.ts';
import type { Pod } from '../../../objects/generated/core-v1.ts';
import { type PodQos, podQos } from '../../../objects/qos.ts';
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
import { type GroupNames, rootParts } from './group-names.ts';
import type { PodGroupTree } from './slice-groups.ts';

interface PodCgroupsNeed {
  cgroups: Pick<PodGroupTree, 'create' | 'update' | 'exists' | 'isMissing' | 'remove' | 'children'>;
  /** As the cgroup driver has it. */
  names: GroupNames;
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
  readonly #root: readonly string[];
  #burstableShares: number | undefined;
  /** What is written into the groups above the pods is written in the order in which it was asked for. */
  #writing: Promise<void> = Promise.resolve();

  /** @throws {ConfigError} when the root has no name under this driver */
  constructor(need: PodCgroupsNeed) {
    this.#need = need;
    this.#root = rootParts(need.cgroupRoot, need.names);
  }

  /** Makes and limits the groups above the pods: at the start, before any pod, and when they are gone. */
  ensureTree(signal: AbortSignal): Promise<void> {
    return this.#inOrder(() => this.#makeTree(signal));
  }

  async #makeTree(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.#burstableShares = undefined;
    const { cgroups, node, machine, enforceNodeAllocatable, options, event, log } = this.#need;
    const isEnforced = enforceNodeAllocatable.includes('pods');
    const whole = { milliCpu: machine.cpuCount * 1000, memoryBytes: machine.memoryBytes };
    await cgroups.create(this.#path(qosGroup('Guaranteed')), {}, signal);
    for (const qos of ['Burstable', 'BestEffort'] as const) {
      const path = this.#path(qosGroup(qos));
      // what runs already keeps its weight until the pods are known
      const isNew = !(await cgroups.exists(path));
      await cgroups.create(path, isNew ? computeQosCgroup(qos, [], options.hugepageSizes) : {}, signal);
    }
    try {
      await cgroups.update(this.#path(qosGroup('Guaranteed')), computePodsCgroup(node, whole, isEnforced), signal);
      if (isEnforced) event('Normal', 'NodeAllocatableEnforced', 'Updated Node Allocatable limit across pods');
    } catch (err) {
      signal.throwIfAborted();
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
      const above = [qosGroup('Guaranteed'), qosGroup(podQos(pod))].map((parts) => cgroups.exists(this.#path(parts)));
      // somebody may have stopped or removed what all pods are held by: it comes back with its limits, too
      if (!(await Promise.all(above)).every(Boolean)) await this.ensureTree(signal);
      await cgroups.create(path, computePodCgroup(pod, options), signal);
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
  async slowDown(uid: string, signal: AbortSignal): Promise<void> {
    const { cgroups } = this.#need;
    for (const path of this.#everyPath(uid)) {
      if (await cgroups.exists(path)) await cgroups.update(path, { cpuShares: minimumShares }, signal);
    }
  }

  /** Kills leftovers in the pod's group and removes it. A pod without a group is success. */
  async remove(uid: string, signal: AbortSignal): Promise<void> {
    for (const path of this.#everyPath(uid)) await this.#need.cgroups.remove(path, signal);
  }

  /** Uids of all pods that have a group. */
  async list(): Promise<string[]> {
    const uids = new Set<string>();
    for (const qos of classes) {
      for (const name of await this.#need.cgroups.children(this.#path(qosGroup(qos)))) {
        const uid = podUidOf(this.#need.names.part(name));
        if (uid !== undefined) uids.add(uid);
      }
    }
    return [...uids];
  }

  /** Weighs the Burstable class by what its pods ask for. Writes only when that changed. */
  updateQos(activePods: readonly Pod[], signal: AbortSignal): Promise<void> {
    const values = computeQosCgroup('Burstable', activePods, this.#need.options.hugepageSizes);
    return this.#inOrder(async () => {
      if (values.cpuShares === this.#burstableShares) return;
      await this.#need.cgroups.update(this.#path(qosGroup('Burstable')), { cpuShares: values.cpuShares }, signal);
      this.#burstableShares = values.cpuShares;
    });
  }

  #inOrder(work: () => Promise<void>): Promise<void> {
    const mine = this.#writing.then(work);
    this.#writing = mine.catch(() => {}); // whoever asked for it is told
    return mine;
  }

  #path(parts: readonly string[]): string {
    return this.#need.names.path([...this.#root, ...parts]);
  }

  /** Where a group of this pod may be; nowhere when no group can have its name. */
  #everyPath(uid: string): string[] {
    try {
      return classes.map((qos) => this.#path([...qosGroup(qos), `pod${uid}`]));
    } catch (err) {
      if (err instanceof RangeError) return [];
      throw err;
    }
  }
}
