import { X509Certificate } from 'node:crypto';
import { copyFile, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Clock, systemClock } from '../../../base/clock.ts';
import { silentLogger } from '../../../base/logger.ts';
import { loadX509 } from '../../../bootstrap/x509.ts';
import { clientCaFile } from './client-ca.ts';
import { createSelfSignedPair } from './self-signed-pair.ts';
import { ServingCertificate } from './serving-certificate.ts';

let folder: string;
let pairs: Array<{ cert: string; key: string }>;
beforeAll(async () => {
  pairs = await Promise.all([1, 2].map((n) => createSelfSignedPair(`node-${n}`, Date.now(), loadX509)));
});
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'certificates-'));
  return () => rm(folder, { recursive: true });
});
afterAll(() => {
  pairs = [];
});

const need = (clock: Clock = systemClock): { clock: Clock; log: typeof silentLogger } => ({ clock, log: silentLogger });
const selfSigned = (clock?: Clock): ServingCertificate =>
  new ServingCertificate({
    certDirectory: join(folder, 'pki'),
    hostName: 'Node-A',
    configured: undefined,
    loadX509,
    ...need(clock),
  });

describe('ServingCertificate, self-signed', () => {
  it('makes a pair for the host name, and keeps it', async () => {
    const first = selfSigned();
    await first.load();
    const cert = new X509Certificate(first.current()?.cert ?? '');
    expect(cert.subjectAltName).toBe('DNS:node-a');
    expect(cert.subject).toMatch(/^CN=node-a@\d+$/);
    expect(first.current()?.key).toContain('BEGIN RSA PRIVATE KEY');
    const issuer = (first.current()?.cert ?? '').split(/(?=-----BEGIN)/)[1] ?? '';
    expect(cert.verify(new X509Certificate(issuer).publicKey)).toBe(true);
    expect((await stat(join(folder, 'pki', 'kubelet.key'))).mode & 0o777).toBe(0o600);
    const second = selfSigned();
    await second.load();
    expect(second.current()).toEqual(first.current());
  });

  it('makes another when the old one is over, or torn', async () => {
    const first = selfSigned();
    await first.load();
    const inTwoYears = { ...systemClock, nowMs: () => Date.now() + 2 * 365 * 86_400_000 };
    const second = selfSigned(inTwoYears);
    await second.load();
    expect(second.current()).not.toEqual(first.current());
    await writeFile(join(folder, 'pki', 'kubelet.key'), 'torn');
    const third = selfSigned(inTwoYears);
    await third.load();
    expect(third.current()?.cert).not.toBe(second.current()?.cert);
  });
});

describe('ServingCertificate, configured', () => {
  const configured = (): ServingCertificate =>
    new ServingCertificate({
      certDirectory: folder,
      hostName: 'a',
      configured: { certFile: join(folder, 'tls.crt'), keyFile: join(folder, 'tls.key') },
      loadX509,
      ...need(),
    });
  const write = async (n: 0 | 1, what: 'cert' | 'key' = 'cert'): Promise<void> =>
    writeFile(join(folder, what === 'cert' ? 'tls.crt' : 'tls.key'), pairs[n]?.[what] ?? '');

  it('says what is wrong with a pair that does not fit', async () => {
    await expect(configured().load()).rejects.toThrow(`Cannot read "${folder}/tls.crt"`);
    await write(0);
    await write(1, 'key');
    await expect(configured().load()).rejects.toMatchObject({
      message: `Cannot use "${folder}/tls.crt" and "${folder}/tls.key"`,
      cause: { message: 'the private key does not belong to the certificate' },
    });
  });

  it('takes a new pair when both files have changed, not before', async () => {
    await write(0);
    await write(0, 'key');
    const certificate = configured();
    await certificate.load();
    let changes = 0;
    certificate.onChange(() => changes++);
    const stop = new AbortController();
    const run = certificate.run(stop.signal);
    await write(1);
    await write(1, 'key');
    await expect.poll(() => certificate.current()?.cert, { timeout: 5000 }).toBe(pairs[1]?.cert);
    expect(changes).toBe(1);
    await write(0, 'key'); // torn: the good pair stays
    await systemClock.sleep(500, stop.signal);
    expect(certificate.current()?.key).toBe(pairs[1]?.key);
    stop.abort();
    await run;
  });
});

describe('clientCaFile', () => {
  it('gives the certificates of a bundle, and refuses a file without any', async () => {
    const path = join(folder, 'ca.crt');
    await writeFile(path, `comment\n${pairs[0]?.cert ?? ''}`);
    const ca = clientCaFile(path, need());
    await ca.load();
    expect(ca.current()?.match(/BEGIN CERTIFICATE/g)).toHaveLength(2);
    await copyFile('/dev/null', path);
    await expect(ca.load()).rejects.toThrow(`Cannot use "${path}"`);
    expect(await readFile(path, 'utf8')).toBe('');
    expect(ca.current()).toContain('BEGIN CERTIFICATE');
  });
});
