/** Pods and the objects that they name: waited for, followed, and left alone where they never change. */
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import {
  clusterTrustBundles,
  configMaps,
  podCertificateRequests,
  serviceAccounts,
} from '../../src/client/resource-types.ts';
import type { PodSpec } from '../../src/objects/generated/core-v1.ts';
import { type KubeletFixture, apiPod, nodeName, openFixture, webContainer } from './kubelet-fixture.ts';

let t: KubeletFixture;

afterEach(async () => {
  await t.close();
});

const settings = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'settings', namespace: 'default' } };

it.each<{ what: string; spec: Partial<PodSpec>; told: string; event: string; tried: number }>([
  {
    what: 'a volume',
    spec: {
      volumes: [{ name: 'v', configMap: { name: 'settings' } }],
      containers: [webContainer({ volumeMounts: [{ name: 'v', mountPath: '/v' }] })],
    },
    told: 'ContainerCreating',
    event: 'FailedMount: MountVolume.SetUp failed for volume "v" : configmap "settings" not found',
    tried: 5, // the next one comes eight seconds later
  },
  {
    what: 'an environment',
    spec: { containers: [webContainer({ envFrom: [{ configMapRef: { name: 'settings' } }] })] },
    told: 'CreateContainerConfigError',
    event: 'Failed: Error: configmap "settings" not found',
    tried: 2, // the next one comes ten seconds later at the earliest
  },
])(
  'a pod that waits for an object of $what starts when it comes, not at its next try',
  async ({ spec, told, event, tried }) => {
    t = await openFixture();
    await t.start();
    t.api.addPod(apiPod('waiting', spec), nodeName);
    await t.until('the event', () => t.api.eventsOf('waiting').includes(event));
    await t.until('its state', () => t.container('waiting', 'web')?.state?.waiting?.reason === told);
    const tries = (): number =>
      t.api.eventList().find(({ reason, message }) => `${reason}: ${message}` === event)?.count ?? 0;
    await t.until('a try after which there is none for a while', () => tries() >= tried);
    const createdMs = t.clock.nowMs();
    await t.api.create(configMaps, { ...settings, data: { a: 'b' } });
    const pod = await t.untilReady('waiting');
    const startedMs = Date.parse(pod.status?.containerStatuses?.[0]?.state?.running?.startedAt ?? '');
    expect(startedMs - createdMs).toBeLessThan(5000); // of the test's own clock
  },
);

const trusting: Partial<PodSpec> = {
  serviceAccountName: 'sa',
  volumes: [
    {
      name: 'trust',
      projected: {
        sources: [
          { clusterTrustBundle: { signerName: 's', labelSelector: {}, path: 'roots.pem' } },
          { podCertificate: { signerName: 's', keyType: 'ED25519', credentialBundlePath: 'own.pem' } },
        ],
      },
    },
  ],
  containers: [webContainer({ volumeMounts: [{ name: 'trust', mountPath: '/trust' }] })],
};
const pem = (text: string): string =>
  `-----BEGIN CERTIFICATE-----\n${Buffer.from(text).toString('base64')}\n-----END CERTIFICATE-----\n`;
const missing = (what: string): string => `FailedMount: MountVolume.SetUp failed for volume "trust" : ${what}`;

it('trust anchors and certificates come into a pod as soon as they are there, and anchors change in it', async () => {
  const gates = ['ClusterTrustBundle', 'ClusterTrustBundleProjection', 'PodCertificateRequest'];
  t = await openFixture({ config: { featureGates: Object.fromEntries(gates.map((name) => [name, true])) } });
  await t.start();
  await t.api.create(serviceAccounts, { metadata: { name: 'sa', namespace: 'default' } });
  const { metadata } = t.api.addPod(apiPod('trusting', trusting), nodeName);
  const none = 'combination of signerName and labelSelector matched zero ClusterTrustBundles';
  const notYet = 'credential bundle is not issued yet';
  await t.until('both to be missed', () => t.api.eventsOf('trusting').includes(missing(`[${none}, ${notYet}]`)));
  const bundle = { metadata: { name: 's:roots' }, spec: { signerName: 's', trustBundle: pem('root 1') } };
  await t.api.create(clusterTrustBundles, bundle);
  await t.until('one to be missed', () => t.api.eventsOf('trusting').includes(missing(notYet)));
  const [request] = (await t.api.list(podCertificateRequests, {})).items;
  if (request === undefined) throw new Error('no certificate was asked for');
  const times = { beginRefreshAt: '2100-01-01T00:00:00Z', notAfter: '2100-02-01T00:00:00Z' };
  const condition = { type: 'Issued', status: 'True', reason: 'OK', message: '', lastTransitionTime: '' };
  const status = { conditions: [condition], certificateChain: pem('leaf'), ...times };
  await t.api.update(podCertificateRequests, { ...request, status });
  await t.untilReady('trusting');

  const volume = join(t.directory, 'root/pods', metadata.uid ?? '', 'volumes/kubernetes.io~projected/trust');
  expect((await readdir(volume)).filter((name) => !name.startsWith('..')).toSorted()).toEqual(['own.pem', 'roots.pem']);
  expect(await readFile(join(volume, 'roots.pem'), 'utf8')).toBe(pem('root 1'));
  const own = await readFile(join(volume, 'own.pem'), 'utf8');
  expect(own).toMatch(/^-----BEGIN PRIVATE KEY-----\n[\s\S]*-----END PRIVATE KEY-----\n-----BEGIN CERTIFICATE-----\n/);
  expect(own.endsWith(pem('leaf'))).toBe(true);
  await t.api.update(clusterTrustBundles, { ...bundle, spec: { signerName: 's', trustBundle: pem('root 2') } });
  await expect.poll(() => readFile(join(volume, 'roots.pem'), 'utf8')).toBe(pem('root 2'));
});

it('where the gates are off, both are refused in upstream’s words', async () => {
  t = await openFixture();
  await t.start();
  t.api.addPod(apiPod('trusting', trusting), nodeName);
  const words = '[ClusterTrustBundle projection is not supported in static kubelet mode, unimplemented]';
  await t.until('the event', () => t.api.eventsOf('trusting').includes(missing(words)));
});
