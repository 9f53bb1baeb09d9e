/** Volumes that somebody else attaches to the node, and the pods that wait for that. */
import type { Pod } from '../../../objects/generated/core-v1.ts';
import { uidOf } from '../../pod-model.ts';
import { attachState } from './node-volume-state.ts';
import type { NodeVolumesNeed } from './node-volumes-need.ts';
import type { PodVolume } from './persistent-model.ts';
import type { VolumeOperations } from './volume-operations.ts';

type AttachNeed = Pick<NodeVolumesNeed, 'phases' | 'ownNode' | 'readNode'>;

/** A wait that is shorter is not worth a line of its own in the pod's timeline, ms. */
const quietMs = 500;

export class AttachWaits {
  readonly #need: AttachNeed;
  readonly #operations: VolumeOperations;
  /** Ends when the kubelet does. */
  readonly #lifetime: AbortSignal;
  /** Names of volumes in the pod, by its uid. */
  readonly #waiting = new Map<string, Set<string>>();
  #wakes: Array<() => void> = [];

  constructor(need: AttachNeed, operations: VolumeOperations, lifetime: AbortSignal) {
    this.#need = need;
    this.#operations = operations;
    this.#lifetime = lifetime;
  }

  /** Names of the pod's volumes that it waits for somebody to attach, sorted. */
  of(uid: string): string[] {
    return [...(this.#waiting.get(uid) ?? [])].toSorted();
  }

  /** The node's object has changed. */
  nodeChanged(): void {
    for (const wake of this.#wakes.splice(0)) wake();
  }

  forget(uid: string): void {
    this.#waiting.delete(uid);
  }

  /** Waits until the node says that the volume is attached; first the node must have said that it will use it. */
  async whenAttached(pod: Pod, volume: PodVolume, signal: AbortSignal): Promise<void> {
    const uid = uidOf(pod);
    const { uniqueName, name } = volume;
    const waits = this.#waiting.get(uid) ?? new Set();
    this.#waiting.set(uid, waits.add(name));
    await this.#need.phases.span(
      pod,
      `attach ${name}`,
      async () => {
        for (;;) {
          signal.throwIfAborted();
          if (attachState(uniqueName, this.#need.ownNode()) === 'attached') {
            const key = `${uniqueName}/${uid}`;
            const check = (): Promise<void> => this.#verifyAttached(uniqueName);
            const isAttached = await this.#operations.run(key, 'verify', check, signal).then(
              () => true,
              () => false, // it waits before it is asked again
            );
            if (isAttached) return;
          } else await this.#nextChange(signal);
        }
      },
      { quietBelowMs: quietMs },
    );
    waits.delete(name);
  }

  /** What a watch says may be of a while ago. */
  async #verifyAttached(uniqueName: string): Promise<void> {
    const node = await this.#need.readNode(this.#lifetime).catch((cause: unknown) => {
      throw new Error('VerifyControllerAttachedVolume failed fetching node from API server', { cause });
    });
    const isAttached = node?.status?.volumesAttached?.some(({ name }) => name === uniqueName) === true;
    if (!isAttached) throw new Error('Volume not attached according to node status');
  }

  #nextChange(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const leave = (): void => reject(signal.reason);
      signal.addEventListener('abort', leave, { once: true });
      this.#wakes.push(() => {
        signal.removeEventListener('abort', leave);
        resolve();
      });
    });
  }
}
