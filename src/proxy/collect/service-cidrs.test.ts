import { describe, expect, it } from 'vitest';
import { FakeApi } from '../../../test/fakes/fake-api.ts';
import { FakeClock } from '../../base/clock.ts';
import { NotFoundError } from '../../base/errors.ts';
import { silentLogger } from '../../base/logger.ts';
import type { ApiClient, ResourceType } from '../../client/api-client.ts';
import type { ServiceCIDR } from '../../objects/generated/networking-v1.ts';
import { ServiceCidrs } from './service-cidrs.ts';

const type: ResourceType<ServiceCIDR> = {
  prefix: '/apis/networking.k8s.io/v1',
  plural: 'servicecidrs',
  kind: 'ServiceCIDR',
  namespaced: false,
};

describe('ServiceCidrs', () => {
  const start = (client: Pick<ApiClient, 'list' | 'watch'>) => {
    const clock = new FakeClock();
    const stop = new AbortController();
    const cidrs = new ServiceCidrs({ client, clock, log: silentLogger });
    const seen: unknown[] = [];
    const done = cidrs.run(() => seen.push([cidrs.of('IPv4'), cidrs.of('IPv6')]), stop.signal);
    const settle = async (): Promise<unknown> => {
      await clock.advance(0);
      return seen.at(-1);
    };
    return { clock, cidrs, seen, settle, end: () => (stop.abort(), done) };
  };
  const add = (api: FakeApi, name: string, ...cidrs: string[]) =>
    api.create(type, { metadata: { name }, spec: { cidrs } });

  it('has the ranges of all objects by family, each once, as they come and go', async () => {
    const api = new FakeApi();
    await add(api, 'kubernetes', '10.96.0.0/16', 'fd00::/108');
    const { cidrs, settle, end } = start(api);
    expect(cidrs.of('IPv4')).toBeUndefined();
    expect(await settle()).toEqual([['10.96.0.0/16'], ['fd00::/108']]);
    await add(api, 'more', '10.112.0.0/16', '10.96.0.0/16');
    expect(await settle()).toEqual([['10.112.0.0/16', '10.96.0.0/16'], ['fd00::/108']]);
    await api.delete(type, { name: 'kubernetes' }, {});
    expect(await settle()).toEqual([['10.112.0.0/16', '10.96.0.0/16'], []]);
    await end();
  });

  it('does without them on an API server that does not know them, and looks again', async () => {
    const api = new FakeApi();
    let isKnown = false;
    const { clock, seen, settle, end } = start({
      list: (of, options) => (isKnown ? api.list(of, options) : Promise.reject(new NotFoundError('no such type'))),
      watch: (...args) => api.watch(...args),
    });
    expect(await settle()).toBeUndefined();
    isKnown = true;
    await clock.advance(599_000);
    expect(seen).toEqual([]);
    await clock.advance(1000);
    expect(await settle()).toEqual([[], []]);
    await end();
  });
});
