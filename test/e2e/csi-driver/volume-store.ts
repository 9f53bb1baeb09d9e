import { existsSync, mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface StoredVolume {
  id: string;
  capacityBytes: number;
  isBlock: boolean;
  isEphemeral: boolean;
}

/** Volumes on disk: a directory or a file each, and what is known of it beside. */
export class VolumeStore {
  readonly #dir: string;
  constructor(stateDir: string) {
    this.#dir = join(stateDir, 'volumes');
    mkdirSync(this.#dir, { recursive: true });
  }

  /** Where the data lies. */
  path({ id, isBlock }: Pick<StoredVolume, 'id' | 'isBlock'>): string {
    return join(this.#dir, isBlock ? `${id}.img` : id);
  }

  get(id: string): StoredVolume | undefined {
    const file = join(this.#dir, `${id}.json`);
    if (existsSync(file)) return JSON.parse(readFileSync(file, 'utf8')) as StoredVolume; // our own
    // a directory that somebody has put here is a volume, too
    const found = existsSync(join(this.#dir, id));
    return found ? { id, capacityBytes: 0, isBlock: false, isEphemeral: false } : undefined;
  }

  create(volume: StoredVolume): void {
    if (volume.isBlock) {
      if (!existsSync(this.path(volume))) writeFileSync(this.path(volume), '');
      truncateSync(this.path(volume), volume.capacityBytes);
    } else mkdirSync(this.path(volume), { recursive: true });
    writeFileSync(join(this.#dir, `${volume.id}.json`), JSON.stringify(volume));
  }

  remove(id: string): void {
    for (const name of [id, `${id}.img`, `${id}.json`]) rmSync(join(this.#dir, name), { recursive: true, force: true });
  }
}
