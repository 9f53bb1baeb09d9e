/**
 * How far pulls are. CRI says nothing of a pull before its end, so what can be seen from outside is told: by how much
 * the disk that holds the images has filled since. Others write there too; it shows whether something still moves.
 */
import type { Cri } from '../../../adapters/cri/cri.ts';
import type { Clock } from '../../../base/clock.ts';
import { withDeadline } from '../../../base/deadline.ts';

interface PullProgressNeed {
  cri: Pick<Cri, 'imageFilesystems'>;
  space(path: string): Promise<{ availableBytes: number }>;
  clock: Clock;
}

/** Nobody waits longer for a look at the disk. */
const lookMaxMs = 1000;

export class PullProgress {
  readonly #need: PullProgressNeed;
  /** What was free when the pod's pull began, by the pod's uid: a pod pulls one image at a time. */
  readonly #began = new Map<string, Promise<number | undefined>>();

  constructor(need: PullProgressNeed) {
    this.#need = need;
  }

  /** Does not hold up `pull`. */
  async during<T>(uid: string, signal: AbortSignal, pull: () => Promise<T>): Promise<T> {
    const began = this.#availableBytes(signal);
    this.#began.set(uid, began);
    try {
      return await pull();
    } finally {
      if (this.#began.get(uid) === began) this.#began.delete(uid);
    }
  }

  /** Bytes by which the disk has filled since the pod's pull began; undefined without a pull or when nobody can tell. */
  async filledBytes(uid: string, signal: AbortSignal): Promise<number | undefined> {
    const began = this.#began.get(uid);
    if (began === undefined) return undefined;
    const [beforeBytes, nowBytes] = await Promise.all([began, this.#availableBytes(signal)]);
    if (beforeBytes === undefined || nowBytes === undefined) return undefined;
    return Math.max(0, beforeBytes - nowBytes);
  }

  async #availableBytes(signal: AbortSignal): Promise<number | undefined> {
    const { cri, space, clock } = this.#need;
    try {
      return await withDeadline('a look at the disk with images', lookMaxMs, clock, signal, async (s) => {
        const [filesystem] = await cri.imageFilesystems(s);
        return filesystem === undefined ? undefined : (await space(filesystem.mountpoint)).availableBytes;
      });
    } catch {
      return undefined; // it is only told to people
    }
  }
}
