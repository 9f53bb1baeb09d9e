/** The directories of pods on disk: made before their volumes, taken down with everything in them when pods are gone. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { FoundPlace } from './find-places.ts';
import { isPodUid, isVolumeName, kindOfDirectory } from './volume-paths.ts';
import { type Hands, namesIn, removeEmpty, tearDown } from './volume-setup.ts';

/** Volumes that are mounted from elsewhere: what a pod has of them. */
interface OtherVolumes {
  placesOf(uid: string): Promise<FoundPlace[]>;
  unmount(place: FoundPlace, signal: AbortSignal): Promise<void>;
}

export class PodDirectories {
  readonly #hands: Hands;
  readonly #others: OtherVolumes;

  constructor(hands: Hands, others: OtherVolumes) {
    this.#hands = hands;
    this.#others = others;
  }

  /** Uids that have a directory. */
  async uids(): Promise<string[]> {
    return (await namesIn(this.#hands.paths.pods)).filter(isPodUid);
  }

  /** Makes the directories that every pod has. */
  async ensure(uid: string): Promise<void> {
    const { paths } = this.#hands;
    try {
      for (const directory of [paths.volumes(uid), join(paths.podDir(uid), 'plugins')]) {
        await mkdir(directory, { recursive: true, mode: 0o750 });
      }
    } catch (cause) {
      throw new Error('error making pod data directories', { cause });
    }
  }

  /**
   * Takes down every volume that lies on disk, sub paths first: a volume of which a part is still bound elsewhere stays.
   * @throws {Error} naming the first volume that stays; the others are taken down nevertheless
   */
  async takeDown(uid: string, signal: AbortSignal): Promise<void> {
    const { paths, mounts } = this.#hands;
    const failures: unknown[] = [];
    const held = new Set<string>(); // volumes of which a part is still bound elsewhere
    for (const name of await namesIn(paths.subPaths(uid))) {
      try {
        await mounts.removeSubPathBinds(join(paths.subPaths(uid), name), signal);
      } catch (cause) {
        held.add(name);
        failures.push(new Error(`error cleaning subPath mounts for volume "${name}"`, { cause }));
      }
    }
    if (held.size === 0) await removeEmpty(paths.subPaths(uid));
    for (const place of await this.#others.placesOf(uid)) {
      if (held.has(place.specName)) continue;
      try {
        await this.#others.unmount(place, signal);
      } catch (cause) {
        held.add(place.specName);
        failures.push(new Error(tearDownFailed(place.specName, `kubernetes.io~${place.kind}`, uid), { cause }));
      }
    }
    for (const directory of await namesIn(paths.volumes(uid))) {
      for (const name of await namesIn(join(paths.volumes(uid), directory))) {
        if (!held.has(name)) await this.#tearDown(uid, directory, name, signal).catch((err) => failures.push(err));
      }
    }
    if (failures.length > 0) throw failures[0];
  }

  async #tearDown(uid: string, directory: string, name: string, signal: AbortSignal): Promise<void> {
    const { paths, mounts } = this.#hands;
    const kind = kindOfDirectory(directory);
    try {
      if (kind !== undefined && isVolumeName(name)) await tearDown({ uid, kind, name }, this.#hands, signal);
      // Of another kubelet's volume we take what is empty; its data and its mounts are not ours to judge.
      else await mounts.removeEmptyDirectories(join(paths.volumes(uid), directory, name), signal);
    } catch (cause) {
      throw new Error(tearDownFailed(name, directory, uid), { cause });
    }
  }

  /** Removes what is left of a pod whose volumes are down. Refuses while a volume holds a file or a mount. */
  async remove(uid: string, signal: AbortSignal): Promise<void> {
    const { paths, mounts } = this.#hands;
    await mounts.removeEmptyDirectories(paths.volumes(uid), signal);
    for (const name of await namesIn(paths.subPaths(uid))) {
      await mounts.removeSubPathBinds(join(paths.subPaths(uid), name), signal);
    }
    await mounts.removeTree(paths.podDir(uid), signal);
  }
}

const tearDownFailed = (name: string, directory: string, uid: string): string =>
  `UnmountVolume.TearDown failed for volume "${name}" (${directory}) of pod "${uid}"`;
