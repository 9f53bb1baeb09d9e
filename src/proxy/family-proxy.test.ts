import { describe, expect, it } from 'vitest';
import { FakeClock } from '../base/clock.ts';
import { silentLogger } from '../base/logger.ts';
import { FamilyProxy } from './family-proxy.ts';
import { PartialSyncError, type SyncRequest } from './install/installer.ts';
import { ProxyMetrics } from './metrics.ts';
import { ProxyHealth } from './serve/health.ts';

const hour = 3_600_000;

/** @param tookMs how long the back end takes for a sync */
const start = ({ tookMs = 0, minSyncPeriodMs = 1000, maxIntervalMs = hour } = {}) => {
  const clock = new FakeClock(0);
  const stop = new AbortController();
  const syncs: Array<[atMs: number, changed: SyncRequest['changed'] | number]> = [];
  const failures: Error[] = [];
  const options = { family: 'IPv4', syncPeriodMs: 30_000, minSyncPeriodMs, maxIntervalMs } as const;
  const health = new ProxyHealth(options.syncPeriodMs, clock);
  const proxy = new FamilyProxy(options, {
    installer: {
      sync: async ({ changed }, signal) => {
        syncs.push([clock.nowMs(), changed === 'all' ? 'all' : changed.size]);
        await clock.sleep(tookMs, signal);
        const failure = failures.shift();
        if (failure !== undefined) throw failure;
        return { isFull: changed === 'all', lacksLocal: { internal: 0, external: 0 }, rules: new Map() };
      },
      watch: (_, signal) => new Promise((resolve) => signal.addEventListener('abort', () => resolve())),
    },
    node: () => ({ name: 'n', zone: undefined, ip: undefined }),
    serviceCidrs: () => undefined,
    health,
    healthPorts: { update: () => Promise.resolve(), whenClosed: () => Promise.resolve() },
    flows: { reconcile: () => Promise.resolve({ mustRetry: false }) },
    metrics: new ProxyMetrics('iptables'),
    clock,
    log: silentLogger,
  });
  const done = proxy.run(stop.signal);
  return { clock, proxy, syncs, failures, health, end: () => (stop.abort(), done) };
};

describe('FamilyProxy', () => {
  it('syncs nothing before both lists are there, and everything at once then', async () => {
    const { clock, proxy, syncs, health, end } = start();
    await clock.advance(500);
    proxy.resync(); // the node has changed
    proxy.requestSync();
    await clock.advance(61_000);
    expect(syncs).toEqual([]);
    expect(health.isHealthy).toBe(true); // what cannot be served yet is no backlog
    proxy.resync();
    proxy.onSynced();
    await clock.advance(0);
    expect(syncs).toEqual([[61_500, 'all']]);
    await end();
  });

  it('pauses from the end of one sync to the start of the next, and takes requests together', async () => {
    const { clock, proxy, syncs, end } = start({ tookMs: 300 });
    proxy.onSynced();
    await clock.advance(100);
    proxy.requestSync();
    proxy.requestSync();
    await clock.advance(10_000);
    expect(syncs).toEqual([
      [0, 'all'],
      [1300, 0],
    ]);
    await end();
  });

  it.each([
    { name: 'a failed sync after the period', failure: new Error('no'), wantMs: 30_000 },
    { name: 'a failed sync of changes as soon as may be', failure: new PartialSyncError('no'), wantMs: 1000 },
  ])('tries $name, with everything', async ({ failure, wantMs }) => {
    const { clock, proxy, syncs, failures, end } = start();
    proxy.onSynced();
    await clock.advance(5000);
    failures.push(failure);
    proxy.requestSync();
    await clock.advance(60_000);
    expect(syncs).toEqual([
      [0, 'all'],
      [5000, 0],
      [5000 + wantMs, 'all'],
    ]);
    await end();
  });

  it('is unhealthy while a sync is overdue for two periods', async () => {
    const { clock, proxy, failures, health, end } = start();
    proxy.onSynced();
    await clock.advance(1000);
    failures.push(new Error('no'), new Error('no'), new Error('no'));
    proxy.requestSync();
    await clock.advance(59_999);
    expect(health.isHealthy).toBe(true);
    await clock.advance(1);
    expect(health.isHealthy).toBe(false);
    await clock.advance(30_000);
    expect(health.isHealthy).toBe(true);
    await end();
  });

  it('looks again by itself when the longest interval is over', async () => {
    const { clock, proxy, syncs, end } = start({ minSyncPeriodMs: 0, maxIntervalMs: 30_000 });
    proxy.onSynced();
    await clock.advance(60_000);
    expect(syncs).toEqual([
      [0, 'all'],
      [30_000, 0],
      [60_000, 0],
    ]);
    await end();
  });
});
