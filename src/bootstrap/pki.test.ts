import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createPki, users } from './pki.ts';
import type { Pki } from './pki.ts';

const nowMs = 1_790_000_000_000;
const run = promisify(execFile);

describe('createPki', () => {
  let dir: string;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'gantry-pki-'));
  });
  afterEach(async () => {
    await rm(dir, { recursive: true });
  });

  const create = (ips: string[] = ['10.96.0.1', '10.77.0.2']): Promise<Pki> =>
    createPki({ dir, apiServerNames: ['node-1'], apiServerIps: ips, etcdNames: ['localhost', '127.0.0.1'], nowMs });

  it('names the API server for its clients in and outside the cluster, as openssl sees it', async () => {
    const { files } = await create();
    const { stdout } = await run('openssl', [
      'x509',
      '-in',
      files.apiserverCert,
      '-noout',
      '-subject',
      '-ext',
      'subjectAltName,extendedKeyUsage,basicConstraints',
    ]);
    expect(stdout).toContain('CN = kube-apiserver');
    expect(stdout).toContain(
      'DNS:kubernetes, DNS:kubernetes.default, DNS:kubernetes.default.svc, DNS:kubernetes.default.svc.cluster.local, DNS:node-1, IP Address:10.96.0.1, IP Address:10.77.0.2',
    );
    expect(stdout).toContain('TLS Web Server Authentication');
    expect(stdout).toContain('CA:FALSE');
  });

  it('chains verify with openssl', async () => {
    const { files } = await create();
    for (const [ca, purpose, leaf] of [
      [files.caCert, 'sslserver', files.apiserverCert],
      [files.caCert, 'sslclient', files.apiserverKubeletClientCert],
      [files.frontProxyCaCert, 'sslclient', files.frontProxyClientCert],
      [files.etcdCaCert, 'sslserver', files.etcdServerCert],
      [files.etcdCaCert, 'sslclient', files.apiserverEtcdClientCert],
    ] as const) {
      const args = [
        'verify',
        '-x509_strict',
        '-attime',
        String(nowMs / 1000),
        '-purpose',
        purpose,
        '-CAfile',
        ca,
        leaf,
      ];
      expect((await run('openssl', args)).stdout).toContain(': OK');
    }
  });

  it('keeps keys to the owner', async () => {
    const { files } = await create();
    for (const path of [files.caKey, files.apiserverKey, files.serviceAccountKey, files.etcdServerKey]) {
      expect((await stat(path)).mode & 0o777).toBe(0o600);
    }
  });

  it('keeps what is good when it is called again', async () => {
    const { files } = await create();
    const read = async (): Promise<string[]> => Promise.all(Object.values(files).map((path) => readFile(path, 'utf8')));
    const before = await read();
    await create();
    expect(await read()).toEqual(before);
  });

  it('makes only the leaf anew that lacks an address', async () => {
    const { files } = await create();
    const before = await Promise.all([readFile(files.caCert, 'utf8'), readFile(files.apiserverCert, 'utf8')]);
    await create(['10.96.0.1', '10.77.9.2']);
    expect(await readFile(files.caCert, 'utf8')).toBe(before[0]);
    expect(new X509Certificate(await readFile(files.apiserverCert)).checkIP('10.77.9.2')).toBe('10.77.9.2');
  });

  it('refuses to replace a broken authority silently', async () => {
    const { files } = await create();
    await writeFile(files.caCert, 'no certificate');
    await expect(create()).rejects.toThrow(`Cannot use the authority "${files.caCert}"`);
  });

  it("issues a kubelet's client and serving certificates", async () => {
    const pki = await create();
    const client = new X509Certificate((await pki.issueClient(users.kubelet('node-1'))).certPem);
    expect(client.subject.split('\n')).toEqual(['O=system:nodes', 'CN=system:node:node-1']);
    const serving = await pki.issueServing({
      commonName: 'system:node:node-1',
      organizations: ['system:nodes'],
      names: ['node-1', '10.77.0.2'],
    });
    const certificate = new X509Certificate(serving.certPem);
    expect([certificate.checkHost('node-1'), certificate.checkIP('10.77.0.2')]).toEqual(['node-1', '10.77.0.2']);
    expect(certificate.verify(new X509Certificate(pki.caPem).publicKey)).toBe(true);
  });
});
