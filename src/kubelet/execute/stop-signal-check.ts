/**
 * Runtimes older than the stop signals of pods take them without a word and stop containers as their image says: that is
 * told once for each container of a pod. Owns whom it has been told of.
 */
import type { Logger } from '../../base/logger.ts';
import type { Pod } from '../../objects/generated/core-v1.ts';
import {
  type ContainerKind,
  type ObservedPod,
  type PodEvents,
  latestContainer,
  podContainers,
  podKey,
  uidOf,
} from '../pod-model.ts';

interface StopSignalCheckNeed {
  events: Pick<PodEvents, 'container'>;
  log: Logger;
}

export class StopSignalCheck {
  readonly #need: StopSignalCheckNeed;
  /** Names of containers by pod uid. */
  readonly #told = new Map<string, Set<string>>();

  constructor(need: StopSignalCheckNeed) {
    this.#need = need;
  }

  look(pod: Pod, observed: ObservedPod | undefined): void {
    const uid = uidOf(pod);
    for (const { kind, name, asked, shown } of ignoredStopSignals(pod, observed)) {
      const told = this.#told.get(uid) ?? new Set();
      if (told.has(name)) continue;
      this.#told.set(uid, told.add(name));
      const message =
        `Container ${name} asks for the stop signal ${asked}, but the container runtime shows ${shown ?? 'none'}: ` +
        'it may be stopped with another signal';
      this.#need.events.container(pod, kind, name, 'Warning', 'StopSignalIgnored', message);
      this.#need.log.warn(
        { pod: podKey(pod), uid, container: name, asked, shown },
        'the container runtime does not show the stop signal that a container asks for',
      );
    }
  }

  forget(uid: string): void {
    this.#told.delete(uid);
  }
}

export interface IgnoredStopSignal {
  kind: ContainerKind;
  name: string;
  asked: string;
  /** What the runtime shows; undefined when it shows nothing. */
  shown: string | undefined;
}

/** Containers that run, and that the runtime would not stop as they ask. Pure. */
export function ignoredStopSignals(pod: Pod, observed: ObservedPod | undefined): IgnoredStopSignal[] {
  return podContainers(pod).flatMap(({ kind, spec: { name, lifecycle } }) => {
    const asked = lifecycle?.stopSignal;
    const latest = latestContainer(observed, name);
    if (asked === undefined || latest?.state !== 'running' || latest.stopSignal === asked) return [];
    return [{ kind, name, asked, shown: latest.stopSignal }];
  });
}
