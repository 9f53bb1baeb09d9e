/**
 * Removes images that nobody uses: when the file system of images is nearly full, and when they are too old. Owns what
 * is known of when each image came and was last used, which begins anew with each start of the kubelet.
 */
import type { Cri } from '../../../adapters/cri/cri.ts';
import type { Clock } from '../../../base/clock.ts';
import { describeError } from '../../../base/errors.ts';
import type { Logger } from '../../../base/logger.ts';
import { aborted } from '../../../base/run-together.ts';
import {
  type GarbageLimits,
  type KnownImage,
  type Space,
  bytesToFree,
  formatBytes,
  oldImages,
  removableImages,
  usedPercent,
} from './image-garbage.ts';

interface ImageCollectorNeed {
  cri: Pick<Cri, 'listImages' | 'removeImage' | 'imageFilesystems'>;
  /** Every name and id of an image that a container has, also one that has ended. */
  usedImages(): ReadonlySet<string>;
  /** Before that, every image would look unused. */
  whenUseIsKnown(signal: AbortSignal): Promise<void>;
  space(path: string): Promise<Space>;
  limits: GarbageLimits;
  nodeEvent(type: 'Normal' | 'Warning', reason: string, message: string): void;
  counts: { imageRemoved(reason: 'age' | 'space'): void };
  clock: Clock;
  log: Logger;
}

/** Why images go, as it is logged and as it is counted. */
const whyText = { age: 'it has not been used for too long', space: 'the disk is nearly full' } as const;

const periodMs = 5 * 60_000;

export class ImageCollector {
  readonly #need: ImageCollectorNeed;
  #images = new Map<string, KnownImage>();
  #failures = 0;

  constructor(need: ImageCollectorNeed) {
    this.#need = need;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, limits, log, nodeEvent } = this.#need;
    if (limits.highPercent === 100 && limits.maxAgeMs === 0) return await aborted(signal);
    await this.#need.whenUseIsKnown(signal);
    const beganMs = clock.nowMs();
    let isFirst = true;
    while (!signal.aborted) {
      try {
        const nowMs = clock.nowMs();
        await this.#look(nowMs, isFirst ? -Infinity : nowMs, signal);
        isFirst = false;
        await this.#collect(nowMs, beganMs, signal);
        this.#failures = 0;
      } catch (err) {
        if (signal.aborted) return;
        log.warn({ reason: describeError(err) }, 'cannot collect unused images');
        // the first may come from a runtime that has not measured its disk yet
        if (++this.#failures > 1) nodeEvent('Warning', 'ImageGCFailed', describeError(err));
      }
      await clock.sleep(periodMs, signal);
    }
  }

  async #look(nowMs: number, newMs: number, signal: AbortSignal): Promise<void> {
    const used = this.#need.usedImages();
    const images = new Map<string, KnownImage>();
    for (const { id, repoTags, repoDigests, sizeBytes, pinned } of await this.#need.cri.listImages(signal)) {
      const known = this.#images.get(id);
      const names = [id, ...repoTags, ...repoDigests];
      const isUsed = names.some((name) => used.has(name));
      images.set(id, {
        id,
        names,
        sizeBytes,
        isPinned: pinned,
        firstDetectedMs: known?.firstDetectedMs ?? newMs,
        lastUsedMs: isUsed ? nowMs : (known?.lastUsedMs ?? -Infinity),
      });
    }
    this.#images = images;
  }

  async #collect(nowMs: number, beganMs: number, signal: AbortSignal): Promise<void> {
    const { cri, limits, log, nodeEvent } = this.#need;
    for (const image of oldImages(this.#removable(nowMs), { nowMs, beganMs }, limits)) {
      await this.#remove(image, 'age', signal).catch((err: unknown) => {
        signal.throwIfAborted();
        log.warn({ image: image.id, reason: describeError(err) }, 'cannot remove an old image, will retry');
      });
    }
    const [filesystem] = await cri.imageFilesystems(signal);
    if (filesystem === undefined) throw new Error('the runtime does not tell where its images are');
    const space = await this.#need.space(filesystem.mountpoint);
    if (space.capacityBytes === 0) {
      nodeEvent('Warning', 'InvalidDiskCapacity', 'invalid capacity 0 on image filesystem');
      throw new Error('invalid capacity 0 on image filesystem');
    }
    const wantedBytes = bytesToFree(space, limits);
    if (wantedBytes <= 0) return;
    const { freedBytes, failures } = await this.#free(wantedBytes, nowMs, signal);
    if (freedBytes >= wantedBytes) return;
    nodeEvent(
      'Warning',
      'FreeDiskSpaceFailed',
      `Insufficient free disk space on the node's image filesystem (${usedPercent(space)}% of ${formatBytes(space.capacityBytes)} used). Failed to free sufficient space by deleting unused images (freed ${freedBytes} bytes). Investigate disk usage, as it could be used by active images, logs, volumes, or other data.`,
    );
    throw new Error(
      `Failed to garbage collect required amount of images. Attempted to free ${wantedBytes} bytes, but only found ${freedBytes} bytes eligible to free.${failures.map((text) => ` ${text}`).join('')}`,
    );
  }

  #removable(nowMs: number): KnownImage[] {
    return removableImages([...this.#images.values()], nowMs, this.#need.limits);
  }

  async #free(
    wantedBytes: number,
    nowMs: number,
    signal: AbortSignal,
  ): Promise<{ freedBytes: number; failures: string[] }> {
    let freedBytes = 0;
    const failures: string[] = [];
    for (const image of this.#removable(nowMs)) {
      if (freedBytes >= wantedBytes) break;
      try {
        await this.#remove(image, 'space', signal);
        freedBytes += image.sizeBytes;
      } catch (err) {
        signal.throwIfAborted();
        failures.push(`image "${image.id}": ${describeError(err)}`); // the others may make enough room
      }
    }
    return { freedBytes, failures };
  }

  /** Not one that a container has got since the look. */
  async #remove({ id, names, sizeBytes }: KnownImage, why: keyof typeof whyText, signal: AbortSignal): Promise<void> {
    const used = this.#need.usedImages();
    if (names.some((name) => used.has(name))) throw new Error('it has come into use');
    await this.#need.cri.removeImage(id, signal);
    this.#images.delete(id);
    this.#need.counts.imageRemoved(why);
    this.#need.log.info({ image: id, sizeBytes, why: whyText[why] }, 'removed an image that nobody uses');
  }
}
