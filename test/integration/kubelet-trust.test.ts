/** Trust anchors and certificates of pods, with our API server, a node's rights, and a signer that checks what it signs. */
import { X509Certificate, createPrivateKey, webcrypto } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { MemoryStorage } from '../../src/apiserver/storage/memory-storage.ts';
import { systemClock } from '../../src/base/clock.ts';
import { createAuthority } from '../../src/bootstrap/certificates.ts';
import { writeKubeconfig } from '../../src/bootstrap/kubeconfig-file.ts';
import { users } from '../../src/bootstrap/pki.ts';
import { loadX509 } from '../../src/bootstrap/x509.ts';
import { HttpApiClient } from '../../src/client/http-api-client.ts';
import { loadKubeconfig } from '../../src/client/kubeconfig.ts';
import {
  clusterTrustBundles,
  configMaps,
  nodes,
  podCertificateRequests,
  pods,
  serviceAccounts,
} from '../../src/client/resource-types.ts';
import type { PodCertificateRequest } from '../../src/objects/generated/certificates-v1beta1.ts';
import { awaitUntil } from '../await-until.ts';
import { type TestServer, startTestServer } from './apiserver-fixture.ts';
import { type KubeletFixture, apiPod, conditionOf, nodeName, openFixture, webContainer } from './kubelet-fixture.ts';

let t: KubeletFixture;
let server: TestServer;
let admin: HttpApiClient;
let node: HttpApiClient;
const signal = new AbortController().signal;
const signerName = 'example.com/workloads';

async function clientOf(user: { name: string; groups?: readonly string[] }): Promise<HttpApiClient> {
  const path = join(server.directory, `${user.name.replaceAll(':', '-')}.conf`);
  const credentials = await server.pki.issueClient(user);
  const { caPem } = server.pki;
  await writeKubeconfig(path, { clusterName: 'test', server: server.url, caPem, userName: user.name, credentials });
  return new HttpApiClient({ access: await loadKubeconfig(path), clock: systemClock, userAgentName: 'kubelet' });
}

beforeEach(async () => {
  const gates = ['ClusterTrustBundle', 'ClusterTrustBundleProjection', 'PodCertificateRequest'];
  t = await openFixture({ config: { featureGates: Object.fromEntries(gates.map((name) => [name, true])) } });
  server = await startTestServer(new MemoryStorage(), { enabledVersions: ['certificates.k8s.io/v1beta1'] });
  admin = await clientOf(users.admin);
  node = await clientOf(users.kubelet(nodeName));
  await admin.create(serviceAccounts, { metadata: { name: 'default', namespace: 'default' } }, signal);
  const data = { 'ca.crt': server.pki.caPem };
  await admin.create(configMaps, { metadata: { name: 'kube-root-ca.crt', namespace: 'default' }, data }, signal);
});
afterEach(async () => {
  await t.close();
  admin.close();
  node.close();
  await server.stop();
});

/** A certificate for the key of a request that proves that it is its sender's. */
async function signed(
  { spec }: PodCertificateRequest,
  authority: { keyPem: string; certPem: string },
): Promise<string> {
  const x509 = await loadX509();
  const request = new x509.Pkcs10CertificateRequest(Buffer.from(spec.stubPKCS10Request, 'base64'));
  expect(await request.verify()).toBe(true);
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256' } as const;
  const der = createPrivateKey(authority.keyPem).export({ type: 'pkcs8', format: 'der' });
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: '01',
    subject: `CN=${spec.podName}`,
    issuer: new x509.X509Certificate(authority.certPem).subject,
    notBefore: new Date(Date.now() - 60_000),
    notAfter: new Date(Date.now() + 3_600_000),
    publicKey: request.publicKey,
    signingKey: await webcrypto.subtle.importKey('pkcs8', der, algorithm, false, ['sign']),
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
  });
  return certificate.toString('pem');
}

it('a pod waits for its certificate, and finds a pair that belongs together and the anchor that it leads to', async () => {
  await t.start({ api: node });
  await awaitUntil('the node', () => admin.get(nodes, { name: nodeName }, signal));
  const authority = await createAuthority('workloads', Date.now());
  const metadata = { name: 'example.com:workloads:one', labels: { live: 'yes' } };
  await admin.create(clusterTrustBundles, { metadata, spec: { signerName, trustBundle: authority.certPem } }, signal);
  const selector = { matchLabels: { live: 'yes' } };
  const { status: _, ...wish } = apiPod('served', {
    nodeName,
    automountServiceAccountToken: false,
    volumes: [
      {
        name: 'tls',
        projected: {
          sources: [
            { clusterTrustBundle: { signerName, labelSelector: selector, path: 'ca.pem' } },
            {
              podCertificate: {
                signerName,
                keyType: 'ECDSAP256',
                keyPath: 'key.pem',
                certificateChainPath: 'chain.pem',
                maxExpirationSeconds: 3600,
              },
            },
          ],
        },
      },
    ],
    containers: [webContainer({ volumeMounts: [{ name: 'tls', mountPath: '/tls' }] })],
  });
  const pod = await admin.create(pods, wish, signal);
  const request = await awaitUntil('the request', async () => {
    const { items } = await admin.list(podCertificateRequests, { namespace: 'default' }, signal);
    return items[0];
  });
  expect(request.metadata.name).toMatch(/^req-/);
  expect(request.spec).toMatchObject({ signerName, podName: 'served', podUID: pod.metadata.uid, nodeName });

  const condition = { type: 'Issued', status: 'True', reason: 'Good', message: '', lastTransitionTime: now() };
  const status = {
    conditions: [condition],
    certificateChain: await signed(request, authority),
    notBefore: now(),
    beginRefreshAt: now(1_800_000),
    notAfter: now(3_600_000),
  };
  await admin.updateStatus(podCertificateRequests, { ...request, status }, signal);
  await awaitUntil('the pod to be ready', async () => {
    const latest = await admin.get(pods, { namespace: 'default', name: 'served' }, signal);
    return conditionOf(latest, 'Ready') === 'True';
  });
  const volume = t.cri
    .containersOfPod('default/served')[0]
    ?.config.mounts.find(({ container_path: path }) => path === '/tls')?.host_path;
  const read = (name: string): Promise<string> => readFile(join(volume ?? '', name), 'utf8');
  const certificate = new X509Certificate(await read('chain.pem'));
  expect(certificate.checkPrivateKey(createPrivateKey(await read('key.pem')))).toBe(true);
  expect(certificate.verify(new X509Certificate(await read('ca.pem')).publicKey)).toBe(true);
});

const now = (laterMs = 0): string => `${new Date(Date.now() + laterMs).toISOString().slice(0, 19)}Z`;
