/**
 * What this node's kubelet pulled, and who showed that they may have it: files below `image_manager`, in upstream's
 * form, so that either kubelet goes on where the other stopped. Owns both folders; keeps their content in memory.
 *
 * An intent is written before a pull and removed after it: whatever happens between, an image that was pulled is never
 * taken for one that was there before.
 */
import { createHash } from 'node:crypto';
import { mkdir, readFile, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Clock, rfc3339Seconds } from '../../../base/clock.ts';
import { describeError } from '../../../base/errors.ts';
import type { Logger } from '../../../base/logger.ts';
import { replaceFile } from '../../../base/replace-file.ts';
import type { Origin } from './keyring.ts';
import { type PulledRecord, withAccess } from './verify-access.ts';

interface PullRecordsNeed {
  rootDir: string;
  clock: Clock;
  log: Logger;
}

const apiVersion = 'kubelet.config.k8s.io/v1beta1';
const knownVersions = [apiVersion, 'kubelet.config.k8s.io/v1alpha1'];

export class PullRecords {
  readonly #need: PullRecordsNeed;
  readonly #pulling: string;
  readonly #pulled: string;
  readonly #aside: string;
  /** Pulls by image name: how many are under way, and whether there was one whose end nobody saw. */
  readonly #intents = new Map<string, { pulls: number; isUnfinished: boolean }>();
  readonly #records = new Map<string, PulledRecord>();
  /** Names of files that could not be understood: what they were about came from a kubelet all the same. */
  readonly #setAside = new Set<string>();
  /** The last write of each file that is under way: writes of one file follow each other. */
  readonly #turns = new Map<string, Promise<void>>();

  constructor(need: PullRecordsNeed) {
    this.#need = need;
    const top = join(need.rootDir, 'image_manager');
    this.#pulling = join(top, 'pulling');
    this.#pulled = join(top, 'pulled');
    this.#aside = join(top, 'set-aside');
  }

  /** Reads what earlier processes wrote. Files that cannot be understood are set aside and named in the log. */
  async open(): Promise<void> {
    for (const folder of [this.#pulling, this.#pulled, this.#aside])
      await mkdir(folder, { recursive: true, mode: 0o700 });
    for (const name of await readdir(this.#aside)) this.#setAside.add(name);
    await this.#readAll(this.#pulling, (value, name) => {
      const { image } = value;
      if (value['kind'] !== 'ImagePullIntent' || typeof image !== 'string' || fileName(image) !== name) return false;
      this.#intents.set(image, { pulls: 0, isUnfinished: true });
      return true;
    });
    await this.#readAll(this.#pulled, (value, name) => {
      const record = toRecord(value);
      if (record === undefined || fileName(record.imageRef) !== name) return false;
      this.#records.set(record.imageRef, record);
      return true;
    });
  }

  record(imageRef: string): PulledRecord | undefined {
    return this.#records.get(imageRef);
  }

  /** Whether an image that is present came by a kubelet's pull, as far as anything is known of it. */
  wasPulledByKubelet(image: string, imageRef: string): boolean {
    if (this.#records.has(imageRef) || this.#intents.has(image)) return true;
    return this.#setAside.has(fileName(imageRef)) || this.#setAside.has(fileName(image));
  }

  /** Names of which there was a pull whose end nobody saw. */
  unfinished(): string[] {
    return [...this.#intents].filter(([, intent]) => intent.isUnfinished).map(([image]) => image);
  }

  /** @throws when it cannot be noted: then there must be no pull */
  async begin(image: string): Promise<void> {
    const name = fileName(image);
    const { pulls = 0, isUnfinished = false } = this.#intents.get(image) ?? {};
    this.#intents.set(image, { pulls: pulls + 1, isUnfinished });
    try {
      await this.#inTurn(join(this.#pulling, name), async (path) => {
        await replaceFile(path, JSON.stringify({ kind: 'ImagePullIntent', apiVersion, image }), 0o600);
      });
    } catch (err) {
      this.#leave(image, this.#intents.get(image)?.isUnfinished === true);
      const left = this.#intents.get(image);
      if (left?.pulls === 0 && !left.isUnfinished) this.#intents.delete(image); // there is no file, and was no pull
      throw err;
    }
  }

  /** The image is there, pulled with this credential; undefined: without any. @throws when it cannot be noted */
  async succeeded(image: string, imageRef: string, repository: string, origin: Origin | undefined): Promise<void> {
    await this.learn(imageRef, repository, origin);
    await this.#end(image, false);
  }

  /** The pull is over and nothing came of it. */
  async failed(image: string): Promise<void> {
    await this.#end(image, this.#intents.get(image)?.isUnfinished === true);
  }

  /** Nobody waits for the pull any more; whether the runtime goes on with it is not known. */
  abandoned(image: string): void {
    this.#leave(image, true);
  }

  async #end(image: string, isUnfinished: boolean): Promise<void> {
    this.#leave(image, isUnfinished);
    await this.#inTurn(join(this.#pulling, fileName(image)), async (path) => {
      const intent = this.#intents.get(image);
      if (intent !== undefined && (intent.pulls > 0 || intent.isUnfinished)) return;
      this.#intents.delete(image);
      await rm(path, { force: true });
    });
  }

  #leave(image: string, isUnfinished: boolean): void {
    this.#intents.set(image, { pulls: Math.max(0, (this.#intents.get(image)?.pulls ?? 0) - 1), isUnfinished });
  }

  /** One more that may use the image. */
  async learn(imageRef: string, repository: string, origin: Origin | undefined): Promise<void> {
    const nowText = rfc3339Seconds(this.#need.clock.nowMs());
    const record = withAccess(this.#records.get(imageRef), { imageRef, repository, nowText }, origin);
    if (record === undefined) return;
    this.#records.set(imageRef, record);
    await this.#write(imageRef);
  }

  /** A pull that nobody saw the end of did end well: the image is the kubelet's, and nobody's yet. */
  async adopt(image: string, imageRef: string): Promise<void> {
    if (!this.#records.has(imageRef)) {
      this.#records.set(imageRef, { lastUpdatedTime: rfc3339Seconds(this.#need.clock.nowMs()), imageRef });
      await this.#write(imageRef);
    }
    await this.forgetUnfinished(image);
  }

  /** A pull that nobody saw the end of came to nothing. */
  async forgetUnfinished(image: string): Promise<void> {
    const intent = this.#intents.get(image);
    if (intent === undefined || intent.pulls > 0) return; // the one under way decides
    await this.#end(image, false);
  }

  /** Forgets images that are gone, unless their record is newer than the look at what is there. */
  async prune(present: ReadonlySet<string>, lookedMs: number): Promise<void> {
    for (const [imageRef, { lastUpdatedTime }] of this.#records) {
      if (present.has(imageRef) || Date.parse(lastUpdatedTime) >= lookedMs - 1000) continue;
      this.#records.delete(imageRef);
      await this.#write(imageRef);
    }
  }

  async #write(imageRef: string): Promise<void> {
    const name = fileName(imageRef);
    await this.#inTurn(join(this.#pulled, name), async (path) => {
      const record = this.#records.get(imageRef); // the newest
      if (record === undefined) return await rm(path, { force: true });
      await replaceFile(path, JSON.stringify({ kind: 'ImagePulledRecord', apiVersion, ...record }), 0o600);
      if (this.#setAside.delete(name)) await rm(join(this.#aside, name), { force: true });
    });
  }

  async #inTurn(path: string, work: (path: string) => Promise<void>): Promise<void> {
    const before = this.#turns.get(path) ?? Promise.resolve();
    const turn = before.catch(() => {}).then(() => work(path)); // the one before has told its own caller
    this.#turns.set(path, turn);
    try {
      await turn;
    } finally {
      if (this.#turns.get(path) === turn) this.#turns.delete(path);
    }
  }

  async #readAll(folder: string, take: (value: Record<string, unknown>, name: string) => boolean): Promise<void> {
    for (const entry of await readdir(folder, { withFileTypes: true })) {
      const path = join(folder, entry.name);
      if (!entry.isFile()) continue;
      if (entry.name.endsWith('.tmp')) {
        await rm(path, { force: true }); // a write that was cut off
        continue;
      }
      if (!entry.name.startsWith('sha256-')) continue;
      try {
        const value: unknown = JSON.parse(await readFile(path, 'utf8'));
        if (!isObject(value) || !knownVersions.includes(String(value['apiVersion']))) throw new Error('unknown form');
        if (!take(value, entry.name)) throw new Error('not what its name says');
      } catch (err) {
        await this.#putAside(path, entry.name, err);
      }
    }
  }

  async #putAside(path: string, name: string, err: unknown): Promise<void> {
    await rename(path, join(this.#aside, name));
    this.#setAside.add(name);
    this.#need.log.warn(
      { path, setAside: this.#aside, reason: describeError(err) },
      'cannot use a record of an image pull: the image will be pulled again before it is used',
    );
  }
}

/** Names of images have slashes and colons: files are called by their hash. */
export function fileName(image: string): string {
  return `sha256-${createHash('sha256').update(image).digest('hex')}`;
}

/** Undefined for what is none. */
function toRecord(value: Record<string, unknown>): PulledRecord | undefined {
  const { kind, lastUpdatedTime, imageRef, credentialMapping } = value;
  if (kind !== 'ImagePulledRecord' || typeof imageRef !== 'string' || imageRef === '') return undefined;
  const time = typeof lastUpdatedTime === 'string' && !Number.isNaN(Date.parse(lastUpdatedTime)) ? lastUpdatedTime : '';
  if (time === '') return undefined;
  if (credentialMapping === undefined) return { lastUpdatedTime: time, imageRef };
  if (!isObject(credentialMapping) || !Object.values(credentialMapping).every(isAccess)) return undefined;
  return { lastUpdatedTime: time, imageRef, credentialMapping: credentialMapping as PulledRecord['credentialMapping'] };
}

function isAccess(value: unknown): boolean {
  if (!isObject(value)) return false;
  const { kubernetesSecrets = [], kubernetesServiceAccounts = [], nodePodsAccessible = false } = value;
  const areObjects = (list: unknown): boolean =>
    Array.isArray(list) &&
    list.every((one) => isObject(one) && ['uid', 'namespace', 'name'].every((field) => typeof one[field] === 'string'));
  return (
    areObjects(kubernetesSecrets) && areObjects(kubernetesServiceAccounts) && typeof nodePodsAccessible === 'boolean'
  );
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
