import { describe, expect, it } from 'vitest';
import type { PodSpec } from '../../../objects/generated/core-v1.ts';
import { podHostname } from './hostname.ts';

const host = (spec: Partial<PodSpec>, name = 'web-0'): ReturnType<typeof podHostname> =>
  podHostname({ metadata: { name, namespace: 'ns' }, spec: { containers: [], ...spec } }, 'cluster.local');

describe('podHostname', () => {
  it.each([
    { name: "the pod's name", spec: {}, want: { hostname: 'web-0', domain: '', sandboxHostname: 'web-0' } },
    { name: 'its own', spec: { hostname: 'me' }, want: { hostname: 'me', domain: '', sandboxHostname: 'me' } },
    {
      name: 'with a subdomain',
      spec: { hostname: 'me', subdomain: 'sub' },
      want: { hostname: 'me', domain: 'sub.ns.svc.cluster.local', sandboxHostname: 'me' },
    },
    {
      name: 'in full for the kernel',
      spec: { hostname: 'me', subdomain: 'sub', setHostnameAsFQDN: true },
      want: { hostname: 'me', domain: 'sub.ns.svc.cluster.local', sandboxHostname: 'me.sub.ns.svc.cluster.local' },
    },
    {
      name: 'in full without a domain changes nothing',
      spec: { setHostnameAsFQDN: true },
      want: { hostname: 'web-0', domain: '', sandboxHostname: 'web-0' },
    },
    {
      name: 'an override replaces all, the domain too',
      spec: { hostnameOverride: 'a.b.c', hostname: 'me', subdomain: 'sub' },
      want: { hostname: 'a.b.c', domain: '', sandboxHostname: 'a.b.c' },
    },
    {
      name: 'in full, of 64 characters',
      spec: { hostname: 'h'.repeat(39), subdomain: 'sub', setHostnameAsFQDN: true },
      want: {
        hostname: 'h'.repeat(39),
        domain: 'sub.ns.svc.cluster.local',
        sandboxHostname: `${'h'.repeat(39)}.sub.ns.svc.cluster.local`,
      },
    },
    {
      name: 'an override of more than 63 characters, cut',
      spec: { hostnameOverride: `${'a'.repeat(62)}.bc` },
      want: { hostname: 'a'.repeat(62), domain: '', sandboxHostname: 'a'.repeat(62) },
    },
    {
      name: "in the host's network a name in full may be of any length",
      spec: { hostNetwork: true, hostname: 'h'.repeat(60), subdomain: 'sub', setHostnameAsFQDN: true },
      want: { hostname: 'h'.repeat(60), domain: 'sub.ns.svc.cluster.local', sandboxHostname: '' },
    },
    {
      name: "the host's network shows the host's name",
      spec: { hostNetwork: true, hostname: 'me' },
      want: { hostname: 'me', domain: '', sandboxHostname: '' },
    },
  ])('$name', ({ spec, want }) => {
    expect(host(spec)).toEqual(want);
  });

  it('cuts names at 63 characters, and what then hangs over', () => {
    expect(host({}, 'a'.repeat(63)).hostname).toBe('a'.repeat(63));
    expect(host({}, 'a'.repeat(64)).hostname).toBe('a'.repeat(63));
    expect(host({}, `${'a'.repeat(60)}-.-b`).hostname).toBe('a'.repeat(60));
  });

  const label = 'a lowercase RFC 1123 label must consist of';
  it.each([
    [{ hostname: 'Not_A.Label' }, `pod Hostname "Not_A.Label" is not a valid DNS label: ${label}`],
    [{ hostname: 'a'.repeat(64) }, 'is not a valid DNS label: must be no more than 63 characters'],
    [{ subdomain: 'a.b' }, `pod Subdomain "a.b" is not a valid DNS label: ${label}`],
    [{ hostnameOverride: 'No!' }, 'pod HostnameOverride "No!" is not a valid DNS subdomain: '],
    [
      { hostname: 'h'.repeat(40), subdomain: 'sub', setHostnameAsFQDN: true },
      `failed to construct FQDN from pod hostname and cluster domain, FQDN ${'h'.repeat(40)}.sub.ns.svc.cluster.local is too long (64 characters is the max, 65 characters requested)`,
    ],
  ])('%j: %s', (spec, want) => {
    expect(() => host(spec)).toThrow(want);
  });

  it('a name of which nothing is left is an error', () => {
    expect(() => host({}, '-'.repeat(70))).toThrow(`hostname for pod "${'-'.repeat(70)}" was invalid`);
  });
});
