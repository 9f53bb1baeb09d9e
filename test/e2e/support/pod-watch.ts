/**
 * Watches pods through the API and holds every picture of them against the first: what a restart of a component must
 * not change. A watch that breaks off, with the API server for instance, is begun again; the new list counts, too.
 */
import { systemClock } from '../../../src/base/clock.ts';
import type { Pod } from '../../../src/objects/generated/core-v1.ts';
import type { TestLab } from './lab.ts';
import { Follower } from './pods.ts';

const retryMs = 200;

interface WatchEvent {
  type: string;
  object: Pod;
}

export class PodWatch {
  /** What changed, field by field, in words. */
  readonly changes: string[] = [];
  /** How many pictures were held against the first ones. */
  eventCount = 0;
  readonly #lab: TestLab;
  readonly #first: ReadonlyMap<string, unknown>;
  readonly #closing = new AbortController();
  #running: Promise<void> = Promise.resolve();

  constructor(lab: TestLab, pods: readonly Pod[]) {
    this.#lab = lab;
    this.#first = new Map(pods.map((pod) => [pod.metadata.name ?? '', comparable(pod)]));
  }

  start(): void {
    this.#running = this.#watch(this.#closing.signal);
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#running;
  }

  async #watch(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const follower = Follower.kubectl(this.#lab, 'get', '--raw', '/api/v1/namespaces/default/pods?watch=true');
      let readTo = 0;
      while (!signal.aborted && follower.exitCode === undefined) {
        await systemClock.sleep(retryMs, new AbortController().signal);
        const end = follower.output.lastIndexOf('\n') + 1;
        this.#read(follower.output.slice(readTo, end));
        readTo = end;
      }
      await follower.close();
    }
  }

  #read(lines: string): void {
    for (const line of lines.split('\n')) {
      if (!line.startsWith('{"type":"')) continue; // nothing, or why the watch ended
      const { type, object } = JSON.parse(line) as WatchEvent;
      const name = object.metadata?.name ?? '';
      const first = this.#first.get(name);
      if (first === undefined) continue;
      this.eventCount++;
      this.changes.push(...differences(name, first, comparable(object)));
      if (type === 'DELETED') this.changes.push(`${name} was deleted`);
    }
  }
}

/** All of a pod but what counts its writes. */
export function comparable({ metadata, spec, status }: Pod): unknown {
  const { resourceVersion: _version, managedFields: _fields, ...rest } = metadata;
  return { metadata: rest, spec, status };
}

/** Where two JSON values differ, as `path: before → after`. */
export function differences(path: string, before: unknown, after: unknown): string[] {
  if (isObject(before) && isObject(after)) {
    const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])];
    return keys.flatMap((key) => differences(`${path}.${key}`, before[key], after[key]));
  }
  const [was, is] = [JSON.stringify(before), JSON.stringify(after)];
  return was === is ? [] : [`${path}: ${was} → ${is}`];
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
