import { KeyObject, webcrypto } from 'node:crypto';
import type * as X509 from '@peculiar/x509';

export type LoadX509 = () => Promise<typeof X509>;

const algorithm = {
  name: 'RSASSA-PKCS1-v1_5',
  hash: 'SHA-256',
  modulusLength: 2048,
  publicExponent: new Uint8Array([1, 0, 1]),
};
const hourMs = 3_600_000;
const yearMs = 365 * 24 * hourMs;

/**
 * A server certificate for `host` by a CA of its own, for a year, as upstream makes it. PEM, leaf before CA.
 *
 * @param loadX509 the library is large and needed on a node's first start only, so it is loaded when it is used
 */
export async function createSelfSignedPair(
  host: string,
  nowMs: number,
  loadX509: LoadX509,
): Promise<{ cert: string; key: string }> {
  const x509 = await loadX509();
  const dates = { notBefore: new Date(nowMs - hourMs), notAfter: new Date(nowMs + yearMs) };
  const seconds = Math.floor(nowMs / 1000);
  const caKeys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const ca = await x509.X509CertificateGenerator.createSelfSigned(
    {
      ...dates,
      name: [{ CN: [`${host}-ca@${seconds}`] }],
      keys: caKeys,
      signingAlgorithm: algorithm,
      extensions: [
        new x509.KeyUsagesExtension(
          x509.KeyUsageFlags.digitalSignature | x509.KeyUsageFlags.keyEncipherment | x509.KeyUsageFlags.keyCertSign,
          true,
        ),
        new x509.BasicConstraintsExtension(true, undefined, true),
        await x509.SubjectKeyIdentifierExtension.create(caKeys.publicKey),
      ],
    },
    webcrypto,
  );
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const isIp = /^[\d.]+$|:/.test(host);
  const leaf = await x509.X509CertificateGenerator.create(
    {
      ...dates,
      subject: [{ CN: [`${host}@${seconds}`] }],
      issuer: ca.subject,
      publicKey: keys.publicKey,
      signingKey: caKeys.privateKey,
      signingAlgorithm: algorithm,
      extensions: [
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature | x509.KeyUsageFlags.keyEncipherment, true),
        new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
        new x509.BasicConstraintsExtension(false, undefined, true),
        await x509.AuthorityKeyIdentifierExtension.create(caKeys.publicKey),
        new x509.SubjectAlternativeNameExtension([{ type: isIp ? 'ip' : 'dns', value: host }]),
      ],
    },
    webcrypto,
  );
  const key = KeyObject.from(keys.privateKey).export({ type: 'pkcs1', format: 'pem' });
  return { cert: `${leaf.toString('pem')}\n${ca.toString('pem')}\n`, key: String(key) };
}
