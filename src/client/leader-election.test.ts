import { describe, expect, it } from 'vitest';
import { FakeClock } from '../base/clock.ts';
import { ConflictError, NotFoundError, UnavailableError } from '../base/errors.ts';
import { silentLogger } from '../base/logger.ts';
import type { Lease } from '../objects/generated/coordination-v1.ts';
import type { KubeObject, ResourceType } from './api-client.ts';
import { LeaderElection, nextLeaseSpec } from './leader-election.ts';
import { TokenBucket } from './token-bucket.ts';

describe('nextLeaseSpec', () => {
  const held = (holderIdentity: string) => ({
    spec: { holderIdentity, leaseTransitions: 4, acquireTime: 'then', renewTime: 'then' },
    sinceMs: 1000,
  });
  it.each([
    { name: 'nobody', observed: undefined, nowMs: 1000, want: { acquireTime: 'now', leaseTransitions: 0 } },
    { name: 'ours: renewed', observed: held('me'), nowMs: 99_000, want: { acquireTime: 'then', leaseTransitions: 4 } },
    { name: 'held by another', observed: held('you'), nowMs: 15_999, want: undefined },
    {
      name: 'held by another, and silent',
      observed: held('you'),
      nowMs: 16_000,
      want: { acquireTime: 'now', leaseTransitions: 5 },
    },
    { name: 'released', observed: held(''), nowMs: 1000, want: { acquireTime: 'now', leaseTransitions: 5 } },
  ])('$name', ({ observed, nowMs, want }) => {
    const spec = nextLeaseSpec(observed, 'me', 15_000, nowMs, 'now');
    if (want === undefined) expect(spec).toBeUndefined();
    else expect(spec).toEqual({ holderIdentity: 'me', leaseDurationSeconds: 15, renewTime: 'now', ...want });
  });
});

/** One lease with optimistic locking, that can be cut off. */
function leaseStore() {
  const store: { lease: Lease | undefined; isAway: boolean } = { lease: undefined, isAway: false };
  let version = 0;
  const reach = (): void => {
    if (store.isAway) throw new UnavailableError('no server');
  };
  const client = {
    get: async <T extends KubeObject>(): Promise<T> => {
      reach();
      if (store.lease === undefined) throw new NotFoundError('none');
      return store.lease as unknown as T; // only leases are asked for
    },
    create: async <T extends KubeObject>(_: ResourceType<T>, object: T): Promise<T> => {
      reach();
      if (store.lease !== undefined) throw new ConflictError('there');
      store.lease = {
        ...(object as unknown as Lease),
        metadata: { ...object.metadata, resourceVersion: String(++version) },
      };
      return store.lease as unknown as T;
    },
    update: async <T extends KubeObject>(_: ResourceType<T>, object: T): Promise<T> => {
      reach();
      if (object.metadata.resourceVersion !== store.lease?.metadata.resourceVersion) throw new ConflictError('changed');
      store.lease = {
        ...(object as unknown as Lease),
        metadata: { ...object.metadata, resourceVersion: String(++version) },
      };
      return store.lease as unknown as T;
    },
  };
  return { store, client };
}

describe('LeaderElection', () => {
  it('one leads; when it cannot renew it stops before the other begins', async () => {
    const clock = new FakeClock();
    const { store, client } = leaseStore();
    const log: string[] = [];
    const stop = new AbortController();
    const elect = (identity: string) =>
      new LeaderElection({ client, name: 'x', identity, events: { record: () => {} }, clock, log: silentLogger }).run(
        async (signal) => {
          log.push(`${identity} leads`);
          await clock.sleep(1e9, signal);
          log.push(`${identity} stops`);
        },
        stop.signal,
      );
    const first = elect('a').catch((err: unknown) => log.push(String(err)));
    await clock.advance(100);
    const second = elect('b');
    await clock.advance(60_000);
    expect(log).toEqual(['a leads']);
    store.isAway = true;
    await clock.advance(13_000);
    expect(log).toEqual(['a leads', 'a stops', 'Error: Cannot renew the lease "x": no success for 10s']);
    store.isAway = false;
    await clock.advance(25_000);
    expect(log.at(-1)).toBe('b leads');
    expect(store.lease?.spec).toMatchObject({ holderIdentity: 'b', leaseTransitions: 1 });
    stop.abort();
    await Promise.all([first, second]);
  });
});

describe('TokenBucket', () => {
  it('lets a burst through and then its rate', async () => {
    const clock = new FakeClock();
    const bucket = new TokenBucket({ qps: 10, burst: 3, clock });
    const times: number[] = [];
    const startMs = clock.nowMs();
    const signal = new AbortController().signal;
    for (let i = 0; i < 5; i++) void bucket.take(signal).then(() => times.push(clock.nowMs() - startMs));
    await clock.advance(1000);
    expect(times).toEqual([0, 0, 0, 100, 200]);
    expect([bucket.tryTake(), bucket.tryTake(), bucket.tryTake(), bucket.tryTake()]).toEqual([true, true, true, false]);
  });
});
