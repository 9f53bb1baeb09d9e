/** Volumes, claims and the kinds around them, as the API server takes, completes, refuses and prints them. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MemoryStorage } from '../../src/apiserver/storage/memory-storage.ts';
import { systemClock } from '../../src/base/clock.ts';
import { describeError } from '../../src/base/errors.ts';
import { writeKubeconfig } from '../../src/bootstrap/kubeconfig-file.ts';
import { HttpApiClient } from '../../src/client/http-api-client.ts';
import { loadKubeconfig } from '../../src/client/kubeconfig.ts';
import {
  csiDrivers,
  persistentVolumeClaims,
  persistentVolumes,
  storageClasses,
  volumeAttachments,
} from '../../src/client/resource-types.ts';
import { type Answer, type TestServer, startTestServer } from './apiserver-fixture.ts';

let server: TestServer;
const claimsPath = '/api/v1/namespaces/default/persistentvolumeclaims';
const volumesPath = '/api/v1/persistentvolumes';
const storagePath = '/apis/storage.k8s.io/v1';
const merge = 'application/merge-patch+json';

beforeAll(async () => {
  server = await startTestServer(new MemoryStorage());
});
afterAll(() => server.stop());

const create = async (path: string, body: object): Promise<Answer> => server.call('POST', path, { body });
const claim = (name: string, spec: object = {}): object => ({
  metadata: { name },
  spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } }, ...spec },
});
const storageClass = (name: string, more: object = {}, annotations: Record<string, string> = {}): object => ({
  metadata: { name, annotations },
  provisioner: 'csi.example.com',
  ...more,
});
const setStatus = (path: string, status: object) =>
  server.call('PATCH', `${path}/status`, { body: { status }, contentType: merge });
const rows = async (path: string): Promise<unknown[][]> => {
  const { body } = await server.call('GET', path, { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' });
  const { rows: found } = body as unknown as { rows: Array<{ cells: unknown[] }> };
  return found.map(({ cells }) => cells);
};

describe('volumes and claims', () => {
  it('get their defaults, the default class and the finalizers that protect them', async () => {
    expect((await create(claimsPath, claim('before'))).body['spec']).not.toHaveProperty('storageClassName');
    const isDefault = { 'storageclass.kubernetes.io/is-default-class': 'true' };
    expect(await create(`${storagePath}/storageclasses`, storageClass('fast', {}, isDefault))).toMatchObject({
      code: 201,
      body: { reclaimPolicy: 'Delete', volumeBindingMode: 'Immediate' },
    });
    expect(await create(claimsPath, claim('a'))).toMatchObject({
      code: 201,
      body: {
        metadata: { finalizers: ['kubernetes.io/pvc-protection'] },
        spec: { storageClassName: 'fast', volumeMode: 'Filesystem' },
        status: { phase: 'Pending' },
      },
    });
    expect((await create(claimsPath, claim('none', { storageClassName: '' }))).body['spec']).toMatchObject({
      storageClassName: '',
    });
    const spec = {
      accessModes: ['ReadWriteMany', 'ReadWriteOnce'],
      capacity: { storage: '1Gi' },
      hostPath: { path: '/tmp/a' },
    };
    const volume = await create(volumesPath, { metadata: { name: 'v' }, spec });
    expect(volume).toMatchObject({
      code: 201,
      body: {
        metadata: { finalizers: ['kubernetes.io/pv-protection'] },
        spec: { persistentVolumeReclaimPolicy: 'Retain', volumeMode: 'Filesystem' },
        status: { phase: 'Pending', lastPhaseTransitionTime: volume.body.metadata['creationTimestamp'] },
      },
    });
    expect(await rows(volumesPath)).toEqual([
      ['v', '1Gi', 'RWO,RWX', 'Retain', 'Pending', '', '', '<unset>', '', expect.any(String), 'Filesystem'],
    ]);
    expect(await rows(claimsPath)).toContainEqual([
      'a',
      'Pending',
      '',
      '',
      '',
      'fast',
      '<unset>',
      expect.any(String),
      'Filesystem',
    ]);
    expect(await rows(`${storagePath}/storageclasses`)).toEqual([
      ['fast (default)', 'csi.example.com', 'Delete', 'Immediate', false, expect.any(String)],
    ]);
  });

  it('a claim grows only when it is bound and its class lets it', async () => {
    await create(`${storagePath}/storageclasses`, storageClass('grows', { allowVolumeExpansion: true }));
    await create(`${storagePath}/storageclasses`, storageClass('stays'));
    const grow = (name: string) =>
      server.call('PATCH', `${claimsPath}/${name}`, {
        body: { spec: { resources: { requests: { storage: '2Gi' } } } },
        contentType: merge,
      });
    await create(claimsPath, claim('stays', { storageClassName: 'stays' }));
    await create(claimsPath, claim('grows', { storageClassName: 'grows' }));
    expect(await grow('grows')).toMatchObject({
      code: 403,
      body: {
        message: 'persistentvolumeclaims "grows" is forbidden: Only bound persistent volume claims can be expanded',
      },
    });
    for (const name of ['stays', 'grows']) {
      await setStatus(`${claimsPath}/${name}`, { phase: 'Bound', capacity: { storage: '1Gi' } });
    }
    expect(await grow('stays')).toMatchObject({
      code: 403,
      body: {
        message: expect.stringContaining('only dynamically provisioned pvc can be resized and the storageclass that'),
      },
    });
    expect((await grow('grows')).code).toBe(200);
  });

  it('a claim that is deleted waits for its finalizer', async () => {
    await create(claimsPath, claim('held'));
    const deleted = await server.call('DELETE', `${claimsPath}/held`);
    expect(deleted.body.metadata['deletionTimestamp']).toBeDefined();
    expect((await rows(claimsPath)).find(([name]) => name === 'held')?.[1]).toBe('Terminating');
    await server.call('PATCH', `${claimsPath}/held`, { body: { metadata: { finalizers: null } }, contentType: merge });
    expect((await server.call('GET', `${claimsPath}/held`)).code).toBe(404);
  });

  it('a change of phase has its time', async () => {
    const spec = { accessModes: ['ReadWriteOnce'], capacity: { storage: '1Gi' }, hostPath: { path: '/tmp/b' } };
    await create(volumesPath, { metadata: { name: 'timed' }, spec });
    const at = '2000-01-01T00:00:00Z';
    await setStatus(`${volumesPath}/timed`, { lastPhaseTransitionTime: at });
    const same = await setStatus(`${volumesPath}/timed`, { message: 'x' });
    expect(same.body['status']).toMatchObject({ lastPhaseTransitionTime: at });
    const other = await setStatus(`${volumesPath}/timed`, { phase: 'Available' });
    expect(other.body['status']).not.toMatchObject({ lastPhaseTransitionTime: at });
  });
});

describe('attachments and drivers', () => {
  it('are completed and printed', async () => {
    expect(
      await create(`${storagePath}/csidrivers`, { metadata: { name: 'csi.example.com' }, spec: {} }),
    ).toMatchObject({
      code: 201,
      body: { spec: { attachRequired: true, fsGroupPolicy: 'ReadWriteOnceWithFSType', storageCapacity: false } },
    });
    expect(await rows(`${storagePath}/csidrivers`)).toEqual([
      ['csi.example.com', true, false, false, '<unset>', false, 'Persistent', expect.any(String)],
    ]);
    const spec = { attacher: 'csi.example.com', nodeName: 'n', source: { persistentVolumeName: 'v' } };
    expect(
      await create(`${storagePath}/volumeattachments`, { metadata: { name: 'va' }, spec, status: { attached: true } }),
    ).toMatchObject({ code: 201, body: { status: { attached: false } } });
    await setStatus(`${storagePath}/volumeattachments/va`, { attached: true, attachmentMetadata: { a: 'b' } });
    expect(await rows(`${storagePath}/volumeattachments`)).toEqual([
      ['va', 'csi.example.com', 'v', 'n', true, expect.any(String)],
    ]);
  });
});

const refusal = (write: Promise<unknown>): Promise<string> => write.then(() => 'not refused', describeError);

describe('a node', () => {
  it('tells of a claim how it has grown, and nothing else', async () => {
    const { caPem } = server.pki;
    const credentials = await server.pki.issueClient({ name: 'system:node:n', groups: ['system:nodes'] });
    const path = `${server.directory}/node.conf`;
    await writeKubeconfig(path, { clusterName: 't', server: server.url, caPem, userName: 'n', credentials });
    const client = new HttpApiClient({
      access: await loadKubeconfig(path),
      clock: systemClock,
      userAgentName: 'kubelet',
    });
    const { signal } = new AbortController();
    try {
      await create(claimsPath, claim('grown'));
      const ref = { namespace: 'default', name: 'grown' };
      const patch = (body: object, subresource?: string) =>
        client.patch(persistentVolumeClaims, { ...ref, subresource }, 'merge', body, signal);
      const grown = await patch({ status: { capacity: { storage: '3Gi' }, conditions: [] } }, 'status');
      expect(grown.status).toMatchObject({ phase: 'Pending', capacity: { storage: '3Gi' } });
      expect(await refusal(patch({ status: { phase: 'Bound' } }, 'status'))).toContain(
        'node "n" is not allowed to update fields other than status.capacity and status.conditions',
      );
      expect(await refusal(patch({ metadata: { labels: { a: 'b' } } }))).toContain('cannot patch');
      expect((await client.get(persistentVolumes, { name: 'v' }, signal)).metadata.name).toBe('v');
      expect((await client.get(volumeAttachments, { name: 'va' }, signal)).status?.attached).toBe(true);
      expect((await client.list(csiDrivers, {}, signal)).items).toHaveLength(1);
      expect((await client.list(storageClasses, {}, signal)).items.length).toBeGreaterThan(0);
      expect(await refusal(client.delete(volumeAttachments, { name: 'va' }, {}, signal))).toContain('cannot delete');
    } finally {
      client.close();
    }
  });
});
