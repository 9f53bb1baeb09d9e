/** What every store of the API server promises; run on memory and on a real etcd. */
import { describe, expect, it } from 'vitest';
import type { Storage, StorageEvent } from '../../src/apiserver/storage/storage.ts';
import { CompactedError, FutureRevisionError } from '../../src/apiserver/storage/storage.ts';

export function storageContract(name: string, open: () => Promise<Storage>): void {
  const signal = new AbortController().signal;

  async function put(store: Storage, key: string, value: string): Promise<number> {
    const outcome = await store.create(key, value, undefined, signal);
    if (outcome.kind !== 'written') throw new Error(`"${key}" exists`);
    return outcome.revision;
  }

  /** The first `count` events after `revision`. */
  async function eventsAfter(store: Storage, prefix: string, revision: number, count: number): Promise<StorageEvent[]> {
    const stop = new AbortController();
    const events: StorageEvent[] = [];
    for await (const batch of store.watch(prefix, revision, stop.signal)) {
      events.push(...batch.events);
      if (events.length >= count) stop.abort();
    }
    return events;
  }

  describe(`${name} keeps the storage contract`, () => {
    it('create writes once, and a second create shows what is there', async () => {
      const store = await open();
      const revision = await put(store, '/a/x/1', 'one');
      expect(await store.create('/a/x/1', 'two', undefined, signal)).toEqual({
        kind: 'changed',
        current: { key: '/a/x/1', value: 'one', modRevision: revision },
      });
      expect((await store.get('/a/x/1', signal)).value).toEqual({ key: '/a/x/1', value: 'one', modRevision: revision });
    });

    it('every write raises the revision by one', async () => {
      const store = await open();
      const first = await put(store, '/a/x/1', 'one');
      const second = await put(store, '/a/x/2', 'two');
      expect(second).toBe(first + 1);
      expect((await store.get('/a/x/none', signal)).revision).toBe(second);
    });

    it('update and delete take only the revision that they expect', async () => {
      const store = await open();
      const first = await put(store, '/a/x/1', 'one');
      const outcome = await store.update('/a/x/1', 'two', first, undefined, signal);
      expect(outcome).toEqual({ kind: 'written', revision: first + 1 });
      const current = { key: '/a/x/1', value: 'two', modRevision: first + 1 };
      expect(await store.update('/a/x/1', 'three', first, undefined, signal)).toEqual({ kind: 'changed', current });
      expect(await store.delete('/a/x/1', first, signal)).toEqual({ kind: 'changed', current });
      expect(await store.delete('/a/x/1', first + 1, signal)).toEqual({ kind: 'written', revision: first + 2 });
      expect(await store.update('/a/x/1', 'four', first + 1, undefined, signal)).toEqual({
        kind: 'changed',
        current: undefined,
      });
    });

    it('a range has the keys of its prefix alone, in order, in pages of one revision', async () => {
      const store = await open();
      for (const key of ['/a/y/1', '/a/x/3', '/a/x/1', '/a/x/2', '/a/xx/1']) await put(store, key, key);
      const all = await store.range('/a/x/', {}, signal);
      expect(all.items.map(({ key }) => key)).toEqual(['/a/x/1', '/a/x/2', '/a/x/3']);
      const page = await store.range('/a/x/', { limit: 2 }, signal);
      expect(page).toMatchObject({ more: true, count: 3 });
      await put(store, '/a/x/25', 'later');
      const rest = await store.range('/a/x/', { startKey: '/a/x/2\0', revision: page.revision }, signal);
      expect(rest.items.map(({ key }) => key)).toEqual(['/a/x/3']);
    });

    it('the past can be read until it is compacted, the future never', async () => {
      const store = await open();
      const first = await put(store, '/a/x/1', 'one');
      await store.update('/a/x/1', 'two', first, undefined, signal);
      const second = await put(store, '/a/x/2', 'two');
      expect((await store.range('/a/x/', { revision: first }, signal)).items).toEqual([
        { key: '/a/x/1', value: 'one', modRevision: first },
      ]);
      await store.compact(second, signal);
      await expect(store.range('/a/x/', { revision: first }, signal)).rejects.toThrow(CompactedError);
      await expect(store.range('/a/x/', { revision: second + 1000 }, signal)).rejects.toThrow(FutureRevisionError);
    });

    it('a probe tells the count and whether anything was written since', async () => {
      const store = await open();
      const first = await put(store, '/a/x/1', 'one');
      expect(await store.probe('/a/x/', first, signal)).toEqual({ revision: first, count: 1, isChanged: false });
      const other = await put(store, '/a/y/1', 'elsewhere');
      expect(await store.probe('/a/x/', first, signal)).toEqual({ revision: other, count: 1, isChanged: false });
      const second = await put(store, '/a/x/2', 'two');
      expect(await store.probe('/a/x/', first, signal)).toEqual({ revision: second, count: 2, isChanged: true });
    });

    it('a watch tells every change of its prefix once and in order, from the past into the future', async () => {
      const store = await open();
      const first = await put(store, '/a/x/1', 'one');
      const second = await store.update('/a/x/1', 'two', first, undefined, signal);
      await put(store, '/a/y/1', 'elsewhere');
      const events = eventsAfter(store, '/a/x/', first, 3);
      const third = await put(store, '/a/x/2', 'three');
      if (second.kind !== 'written') throw new Error('the update did not happen');
      await store.delete('/a/x/1', second.revision, signal);
      expect(await events).toEqual([
        { type: 'put', key: '/a/x/1', value: 'two', modRevision: second.revision },
        { type: 'put', key: '/a/x/2', value: 'three', modRevision: third },
        expect.objectContaining({ type: 'delete', key: '/a/x/1', modRevision: third + 1 }),
      ]);
    });

    it('a watch of what has been compacted is refused', async () => {
      const store = await open();
      const first = await put(store, '/a/x/1', 'one');
      await put(store, '/a/x/2', 'two');
      const third = await put(store, '/a/x/3', 'three');
      await store.compact(third, signal);
      await expect(eventsAfter(store, '/a/x/', first - 1, 1)).rejects.toThrow(CompactedError);
    });

    it('of many writers that expect one revision exactly one wins', async () => {
      const store = await open();
      const first = await put(store, '/a/x/1', '0');
      const outcomes = await Promise.all(
        Array.from({ length: 20 }, (_, i) => store.update('/a/x/1', String(i), first, undefined, signal)),
      );
      expect(outcomes.filter(({ kind }) => kind === 'written')).toHaveLength(1);
    });

    it('a key with a lifetime is there at first', async () => {
      const store = await open();
      expect(await store.create('/a/x/1', 'one', 3600, signal)).toMatchObject({ kind: 'written' });
      expect((await store.get('/a/x/1', signal)).value?.value).toBe('one');
    });
  });
}
