/** Plugs in-place resize together: the room that decides, its two records on disk, and the hands that carry it out. */
import { join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import type { Pod } from '../objects/generated/core-v1.ts';
import type { KubeletConfig } from './config.ts';
import type { Machine } from './kubelet-machine.ts';
import { type ObservedPod, type PodEvents, latestContainer, podContainers, readySandbox, uidOf } from './pod-model.ts';
import { ResourceRecords } from './support/resize/resource-records.ts';
import { Resizes } from './support/resize/resizes.ts';
import { computeContainerResources } from './support/resources/compute-container-resources.ts';
import type { ResizedContainer } from './support/resources/compute-resize-steps.ts';
import { resizePod } from './support/resources/resize-pod.ts';
import type { PodGroupTree } from './support/resources/slice-groups.ts';

interface ResizesParts {
  config: KubeletConfig;
  machine: Machine;
  groups: PodGroupTree;
  cgroupOf(pod: Pod): string;
  desired(uid: string): Pod | undefined;
  refusal(pod: Pod): { message: string } | undefined;
  onGiven(pod: Pod): void;
  onStatusChanged(uid: string): void;
  isComplete(): boolean;
  events: Pick<PodEvents, 'pod'>;
  counts: ConstructorParameters<typeof Resizes>[0]['counts'] & {
    resized(durationMs: number, hasSucceeded: boolean): void;
  };
  clock: Clock;
  log: Logger;
}

export interface ResizesAndHands {
  resizes: Resizes;
  /** To load before the first pod, and to run. */
  records: readonly ResourceRecords[];
  /** Sets in cgroup and runtime what the pod was given. @throws when something could not be set */
  carryOut(pod: Pod, observed: ObservedPod | undefined, signal: AbortSignal): Promise<void>;
}

export function makeResizes({ config, machine, groups, cgroupOf, ...need }: ResizesParts): ResizesAndHands {
  const { clock, log } = need;
  const recordOf = (name: string): ResourceRecords =>
    new ResourceRecords({ path: join(config.rootDir, name), clock, log });
  const [allocated, actuated] = [recordOf('allocated_pods_state'), recordOf('actuated_pods_state')];
  const resizes = new Resizes({
    ...need,
    allocated,
    actuated,
    mayUseSwap: (pod, container) => {
      const swap = computeContainerResources(pod, container, machine.size, config).unified?.['memory.swap.max'];
      return swap !== undefined && swap !== '0';
    },
    onGiven: (pod) => need.onGiven(resizes.given(pod)),
  });
  const carryOut = async (pod: Pod, observed: ObservedPod | undefined, signal: AbortSignal): Promise<void> => {
    const uid = uidOf(pod);
    const beganMs = clock.monotonicMs();
    await resizes.whenRecorded();
    try {
      await resizePod(
        {
          cri: machine.cri,
          cgroups: groups,
          cgroupOf,
          options: { ...config, hugepageSizes: machine.size.hugepageSizes },
          containerResources: (owner, spec) => computeContainerResources(owner, spec, machine.size, config),
          onContainer: (name, resources) => resizes.setContainer(uid, name, resources),
        },
        {
          pod,
          before: resizes.actual(pod),
          sandboxId: readySandbox(observed)?.id,
          containers: resizedContainers(resizes, pod, observed),
        },
        signal,
      );
    } catch (err) {
      signal.throwIfAborted();
      need.counts.resized(clock.monotonicMs() - beganMs, false);
      resizes.failed(pod, err);
      throw err;
    }
    need.counts.resized(clock.monotonicMs() - beganMs, true);
    resizes.applied(pod);
  };
  return { resizes, records: [allocated, actuated], carryOut };
}

/** Running containers whose amounts change, and for a pod with limits of its own those that it holds, too. */
function resizedContainers(resizes: Resizes, pod: Pod, observed: ObservedPod | undefined): ResizedContainer[] {
  const uid = uidOf(pod);
  const before = new Map(podContainers(resizes.actual(pod)).map(({ spec }) => [spec.name, spec.resources]));
  const ofPod = resizes.changedOfPod(pod);
  const sandboxId = readySandbox(observed)?.id;
  return podContainers(pod).flatMap(({ kind, spec }): ResizedContainer[] => {
    const latest = latestContainer(observed, spec.name);
    const isHere = latest?.state === 'running' && latest.sandboxId === sandboxId;
    if (kind === 'ephemeral' || !isHere || resizes.mustRestart(uid, spec)) return [];
    const inherited = ofPod.filter((name) => spec.resources?.limits?.[name] === undefined);
    const changed = [...new Set([...resizes.changed(uid, spec), ...inherited])];
    if (changed.length === 0) return [];
    const now = spec.resources ?? {};
    return [{ id: latest.id, name: spec.name, before: before.get(spec.name) ?? now, now, changed }];
  });
}
