import { describe, expect, it } from 'vitest';
import { objectKey } from '../../../objects/object-key.ts';
import { modelServices } from '../../compute/model-cluster.ts';
import { PartialSyncError } from '../installer.ts';
import { ModelProxy } from './test-model.ts';

const keys = modelServices.map(objectKey);

/** Numbers that look random and are always the same. */
function* numbers(seed: number): Generator<number> {
  for (let value = seed; ; value = (value * 1_103_515_245 + 12_345) % 2 ** 31) yield value >> 8;
}

describe('NftablesInstaller', () => {
  it.each(['IPv4', 'IPv6'] as const)('%s: any changes lead to the table that a fresh start makes', async (family) => {
    const proxy = new ModelProxy({ family });
    const random = numbers(7);
    const next = (below: number): number => Number(random.next().value) % below;
    await proxy.sync('all');
    for (let round = 0; round < 60; round++) {
      for (let i = 0; i <= next(5); i++) {
        const key = keys[next(keys.length)] ?? '';
        [() => proxy.put(key), () => proxy.remove(key), () => proxy.keepEndpoints(key, next(4))][next(3)]?.();
      }
      expect((await proxy.sync()).isFull).toBe(false);
    }
    const byChanges = proxy.table.listing().filter((line) => !line.endsWith(': '));
    await proxy.sync('all');
    expect(proxy.table.listing().filter((line) => !line.endsWith(': '))).toEqual(byChanges);
    expect(byChanges.length).toBeGreaterThan(50);
  });

  it('writes the same when it starts anew', async () => {
    const first = new ModelProxy();
    await first.sync('all');
    const before = first.table.listing();
    await new ModelProxy({}, first.table).sync('all');
    expect(first.table.listing()).toEqual(before);
  });

  it('replaces a table of another layout, and keeps what the kernel has learnt in ours', async () => {
    const proxy = new ModelProxy();
    await proxy.table.apply(['add table ip kube-proxy\nadd chain ip kube-proxy service-X/a/b/tcp/']);
    await proxy.sync('all');
    expect(proxy.table.listing().join()).not.toContain('service-X');
    await proxy.table.foreign('add element ip kube-proxy affinity { 10.0.0.1 . 1394334572 }');
    await proxy.sync('all');
    expect(proxy.table.listing()).toContain('affinity 10.0.0.1 . 1394334572 ');
  });

  it('replaces a table whose sets are of another kind, once the kernel has refused', async () => {
    const proxy = new ModelProxy();
    await proxy.table.apply([
      'add chain ip kube-proxy services\nadd map ip kube-proxy tcp-endpoints { type ipv4_addr : verdict ; }',
    ]);
    await expect(proxy.sync('all')).rejects.toThrow('of another kind');
    expect((await proxy.sync()).isFull).toBe(true);
    const fresh = new ModelProxy();
    await fresh.sync('all');
    expect(proxy.table.listing()).toEqual(fresh.table.listing());
  });

  it('forgets clients of endpoints that are gone before another one comes', async () => {
    const proxy = new ModelProxy();
    await proxy.sync('all');
    await proxy.table.foreign('add element ip kube-proxy affinity { 10.0.0.1 . 1394334572, 10.0.0.2 . 1818292365 }');
    proxy.keepEndpoints('shop/sticky', 1);
    await proxy.sync();
    proxy.keepEndpoints('shop/sticky', 2);
    await proxy.sync();
    expect(proxy.table.listing().filter((line) => line.startsWith('affinity'))).toEqual([
      'affinity 10.0.0.1 . 1394334572 ',
    ]);
  });

  it('writes everything after a failure', async () => {
    const proxy = new ModelProxy();
    await proxy.sync('all');
    proxy.table.failure = new Error('no');
    proxy.remove('shop/three');
    await expect(proxy.sync()).rejects.toThrow(PartialSyncError);
    proxy.table.failure = undefined;
    expect((await proxy.sync()).isFull).toBe(true);
    expect(proxy.table.listing().join()).not.toContain('10.96.0.3 ');
  });
});

describe('NftablesInstaller.watch', () => {
  /** Syncs, does something, and watches for a while. Returns how often something was found lost. */
  const watch = async (
    proxy: ModelProxy,
    seconds: number,
    then: () => Promise<void> = async () => {},
  ): Promise<number> => {
    await proxy.sync('all');
    proxy.table.looks.length = 0;
    await then();
    const stop = new AbortController();
    let losses = 0;
    const watching = proxy.installer.watch(() => void losses++, stop.signal);
    await proxy.clock.advance(seconds * 1000);
    stop.abort();
    await watching;
    return losses;
  };

  it('looks at nothing while nobody else writes', async () => {
    const proxy = new ModelProxy();
    expect(await watch(proxy, 60)).toBe(0);
    expect(proxy.table.looks).toEqual([]);
  });

  it('looks once at what others have written elsewhere', async () => {
    const proxy = new ModelProxy();
    expect(await watch(proxy, 60, () => proxy.table.foreign(''))).toBe(0);
    expect(proxy.table.looks).toEqual(['names', 'table']);
  });

  it('looks now and then where the kernel tells nothing', async () => {
    const proxy = new ModelProxy();
    proxy.table.hideCommits();
    expect(await watch(proxy, 65)).toBe(0);
    expect(proxy.table.looks.filter((look) => look === 'table').length).toBe(3);
  });

  it.each([
    { name: 'the table', command: 'delete table ip kube-proxy' },
    { name: 'a chain', command: 'flush chain ip kube-proxy cluster-tcp-1' },
    { name: 'an element', command: 'delete element ip kube-proxy tcp-endpoints { 10.96.0.1 . 443 . 0 }' },
    { name: 'an element too many', command: 'add element ip kube-proxy cluster-ips { 10.96.9.9 }' },
    { name: 'a rule too many', command: 'add rule ip kube-proxy services drop' },
    { name: 'a chain too many', command: 'add chain ip kube-proxy mine' },
  ])('tells once that $name is not as it was, and has it back', async ({ command }) => {
    const proxy = new ModelProxy();
    await proxy.sync('all');
    const before = proxy.table.listing();
    expect(await watch(proxy, 60, () => proxy.table.foreign(command))).toBe(1);
    await proxy.sync();
    expect(proxy.table.listing().filter((line) => line !== 'mine: ')).toEqual(before);
  });

  it('does not write everything again and again when what nobody uses cannot go', async () => {
    const proxy = new ModelProxy();
    await proxy.sync('all');
    proxy.remove('shop/sticky');
    await proxy.sync();
    proxy.table.refused = 'delete chain';
    const stop = new AbortController();
    let losses = 0;
    const onLost = (): void => {
      losses++;
      void proxy.sync();
    };
    const watching = proxy.installer.watch(onLost, stop.signal);
    await proxy.clock.advance(95_000);
    expect(losses).toBe(4);
    proxy.table.refused = undefined;
    await proxy.clock.advance(30_000);
    stop.abort();
    await watching;
    expect(losses).toBe(4);
    expect(proxy.table.listing().join()).not.toContain('shop/sticky');
  });

  it('takes chains that nobody uses away a second later, and counts when it cannot', async () => {
    const proxy = new ModelProxy();
    expect(
      await watch(proxy, 2, async () => {
        proxy.remove('shop/sticky');
        await proxy.sync();
        expect(proxy.table.listing()).toContain('sticky-cluster-shop/sticky/tcp/: ');
      }),
    ).toBe(0);
    expect(proxy.table.listing().join()).not.toContain('shop/sticky');

    proxy.put('shop/sticky');
    expect(
      await watch(proxy, 2, async () => {
        proxy.remove('shop/sticky');
        await proxy.sync();
        proxy.table.failure = new Error('no');
      }),
    ).toBe(1);
    expect(proxy.cleanUpFailures).toBe(1);
    proxy.table.failure = undefined;
    expect((await proxy.sync()).isFull).toBe(true);
    expect(await watch(proxy, 32)).toBe(0);
    expect(proxy.table.listing().join()).not.toContain('shop/sticky');
  });
});
