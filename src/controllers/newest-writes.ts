/**
 * What a controller has written and its informer has not shown yet: one that decides twice in a row must not decide on
 * a state from before its own writes. Owns the written objects, for a minute at most.
 */
import type { Clock } from '../base/clock.ts';
import type { KubeObject } from '../client/api-client.ts';
import type { Informer } from '../client/informer.ts';
import { objectKey } from '../objects/object-key.ts';

const keptMaxMs = 60_000;

export class NewestWrites<T extends KubeObject> {
  readonly #informer: Pick<Informer<T>, 'getByKey' | 'list' | 'addHandlers'>;
  readonly #clock: Pick<Clock, 'monotonicMs'>;
  readonly #written = new Map<string, { object: T; atMs: number }>();

  constructor(informer: Pick<Informer<T>, 'getByKey' | 'list' | 'addHandlers'>, clock: Pick<Clock, 'monotonicMs'>) {
    this.#informer = informer;
    this.#clock = clock;
    informer.addHandlers({ onDelete: (object) => this.#written.delete(objectKey(object)) });
  }

  /** To be called with what the API server answered to a write. */
  remember(object: T): T {
    this.#written.set(objectKey(object), { object, atMs: this.#clock.monotonicMs() });
    return object;
  }

  /** Whether this state is no newer than our own write of the object. */
  isKnown(object: T): boolean {
    const written = this.#written.get(objectKey(object));
    return written !== undefined && revisionOf(object) <= revisionOf(written.object);
  }

  getByKey(key: string): T | undefined {
    const shown = this.#informer.getByKey(key);
    const written = this.#written.get(key);
    if (written === undefined) return shown;
    const isOld = this.#clock.monotonicMs() - written.atMs > keptMaxMs;
    if (!isOld && (shown === undefined || revisionOf(shown) < revisionOf(written.object))) return written.object;
    this.#written.delete(key);
    return shown;
  }

  list(): T[] {
    if (this.#written.size === 0) return this.#informer.list();
    const keys = new Set([...this.#informer.list().map(objectKey), ...this.#written.keys()]);
    return [...keys].flatMap((key) => this.getByKey(key) ?? []);
  }
}

function revisionOf({ metadata }: KubeObject): bigint {
  return BigInt(metadata.resourceVersion ?? '0');
}
