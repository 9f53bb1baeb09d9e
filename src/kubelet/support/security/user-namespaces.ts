/**
 * The user namespaces of pods with `hostUsers: false`. Owns which pod has which ids of the host; each pod's ids lie in
 * its directory too, so that a kubelet that starts again gives nobody the ids of a running pod.
 */
import { open, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { UserNamespace } from '../../../adapters/cri/generated/runtime/v1/UserNamespace.ts';
import { describeError, errnoOf } from '../../../base/errors.ts';
import type { Logger } from '../../../base/logger.ts';
import type { Pod } from '../../../objects/generated/core-v1.ts';
import { uidOf } from '../../pod-model.ts';
import { type IdRange, formatMappings, parseMappings } from './id-range.ts';

interface UserNamespacesNeed {
  range: IdRange;
  idsPerPod: number;
  /** The directory of a pod, made before its sandbox. */
  podDir(uid: string): string;
  /** What the runtime says about its handlers; empty before it has been asked, and of a runtime that says nothing. */
  handlers(): ReadonlyArray<{ name: string; userNamespaces: boolean }>;
  log: Logger;
}

const hostNamespace: UserNamespace = { mode: 'NODE' };

export class UserNamespaces {
  readonly #need: UserNamespacesNeed;
  /** First host id by pod uid. */
  readonly #byPod = new Map<string, number>();
  readonly #taken = new Set<number>();

  constructor(need: UserNamespacesNeed) {
    this.#need = need;
  }

  /** Takes over what an earlier kubelet gave. Before any pod. @param uids pods that have a directory */
  async load(uids: readonly string[]): Promise<void> {
    for (const uid of uids) {
      try {
        await this.#loadOne(uid);
      } catch (err) {
        // its pod, if it is still wanted, is told so when it asks
        this.#need.log.error({ uid, reason: describeError(err) }, 'cannot read the user namespace of a pod');
      }
    }
  }

  /** What the sandbox and the containers of a pod get. @throws {Error} in upstream's words when it cannot have one */
  async of(pod: Pod, runtimeHandler: string): Promise<UserNamespace> {
    if (pod.spec.hostUsers !== false) return hostNamespace;
    this.#assertSupported(runtimeHandler);
    const uid = uidOf(pod);
    const firstId = this.#byPod.get(uid) ?? (await this.#loadOne(uid)) ?? (await this.#create(uid));
    const mapping = { host_id: firstId, container_id: 0, length: this.#need.idsPerPod };
    return { mode: 'POD', uids: [mapping], gids: [mapping] };
  }

  /** Nothing of the pod runs any more: its ids are free. */
  release(uid: string): void {
    const firstId = this.#byPod.get(uid);
    if (firstId === undefined) return;
    this.#byPod.delete(uid);
    this.#taken.delete(firstId);
  }

  /** Pods that hold ids. */
  get holders(): number {
    return this.#byPod.size;
  }

  #assertSupported(handler: string): void {
    if (this.#need.handlers().some(({ name, userNamespaces }) => name === handler && userNamespaces)) return;
    const who = handler === '' ? 'runtime' : `RuntimeClass handler "${handler}"`;
    throw new Error(`can't set \`spec.hostUsers: false\`, ${who} does not support user namespaces`);
  }

  /** @returns undefined for a pod that has none yet */
  async #loadOne(uid: string): Promise<number | undefined> {
    const { range, idsPerPod } = this.#need;
    let text: string;
    try {
      text = await readFile(this.#file(uid), 'utf8');
    } catch (err) {
      if (errnoOf(err) === 'ENOENT') return undefined;
      throw err;
    }
    if (text === '') return undefined; // made, not written: the kubelet or the machine ended in between
    const firstId = parseMappings(text, range, idsPerPod);
    this.#take(uid, firstId);
    return firstId;
  }

  async #create(uid: string): Promise<number> {
    const { idsPerPod } = this.#need;
    const firstId = this.#firstFree();
    this.#take(uid, firstId);
    try {
      const file = await open(this.#file(uid), 'w', 0o644);
      try {
        await file.writeFile(formatMappings(firstId, idsPerPod));
        await file.sync();
      } finally {
        await file.close();
      }
    } catch (cause) {
      this.release(uid);
      await rm(this.#file(uid), { force: true }).catch(() => {}); // the first failure is the one to tell
      throw new Error(`Cannot keep the user namespace of pod "${uid}"`, { cause });
    }
    return firstId;
  }

  #firstFree(): number {
    const { range, idsPerPod } = this.#need;
    for (let id = range.firstId; id < range.firstId + range.length; id += idsPerPod) {
      if (!this.#taken.has(id)) return id;
    }
    throw new Error('could not find an empty slot to allocate a user namespace');
  }

  #take(uid: string, firstId: number): void {
    this.#byPod.set(uid, firstId);
    this.#taken.add(firstId);
  }

  #file(uid: string): string {
    return join(this.#need.podDir(uid), 'userns');
  }
}
