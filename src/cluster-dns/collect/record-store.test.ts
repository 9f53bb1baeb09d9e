import { describe, expect, it } from 'vitest';
import { exampleCluster, service, slice } from '../../../test/fakes/cluster-records.ts';
import type { PodStatus } from '../../objects/generated/core-v1.ts';
import { answerZone } from '../answer/answer-zone.ts';
import { recordTypes } from '../dns-model.ts';
import type { RecordStore } from './record-store.ts';

const addresses = (index: RecordStore, name: string): string[] | string => {
  const zone = { domain: 'c', ttl: 5, podMode: 'verified', ownAddresses: [] } as const;
  const answer = answerZone({ name: `${name}.c`, type: recordTypes.A }, index, zone);
  return answer?.answers.map(({ data }) => String(data)) ?? 'forward';
};
const pointer = (index: RecordStore, address: string): number => index.servicesByAddress(address).length;

describe('RecordStore', () => {
  it('forgets what an object was when it becomes something else', () => {
    const index = exampleCluster();
    index.setService('shop/web', service('web', { clusterIPs: ['10.96.0.99'] }));
    expect(addresses(index, 'web.shop.svc')).toEqual(['10.96.0.99']);
    expect([pointer(index, '10.96.0.20'), pointer(index, '10.96.0.99')]).toEqual([0, 1]);
    index.setService(
      'shop/web',
      service('web', { type: 'ExternalName', externalName: 'a.b', clusterIPs: ['10.96.0.99'] }),
    );
    expect(addresses(index, 'web.shop.svc')).toEqual(['a.b']);
    expect(pointer(index, '10.96.0.99')).toBe(0);
    index.setService('shop/web', undefined);
    expect(addresses(index, 'web.shop.svc')).toEqual([]);
  });

  it('an address that two Services have for a moment stays with the one that is left', () => {
    const index = exampleCluster();
    index.setService('shop/other', service('other', { clusterIPs: ['10.96.0.20'] }));
    index.setService('shop/web', undefined);
    expect(index.servicesByAddress('10.96.0.20').map(({ name }) => name)).toEqual(['other']);
  });

  it('follows a slice that is given to another Service, and endpoints that go', () => {
    const index = exampleCluster();
    const endpoints = [{ addresses: ['10.244.9.1'] }];
    index.setSlice('shop/portless-a', slice('heads', endpoints));
    expect(addresses(index, 'portless.shop.svc')).toEqual([]);
    expect(addresses(index, 'heads.shop.svc')).toContain('10.244.9.1');
    index.setSlice('shop/portless-a', slice('heads', []));
    expect(addresses(index, 'heads.shop.svc')).not.toContain('10.244.9.1');
    expect(index.endpointsByAddress('10.244.9.1')).toEqual([]);
    index.setSlice('shop/portless-a', undefined);
  });

  it('a slice may come before its Service', () => {
    const index = exampleCluster();
    index.setSlice('shop/early-a', slice('early', [{ addresses: ['10.244.9.2'] }]));
    expect(addresses(index, 'early.shop.svc')).toEqual([]);
    index.setService('shop/early', service('early', { clusterIPs: ['None'] }));
    expect(addresses(index, 'early.shop.svc')).toEqual(['10.244.9.2']);
  });

  it('pods have their name while they run, and share an address of their node', () => {
    const index = exampleCluster();
    const set = (name: string, status: PodStatus, isThere = true): void =>
      index.setPod({ metadata: { namespace: 'shop', name }, spec: { containers: [] }, status }, isThere);
    set('a', { podIP: '10.0.0.1', podIPs: [{ ip: '10.0.0.1' }, { ip: 'fd00::1' }] });
    set('b', { podIP: '10.0.0.1' });
    set('a', { podIP: '10.0.0.1', phase: 'Succeeded' });
    expect(index.hasPod('shop', '10.0.0.1')).toBe(true);
    expect(index.hasPod('shop', 'fd000000000000000000000000000001')).toBe(false);
    set('b', { podIP: '10.0.0.1' }, false);
    expect(index.hasPod('shop', '10.0.0.1')).toBe(false);
    set('b', {}, false); // told twice
    expect(index.hasPod('shop', '10.0.0.1')).toBe(false);
  });

  it('has a new version after every change', () => {
    const index = exampleCluster();
    const before = index.version;
    index.setNamespace('empty', false);
    expect(index.version).toBeGreaterThan(before);
    expect(index.hasNamespace('empty')).toBe(false);
  });
});
