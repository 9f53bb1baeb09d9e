/**
 * The node's own registry credentials, from the files that docker would read. Read again when they are five minutes
 * old. Of each form the first file that can be read counts.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../../base/clock.ts';
import { describeError, errnoOf } from '../../../base/errors.ts';
import type { Logger } from '../../../base/logger.ts';
import { type DockerConfigForm, parseDockerConfig } from './docker-config.ts';
import type { KeyringEntry } from './keyring.ts';

interface NodeCredentialsNeed {
  places: CredentialPlaces;
  clock: Clock;
  log: Logger;
}

export interface CredentialPlaces {
  rootDir: string;
  workingDirectory: string;
  /** Undefined: the process has none. */
  home: string | undefined;
  /** `/`, but for tests. */
  top: string;
}

const readEveryMs = 5 * 60_000;

export class NodeCredentials {
  readonly #need: NodeCredentialsNeed;
  /** Pods that ask while the files are read wait for them: without credentials their pulls would fail. */
  #entries: Promise<readonly KeyringEntry[]> = Promise.resolve([]);
  #readMs = -Infinity;

  constructor(need: NodeCredentialsNeed) {
    this.#need = need;
  }

  entries(): Promise<readonly KeyringEntry[]> {
    const nowMs = this.#need.clock.monotonicMs();
    if (nowMs - this.#readMs >= readEveryMs) {
      this.#readMs = nowMs;
      this.#entries = this.#read();
    }
    return this.#entries;
  }

  /** Never rejects. */
  async #read(): Promise<readonly KeyringEntry[]> {
    const { places } = this.#need;
    return [
      ...(await this.#first(configJsonPaths(places), 'json')),
      ...(await this.#first(dockerCfgPaths(places), 'flat')),
    ];
  }

  async #first(paths: readonly string[], form: DockerConfigForm): Promise<KeyringEntry[]> {
    for (const path of paths) {
      try {
        const text = await readFile(path, 'utf8');
        return parseDockerConfig(text, form).map((entry) => ({ ...entry, origin: { kind: 'node' } }));
      } catch (err) {
        const errno = errnoOf(err);
        if (errno === 'ENOENT' || errno === 'ENOTDIR') continue;
        this.#need.log.warn({ path, reason: describeError(err) }, 'cannot use a file of registry credentials');
      }
    }
    return [];
  }
}

function configJsonPaths({ rootDir, workingDirectory, home, top }: CredentialPlaces): string[] {
  const dockers = [...(home === undefined ? [] : [home]), top].map((folder) => join(folder, '.docker'));
  return [rootDir, workingDirectory, ...dockers].map((folder) => join(folder, 'config.json'));
}

function dockerCfgPaths({ rootDir, workingDirectory, home, top }: CredentialPlaces): string[] {
  const folders = [rootDir, workingDirectory, ...(home === undefined ? [] : [home]), top];
  return folders.map((folder) => join(folder, '.dockercfg'));
}
