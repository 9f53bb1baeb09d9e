/**
 * A kube-proxy whose API is its standard input: started by proxy.test.ts inside a network namespace. Each line is
 * `{"put": object}`, `{"delete": object}` or `{"synced": true}` (what came before is the initial list).
 */
import { createInterface } from 'node:readline';
import { createLogger } from '../../src/base/logger.ts';
import { systemClock } from '../../src/base/clock.ts';
import { stopSignal } from '../../src/base/stop-signal.ts';
import type { ApiClient, KubeObject, ResourceType, WatchEvent } from '../../src/client/api-client.ts';
import { runProxy } from '../../src/commands/kube-proxy.ts';
import { objectKey } from '../../src/objects/object-key.ts';
import { parseProxyConfig } from '../../src/proxy/parse-proxy-config.ts';

class InputApi implements Pick<ApiClient, 'list' | 'watch' | 'create'> {
  readonly #objects = new Map<string, KubeObject>();
  readonly #events: Array<{ kind: string; event: WatchEvent<KubeObject> }> = [];
  #wake: Array<() => void> = [];
  #version = 1;
  readonly #synced = Promise.withResolvers<void>();

  take(line: string): void {
    const { put, delete: gone, synced } = JSON.parse(line) as { put?: KubeObject; delete?: KubeObject; synced?: true };
    if (synced) this.#synced.resolve();
    const object = put ?? gone;
    if (object === undefined) return;
    const kind = object.kind ?? '';
    const stored = { ...object, metadata: { uid: 'u', ...object.metadata, resourceVersion: String(++this.#version) } };
    const key = `${kind} ${objectKey(stored)}`;
    const type = gone !== undefined ? 'DELETED' : this.#objects.has(key) ? 'MODIFIED' : 'ADDED';
    if (type === 'DELETED') this.#objects.delete(key);
    else this.#objects.set(key, stored);
    this.#events.push({ kind, event: { type, object: stored } });
    for (const wake of this.#wake.splice(0)) wake();
  }

  async list<T extends KubeObject>(type: ResourceType<T>) {
    await this.#synced.promise;
    const items = [...this.#objects]
      .filter(([key]) => key.startsWith(`${type.kind} `))
      .map(([, object]) => object as T);
    return { metadata: { resourceVersion: String(this.#events.length) }, items };
  }

  async *watch<T extends KubeObject>(
    type: ResourceType<T>,
    { resourceVersion = '0' }: { resourceVersion?: string | undefined },
    signal: AbortSignal,
  ): AsyncGenerator<WatchEvent<T>> {
    for (let i = this.#started(resourceVersion); !signal.aborted; i++) {
      while (i >= this.#events.length && !signal.aborted) {
        await new Promise<void>((resolve) => {
          this.#wake.push(resolve);
          signal.addEventListener('abort', () => resolve(), { once: true });
        });
      }
      const next = this.#events[i];
      if (next?.kind === type.kind) yield next.event as WatchEvent<T>;
    }
  }

  create<T extends KubeObject>(_type: ResourceType<T>, object: T): Promise<T> {
    return Promise.resolve(object);
  }

  /** Lists carry the number of events that they include as their version. */
  #started(resourceVersion: string): number {
    return Math.min(Number(resourceVersion), this.#events.length);
  }
}

const api = new InputApi();
createInterface({ input: process.stdin }).on('line', (line) => api.take(line));
const config = parseProxyConfig(JSON.parse(process.argv[2] ?? '{}'), { source: 'the test', isZeroMeant: true });
await runProxy(config, api, systemClock, createLogger({ name: 'kube-proxy', verbosity: 4, fd: 1 }), stopSignal());
process.exit(0);
