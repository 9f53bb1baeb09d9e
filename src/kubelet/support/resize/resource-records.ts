/**
 * Resources by pod, kept in memory and on disk. Owns one checkpoint file: changes are gathered for a moment and written
 * whole, or at once where somebody waits for them. A file that cannot be read is set aside, and the node starts without it.
 */
import { open, readFile, rename } from 'node:fs/promises';
import type { Clock } from '../../../base/clock.ts';
import { describeError } from '../../../base/errors.ts';
import type { Logger } from '../../../base/logger.ts';
import type { ResourceRequirements } from '../../../objects/generated/core-v1.ts';
import type { PodResources } from './pod-resources.ts';
import { formatCheckpoint, parseCheckpoint } from './resource-checkpoint.ts';

interface ResourceRecordsNeed {
  path: string;
  clock: Clock;
  log: Logger;
}

/** Pods start first; what a restart would miss of this moment it learns from the pods' statuses. */
const gatherMs = 200;
const retryMs = 10_000;

export class ResourceRecords {
  readonly #need: ResourceRecordsNeed;
  #entries = new Map<string, PodResources>();
  #version = 0;
  #writtenVersion = 0;
  #writing: Promise<void> | undefined;
  #wake: () => void = () => {};

  constructor(need: ResourceRecordsNeed) {
    this.#need = need;
  }

  /** Reads what an earlier process left. */
  async load(): Promise<void> {
    const { path, log } = this.#need;
    let text: string;
    try {
      text = await readFile(path, 'utf8');
    } catch (err) {
      if (!isMissing(err)) log.warn({ err, path }, 'cannot read the resources that pods had, taking them from the API');
      return;
    }
    try {
      this.#entries = parseCheckpoint(text);
    } catch (err) {
      const aside = `${path}.corrupt`;
      log.error(
        { path, aside, reason: describeError(err) },
        'the record of what pods were given is damaged: it is set aside, and running pods keep what the API says they have',
      );
      await rename(path, aside);
    }
  }

  get(uid: string): PodResources | undefined {
    return this.#entries.get(uid);
  }

  container(uid: string, name: string): ResourceRequirements | undefined {
    return this.#entries.get(uid)?.containers[name];
  }

  set(uid: string, resources: PodResources): void {
    this.#entries.set(uid, resources);
    this.#touch();
  }

  setContainer(uid: string, name: string, resources: ResourceRequirements): void {
    const before = this.#entries.get(uid);
    this.set(uid, { ...before, containers: { ...before?.containers, [name]: resources } });
  }

  setPod(uid: string, pod: ResourceRequirements | undefined): void {
    const { containers = {} } = this.#entries.get(uid) ?? {};
    this.set(uid, { containers, ...(pod === undefined ? {} : { pod }) });
  }

  forget(uid: string): void {
    if (this.#entries.delete(uid)) this.#touch();
  }

  uids(): string[] {
    return [...this.#entries.keys()];
  }

  /** Everything set so far is on disk when this resolves. @throws when it cannot be written */
  async flush(): Promise<void> {
    while (this.#writtenVersion < this.#version) {
      this.#writing ??= this.#write().finally(() => (this.#writing = undefined));
      await this.#writing;
    }
  }

  /** Writes changes that nobody waits for. Lives until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, log, path } = this.#need;
    signal.addEventListener('abort', () => this.#wake(), { once: true });
    while (!signal.aborted) {
      if (this.#writtenVersion === this.#version) {
        await new Promise<void>((resolve) => (this.#wake = resolve));
        continue;
      }
      await clock.sleep(gatherMs, signal);
      try {
        await this.flush();
      } catch (err) {
        log.warn({ err, path }, 'cannot write what pods were given, will retry');
        await clock.sleep(retryMs, signal);
      }
    }
    await this.flush().catch((err: unknown) => log.warn({ err, path }, 'cannot write what pods were given'));
  }

  #touch(): void {
    this.#version += 1;
    this.#wake();
  }

  async #write(): Promise<void> {
    const version = this.#version;
    const { path } = this.#need;
    const unfinished = `${path}.tmp`;
    const file = await open(unfinished, 'w', 0o600);
    try {
      await file.writeFile(formatCheckpoint(this.#entries));
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(unfinished, path);
    this.#writtenVersion = version;
  }
}

const isMissing = (err: unknown): boolean => err instanceof Error && 'code' in err && err.code === 'ENOENT';
