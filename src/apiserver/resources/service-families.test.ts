import { describe, expect, it } from 'vitest';
import type { Service } from '../../objects/generated/core-v1.ts';
import { changedAddressErrors, dropSecondFamily, familyErrors, fillFamilies } from './service-families.ts';
import type { IpFamily } from './service-ip-range.ts';

const single: readonly [IpFamily] = ['IPv4'];
const dual: readonly [IpFamily, IpFamily] = ['IPv4', 'IPv6'];
const serviceOf = (spec: Service['spec']): Service => ({ metadata: { name: 's' }, spec: structuredClone(spec) });
const selector = { app: 'x' };

describe('the families of a Service', () => {
  it.each([
    { name: 'nothing said', cluster: dual, spec: { selector }, want: ['SingleStack', 'IPv4'] },
    { name: 'IPv6 wanted', cluster: dual, spec: { selector, ipFamilies: ['IPv6'] }, want: ['SingleStack', 'IPv6'] },
    { name: 'by address', cluster: dual, spec: { selector, clusterIPs: ['fd00::5'] }, want: ['SingleStack', 'IPv6'] },
    {
      name: 'both preferred',
      cluster: dual,
      spec: { selector, ipFamilyPolicy: 'PreferDualStack' },
      want: ['PreferDualStack', 'IPv4', 'IPv6'],
    },
    {
      name: 'both preferred, one there',
      cluster: single,
      spec: { selector, ipFamilyPolicy: 'PreferDualStack' },
      want: ['PreferDualStack', 'IPv4'],
    },
    {
      name: 'both, IPv6 first',
      cluster: dual,
      spec: { selector, ipFamilyPolicy: 'RequireDualStack', ipFamilies: ['IPv6'] },
      want: ['RequireDualStack', 'IPv6', 'IPv4'],
    },
    {
      name: 'headless without selector',
      cluster: single,
      spec: { clusterIP: 'None' },
      want: ['RequireDualStack', 'IPv4', 'IPv6'],
    },
    {
      name: 'headless with selector',
      cluster: dual,
      spec: { clusterIP: 'None', selector },
      want: ['SingleStack', 'IPv4'],
    },
    { name: 'a name alone', cluster: dual, spec: { type: 'ExternalName', ipFamilies: ['IPv4'] }, want: [undefined] },
  ])('$name', ({ cluster, spec, want }) => {
    const service = serviceOf(spec);
    fillFamilies(service, cluster);
    expect([service.spec.ipFamilyPolicy, ...(service.spec.ipFamilies ?? [])]).toEqual(want);
    expect(familyErrors(service, cluster)).toEqual([]);
  });

  it.each([
    {
      name: 'both required, one there',
      cluster: single,
      spec: { ipFamilyPolicy: 'RequireDualStack' },
      want: 'this cluster is not configured for dual-stack services',
    },
    {
      name: 'a family that is not there',
      cluster: single,
      spec: { ipFamilies: ['IPv6'] },
      want: 'not configured on this cluster',
    },
    {
      name: 'two addresses, one family',
      cluster: dual,
      spec: { clusterIPs: ['10.0.0.5', 'fd00::5'], clusterIP: '10.0.0.5' },
      want: "must be RequireDualStack or PreferDualStack when multiple 'clusterIPs' are specified",
    },
    {
      name: 'an address of the other family',
      cluster: dual,
      spec: { ipFamilies: ['IPv4'], clusterIPs: ['fd00::5'] },
      want: 'expected an IPv4 value as indicated by `ipFamilies[0]`',
    },
    {
      name: 'the same twice',
      cluster: dual,
      spec: { ipFamilyPolicy: 'RequireDualStack', ipFamilies: ['IPv4', 'IPv4'] },
      want: 'Duplicate value',
    },
    { name: 'no policy of this world', cluster: dual, spec: { ipFamilyPolicy: 'Any' }, want: 'Unsupported value' },
    {
      name: 'two that differ',
      cluster: dual,
      spec: { clusterIP: '10.0.0.5', clusterIPs: ['10.0.0.6'] },
      want: 'must match `clusterIP`',
    },
    { name: 'no address', cluster: dual, spec: { clusterIPs: ['x'] }, want: 'must be a valid IP address' },
  ])('refuses $name', ({ cluster, spec, want }) => {
    const service = serviceOf({ selector, ...spec });
    fillFamilies(service, cluster);
    expect(JSON.stringify(familyErrors(service, cluster))).toContain(want);
  });

  it('one that goes back to one family keeps its first address', () => {
    const old = serviceOf({
      ipFamilyPolicy: 'PreferDualStack',
      ipFamilies: ['IPv4', 'IPv6'],
      clusterIP: '10.0.0.5',
      clusterIPs: ['10.0.0.5', 'fd00::5'],
    });
    const service = serviceOf({ ...old.spec, ipFamilyPolicy: 'SingleStack' });
    dropSecondFamily(service, old);
    expect([service.spec.ipFamilies, service.spec.clusterIPs]).toEqual([['IPv4'], ['10.0.0.5']]);
    expect(changedAddressErrors(service, old)).toEqual([]);
  });

  it.each([
    {
      name: 'its first address',
      spec: { clusterIP: '10.0.0.6', clusterIPs: ['10.0.0.6', 'fd00::5'] },
      want: 'spec.clusterIPs[0]',
    },
    { name: 'its second address', spec: { clusterIPs: ['10.0.0.5', 'fd00::6'] }, want: 'spec.clusterIPs[1]' },
    { name: 'its first family', spec: { ipFamilies: ['IPv6', 'IPv4'] }, want: 'spec.ipFamilies[0]' },
  ])('keeps $name', ({ spec, want }) => {
    const old = serviceOf({ ipFamilies: ['IPv4', 'IPv6'], clusterIP: '10.0.0.5', clusterIPs: ['10.0.0.5', 'fd00::5'] });
    expect(JSON.stringify(changedAddressErrors(serviceOf({ ...old.spec, ...spec }), old)[0])).toContain(want);
  });
});
