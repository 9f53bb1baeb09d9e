/** What a kubelet says about the names that its pods and its node have. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { type KubeletFixture, apiPod, nodeName, openFixture } from './kubelet-fixture.ts';

let t: KubeletFixture;

afterEach(async () => {
  await t.close();
});

const told = (reason: string): string[] =>
  t.api
    .eventList()
    .filter((event) => event.reason === reason)
    .map(({ involvedObject, message, count }) => `${involvedObject.kind} ${count}: ${message}`);

it('a resolv.conf of the host that leaves no room for the search paths of pods is told at the start', async () => {
  t = await openFixture();
  const resolvConf = join(t.directory, 'resolv.conf');
  await writeFile(resolvConf, `search ${Array.from({ length: 30 }, (_, i) => `s${i}`).join(' ')}\n`);
  await t.start({ settings: { resolvConf, clusterDomain: 'cluster.local' } });
  await t.until('the event', () => told('CheckLimitsForResolvConf').length > 0);
  expect(told('CheckLimitsForResolvConf')).toEqual([
    `Node 1: Resolv.conf file '${resolvConf}' contains search line consisting of more than 29 domains!`,
  ]);
});

it('more name servers than there is room for are told with each sandbox, and the pod starts', async () => {
  t = await openFixture();
  await t.start({ settings: { syncFrequency: '10s' } });
  const dnsConfig = { nameservers: ['192.0.2.1', '192.0.2.2', '192.0.2.3', '192.0.2.4'] };
  t.api.addPod(apiPod('named', { dnsPolicy: 'None', dnsConfig }), nodeName);
  await t.untilReady('named');
  await t.until('the event', () => told('DNSConfigForming').length > 0);
  await t.clock.pass(30_000); // some turns in which nothing is made
  expect(told('DNSConfigForming')).toEqual([
    'Pod 1: Nameserver limits were exceeded, some nameservers have been omitted, ' +
      'the applied nameserver line is: 192.0.2.1 192.0.2.2 192.0.2.3',
  ]);
});

it('a pod whose full name is too long waits without a sandbox, with the reason', async () => {
  t = await openFixture();
  await t.start({ settings: { clusterDomain: 'cluster.local' } });
  const hostname = 'h'.repeat(40);
  t.api.addPod(apiPod('long', { hostname, subdomain: 'sub', setHostnameAsFQDN: true }), nodeName);
  const fqdn = `${hostname}.sub.default.svc.cluster.local`;
  await t.until('the event', () => told('FailedCreatePodSandBox').length > 0);
  expect(told('FailedCreatePodSandBox')[0]).toMatch(
    `Failed to create pod sandbox: failed to construct FQDN from pod hostname and cluster domain, FQDN ${fqdn} ` +
      `is too long (64 characters is the max, ${fqdn.length} characters requested)`,
  );
  expect(t.api.pod('long')?.status?.phase).toBe('Pending');
});
