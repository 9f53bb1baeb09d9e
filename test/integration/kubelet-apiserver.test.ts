/** The whole kubelet with our API server over HTTPS, with a node's certificate and a node's rights. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { MemoryStorage } from '../../src/apiserver/storage/memory-storage.ts';
import { systemClock } from '../../src/base/clock.ts';
import { isNotFound } from '../../src/base/errors.ts';
import { writeKubeconfig } from '../../src/bootstrap/kubeconfig-file.ts';
import { users } from '../../src/bootstrap/pki.ts';
import { HttpApiClient } from '../../src/client/http-api-client.ts';
import { loadKubeconfig } from '../../src/client/kubeconfig.ts';
import { configMaps, namespaces, nodes, pods, serviceAccounts } from '../../src/client/resource-types.ts';
import type { Pod } from '../../src/objects/generated/core-v1.ts';
import { awaitUntil } from '../await-until.ts';
import { type TestServer, startTestServer } from './apiserver-fixture.ts';
import { type KubeletFixture, apiPod, conditionOf, nodeName, openFixture, webContainer } from './kubelet-fixture.ts';

let t: KubeletFixture;
let server: TestServer;
let admin: HttpApiClient;
let node: HttpApiClient;
const signal = new AbortController().signal;

async function clientOf(user: { name: string; groups?: readonly string[] }): Promise<HttpApiClient> {
  const path = join(server.directory, `${user.name.replaceAll(':', '-')}.conf`);
  const credentials = await server.pki.issueClient(user);
  await writeKubeconfig(path, {
    clusterName: 'test',
    server: server.url,
    caPem: server.pki.caPem,
    userName: user.name,
    credentials,
  });
  return new HttpApiClient({ access: await loadKubeconfig(path), clock: systemClock, userAgentName: 'kubelet' });
}

beforeEach(async () => {
  t = await openFixture();
  server = await startTestServer(new MemoryStorage());
  admin = await clientOf(users.admin);
  node = await clientOf(users.kubelet(nodeName));
  // what controllers would make
  await admin.create(namespaces, { metadata: { name: 'shop' } }, signal);
  await admin.create(serviceAccounts, { metadata: { name: 'default', namespace: 'shop' } }, signal);
  const data = { 'ca.crt': server.pki.caPem };
  await admin.create(configMaps, { metadata: { name: 'kube-root-ca.crt', namespace: 'shop' }, data }, signal);
});
afterEach(async () => {
  await t.close();
  admin.close();
  node.close();
  await server.stop();
});

const podNow = async (namespace: string, name: string): Promise<Pod | undefined> => {
  try {
    return await admin.get(pods, { namespace, name }, signal);
  } catch (err) {
    if (isNotFound(err)) return undefined;
    throw err;
  }
};
const untilReady = (namespace: string, name: string): Promise<Pod> =>
  awaitUntil(`pod "${name}" to be ready`, async () => {
    const pod = await podNow(namespace, name);
    return conditionOf(pod, 'Ready') === 'True' ? pod : undefined;
  });

it('a pod starts with its token, shows its status, and is gone when it is deleted', async () => {
  await t.start({ api: node });
  await awaitUntil('the node', () => admin.get(nodes, { name: nodeName }, signal));
  const { status: _, ...wish } = apiPod('web', { nodeName, terminationGracePeriodSeconds: 1 }, { namespace: 'shop' });
  await admin.create(pods, wish, signal);
  const pod = await untilReady('shop', 'web');
  expect(pod.status).toMatchObject({ phase: 'Running', podIP: '10.88.0.2', qosClass: 'BestEffort' });

  const mounts = t.cri.containersOfPod('shop/web')[0]?.config.mounts ?? [];
  const account = mounts.find(({ container_path: path }) => path === '/var/run/secrets/kubernetes.io/serviceaccount');
  expect(await readFile(join(account?.host_path ?? '', 'token'), 'utf8')).toMatch(/^ey[\w-]+\.[\w-]+\.[\w-]+$/);
  expect(await readFile(join(account?.host_path ?? '', 'namespace'), 'utf8')).toBe('shop');
  expect(await readFile(join(account?.host_path ?? '', 'ca.crt'), 'utf8')).toBe(server.pki.caPem);

  await admin.delete(pods, { namespace: 'shop', name: 'web' }, {}, signal);
  await awaitUntil('the pod to be gone', async () => (await podNow('shop', 'web')) === undefined);
  expect(t.cri.containersOfPod('shop/web').filter(({ state }) => state === 'running')).toEqual([]);
});

it('a static pod has its mirror, which follows the file', async () => {
  const manifest = (value: string): unknown => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'static', namespace: 'shop' },
    spec: { terminationGracePeriodSeconds: 1, containers: [webContainer({ env: [{ name: 'A', value }] })] },
  });
  await t.writeManifest('static.json', manifest('1'));
  await t.start({ api: node });
  const mirror = await untilReady('shop', `static-${nodeName}`);
  await t.writeManifest('static.json', manifest('2'));
  await awaitUntil('the mirror of the edited file', async () => {
    const now = await podNow('shop', `static-${nodeName}`);
    const isNew = now !== undefined && now.metadata.uid !== mirror.metadata.uid;
    return isNew && now.spec.containers[0]?.env?.[0]?.value === '2' && conditionOf(now, 'Ready') === 'True';
  });
});

it('a restart of the kubelet writes no pod', async () => {
  const first = await t.start({ api: node });
  const { status: _, ...wish } = apiPod('web', { nodeName }, { namespace: 'shop' });
  await awaitUntil('the node', () => admin.get(nodes, { name: nodeName }, signal));
  await admin.create(pods, wish, signal);
  await untilReady('shop', 'web');
  await first.stop();
  const before = await podNow('shop', 'web');
  t.cri.clearCalls();
  await t.start({ api: node });
  await t.cri.nextCall('ListPodSandbox');
  await t.clock.pass(15_000);
  expect(await podNow('shop', 'web')).toEqual(before);
  expect(
    t.cri.calls.map(({ method }) => method).filter((method) => /^(RunPod|Create|Start|Stop|Remove)/.test(method)),
  ).toEqual([]);
});
