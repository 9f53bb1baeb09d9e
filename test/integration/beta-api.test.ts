/** Versions of the API that are off unless they are switched on. */
import { readFile } from 'node:fs/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { MemoryStorage } from '../../src/apiserver/storage/memory-storage.ts';
import { parseRuntimeConfig } from '../../src/commands/kube-apiserver.ts';
import { type TestServer, startTestServer } from './apiserver-fixture.ts';

let server: TestServer;
afterEach(() => server.stop());

const beta = '/apis/certificates.k8s.io/v1beta1';
const merge = 'application/merge-patch+json';
const versions = async (): Promise<unknown> => {
  const { body } = await server.call('GET', '/apis/certificates.k8s.io');
  return (body['versions'] as unknown as Array<{ version: string }>).map(({ version }) => version);
};

describe('certificates.k8s.io/v1beta1', () => {
  it('is not there by default', async () => {
    server = await startTestServer(new MemoryStorage());
    expect(await versions()).toEqual(['v1']);
    expect((await server.call('GET', `${beta}/clustertrustbundles`)).code).toBe(404);
  });

  it('keeps bundles of authorities and requests of pods when it is switched on', async () => {
    server = await startTestServer(new MemoryStorage(), { enabledVersions: ['certificates.k8s.io/v1beta1'] });
    expect(await versions()).toEqual(['v1', 'v1beta1']);
    const trustBundle = await readFile(server.pki.files.caCert, 'utf8');
    const create = (name: string, spec: object) =>
      server.call('POST', `${beta}/clustertrustbundles`, { body: { metadata: { name }, spec } });
    const signerName = 'example.com/signer';
    expect((await create('plain', { trustBundle })).code).toBe(201);
    expect((await create('example.com:signer:one', { signerName, trustBundle })).code).toBe(201);
    const { body } = await server.call(
      'GET',
      `${beta}/clustertrustbundles?fieldSelector=spec.signerName=${signerName}`,
    );
    expect(body['items']).toMatchObject([{ metadata: { name: 'example.com:signer:one' } }]);
    const problems: Array<[name: string, spec: object, text: string]> = [
      ['a:b', { trustBundle }, 'ClusterTrustBundle without signer name must not have \\":\\" in its name'],
      ['x', { signerName, trustBundle }, 'must be named with prefix example.com:signer:'],
      ['empty', { trustBundle: 'x' }, 'at least one trust anchor must be provided'],
      ['twice', { trustBundle: trustBundle + trustBundle }, 'duplicate trust anchor (indices [0 1])'],
      [
        'key',
        { trustBundle: trustBundle.replaceAll('CERTIFICATE', 'PRIVATE KEY') },
        'entry 0 has bad block type: PRIVATE KEY',
      ],
      [
        'garbage',
        { trustBundle: '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n' },
        'entry 0 does not parse as X.509',
      ],
    ];
    for (const [name, spec, text] of problems) {
      const refused = await create(name, spec);
      expect(refused.code).toBe(422);
      expect(refused.text).toContain(text);
    }

    const requests = `${beta}/namespaces/default/podcertificaterequests`;
    const spec = {
      signerName,
      podName: 'p',
      podUID: 'u',
      serviceAccountName: 'default',
      serviceAccountUID: 's',
      nodeName: 'n',
      nodeUID: 'v',
      stubPKCS10Request: 'AAAA',
    };
    expect(await server.call('POST', requests, { body: { metadata: { name: 'r' }, spec } })).toMatchObject({
      code: 201,
      body: { spec: { maxExpirationSeconds: 86_400 } },
    });
    const short = { ...spec, podUID: undefined, maxExpirationSeconds: 60 };
    const refused = await server.call('POST', requests, { body: { metadata: { name: 'bad' }, spec: short } });
    expect(refused.text).toContain('spec.podUID: Required value');
    expect(refused.text).toContain('must be in the range [3600, 7862400]');
    const other = await server.call('PATCH', `${requests}/r`, { body: { spec: { podName: 'q' } }, contentType: merge });
    expect(other.text).toContain('field is immutable');
    const status = {
      certificateChain: trustBundle,
      conditions: [
        { type: 'Issued', status: 'True', reason: 'Good', message: '', lastTransitionTime: '2026-01-01T00:00:00Z' },
      ],
    };
    const issued = await server.call('PATCH', `${requests}/r/status`, { body: { status }, contentType: merge });
    expect(issued).toMatchObject({ code: 200, body: { status: { certificateChain: trustBundle } } });
    const table = await server.call('GET', requests, { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' });
    expect(table.body['rows']).toMatchObject([{ cells: ['r', 'p', 'default', 'n', signerName, 'Issued'] }]);
  });

  it('is what --runtime-config names, and nothing else is', async () => {
    server = await startTestServer(new MemoryStorage(), {
      enabledVersions: [...parseRuntimeConfig('certificates.k8s.io/v1beta1=true')],
    });
    expect(await versions()).toEqual(['v1', 'v1beta1']);
    expect([...parseRuntimeConfig('certificates.k8s.io/v1beta1,certificates.k8s.io/v1beta1=false')]).toEqual([]);
    expect(() => parseRuntimeConfig('api/all=true')).toThrow('"api/all=true" is not one of');
  });
});
