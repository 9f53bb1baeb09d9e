/** The directories of pods on disk: made before their volumes, taken down with everything in them when pods are gone. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isPodUid, isVolumeName, kindOfDirectory } from './volume-paths.ts';
import { type Hands, namesIn, removeEmpty, tearDown } from './volume-setup.ts';

export class PodDirectories {
  readonly #hands: Hands;

  constructor(hands: Hands) {
    this.#hands = hands;
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
      throw new Error(`UnmountVolume.TearDown failed for volume "${name}" (${directory}) of pod "${uid}"`, { cause });
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
