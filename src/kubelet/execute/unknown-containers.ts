/**
 * Ends garbage of which the runtime cannot say whether it runs. Such a container gets the grace period and the preStop
 * hook that it was started with, which may take long: each ends in a lane of its own, a limited number at once, and
 * nothing else waits for it. It is removed when it has stopped; when it does not stop, the next look at the garbage
 * tries again.
 */
import { describeError } from '../../base/errors.ts';
import { KeyedRunner } from '../../base/keyed-runner.ts';
import type { Logger } from '../../base/logger.ts';
import { Semaphore } from '../../base/semaphore.ts';
import type { ObservedPod } from '../pod-model.ts';
import type { ContainerKiller } from './container-kill.ts';
import { restorePod } from './restore-pod.ts';
import type { Garbage } from './select-garbage.ts';

type Doomed = Garbage['containers'][number];

interface UnknownNeed {
  observed(uid: string): ObservedPod | undefined;
  killer: Pick<ContainerKiller, 'killContainer'>;
  /** Removes the container, which has stopped. */
  remove(container: Doomed, signal: AbortSignal): Promise<void>;
  /** What was kept for the container's sake may go. */
  onEnded(uid: string): void;
  log: Logger;
}

const atOnce = 20;
const killMessage = 'Container is in unknown state, try killing before removal';

export class UnknownContainers {
  readonly #need: UnknownNeed;
  readonly #lanes = new KeyedRunner((id) => this.#end(id));
  readonly #places = new Semaphore(atOnce);
  /** By container id: those that are on their way. */
  readonly #doomed = new Map<string, { container: Doomed; signal: AbortSignal }>();

  constructor(need: UnknownNeed) {
    this.#need = need;
  }

  /** Returns at once; asked for again while it is at it, nothing changes. */
  end(container: Doomed, signal: AbortSignal): void {
    if (this.#doomed.has(container.id)) return;
    this.#doomed.set(container.id, { container, signal });
    this.#lanes.mark(container.id);
  }

  /** Something of the pod may still use its grace period. */
  isEnding(uid: string): boolean {
    return [...this.#doomed.values()].some(({ container }) => container.uid === uid);
  }

  whenIdle(): Promise<void> {
    return this.#lanes.whenIdle();
  }

  async #end(id: string): Promise<void> {
    const doomed = this.#doomed.get(id);
    if (doomed === undefined) return;
    const { container, signal } = doomed;
    try {
      await this.#places.with(signal, () => this.#stopAndRemove(container, signal));
    } catch (err) {
      if (!signal.aborted) {
        const reason = describeError(err);
        this.#need.log.warn({ containerId: id, reason }, 'cannot end a container of unknown state, will retry');
      }
      this.#doomed.delete(id);
      return;
    }
    this.#doomed.delete(id);
    this.#need.onEnded(container.uid);
  }

  async #stopAndRemove(container: Doomed, signal: AbortSignal): Promise<void> {
    const pod = this.#need.observed(container.uid);
    const seen = pod?.containers.find(({ id }) => id === container.id);
    if (pod === undefined || seen?.state !== 'unknown') return; // known by now, or gone: who asked decides anew
    const order = { containerId: seen.id, name: seen.name, message: killMessage, cause: 'other' } as const;
    await this.#need.killer.killContainer(restorePod(pod, seen), pod, order, signal);
    await this.#need.remove(container, signal);
  }
}
