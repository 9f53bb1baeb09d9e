/**
 * One informer per resource type for a whole process. Whoever needs a type asks for it before `run`; `managedFields`
 * are not kept.
 */
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import { runTogether } from '../base/run-together.ts';
import type { ApiClient, KubeObject, ResourceType } from './api-client.ts';
import { Informer } from './informer.ts';

export interface SharedInformersOptions {
  client: Pick<ApiClient, 'list' | 'watch'>;
  clock: Clock;
  log: Logger;
}

export class SharedInformers {
  readonly #options: SharedInformersOptions;
  readonly #informers = new Map<string, { run(signal: AbortSignal): Promise<void>; hasSynced: boolean }>();

  constructor(options: SharedInformersOptions) {
    this.#options = options;
  }

  /** `trim` counts only for the first who asks for the type. */
  of<T extends KubeObject>(type: ResourceType<T>, trim: (object: T) => T = withoutManagedFields): Informer<T> {
    const key = `${type.prefix}/${type.plural}`;
    const known = this.#informers.get(key);
    if (known !== undefined) return known as Informer<T>; // the key names the type
    const { client, clock, log } = this.#options;
    const informer = new Informer<T>({ client, type, trim, clock, log });
    this.#informers.set(key, informer);
    return informer;
  }

  async run(signal: AbortSignal): Promise<void> {
    await runTogether(
      signal,
      [...this.#informers.values()].map((informer) => (inner: AbortSignal) => informer.run(inner)),
    );
  }
}

export function withoutManagedFields<T extends KubeObject>(object: T): T {
  if (object.metadata.managedFields === undefined) return object;
  const { managedFields: _, ...metadata } = object.metadata;
  return { ...object, metadata };
}
