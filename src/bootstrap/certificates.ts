/**
 * Certificates and keys as PEM text: authorities, and leaves that they sign. ECDSA P-256 everywhere.
 * Nothing here touches files; `pki.ts` decides names and places.
 */
import { createPrivateKey, createPublicKey, webcrypto, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { loadX509 } from './x509.ts';

const dayMs = 24 * 60 * 60 * 1000;
/** Clocks of nodes differ: a certificate is valid a little before it is made. */
const backdateMs = 5 * 60 * 1000;
export const authorityLifetimeMs = 3650 * dayMs;
export const leafLifetimeMs = 365 * dayMs;

const keyAlgorithm = { name: 'ECDSA', namedCurve: 'P-256' } as const;
const signingAlgorithm = { name: 'ECDSA', hash: 'SHA-256' } as const;

export interface KeyAndCertificate {
  /** PKCS#8. */
  keyPem: string;
  certPem: string;
}

export interface LeafOptions {
  commonName: string;
  /** Groups, as Kubernetes reads them from a client certificate. */
  organizations?: readonly string[];
  usages: ReadonlyArray<'client' | 'server'>;
  /** Names and addresses that a server's certificate is good for. */
  names?: readonly string[];
  nowMs: number;
}

/** A new self-signed authority. */
export async function createAuthority(commonName: string, nowMs: number): Promise<KeyAndCertificate> {
  const x509 = await loadX509();
  const keys = await createKeyPair();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: randomSerial(),
    name: [{ CN: [commonName] }],
    notBefore: new Date(nowMs - backdateMs),
    notAfter: new Date(nowMs + authorityLifetimeMs),
    keys,
    signingAlgorithm,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(
        x509.KeyUsageFlags.digitalSignature | x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign,
        true,
      ),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: commonName }]),
    ],
  });
  return { keyPem: await privateKeyPem(keys.privateKey), certPem: withFinalNewline(certificate.toString('pem')) };
}

/** A certificate with a new key, signed by `authority`. */
export async function issueLeaf(authority: KeyAndCertificate, leaf: LeafOptions): Promise<KeyAndCertificate> {
  const x509 = await loadX509();
  const issuer = new x509.X509Certificate(authority.certPem);
  const keys = await createKeyPair();
  const usageIds = leaf.usages.map((usage) =>
    usage === 'client' ? x509.ExtendedKeyUsage.clientAuth : x509.ExtendedKeyUsage.serverAuth,
  );
  const names = [...new Set(leaf.names ?? [])];
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: randomSerial(),
    issuer: issuer.subjectName,
    subject: new x509.Name([
      ...(leaf.organizations ?? []).map((organization) => ({ O: [organization] })),
      { CN: [leaf.commonName] },
    ]),
    notBefore: new Date(leaf.nowMs - backdateMs),
    notAfter: new Date(leaf.nowMs + leafLifetimeMs),
    publicKey: keys.publicKey,
    signingKey: await importSigningKey(authority.keyPem),
    signingAlgorithm,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension(usageIds),
      await x509.AuthorityKeyIdentifierExtension.create(issuer),
      ...(names.length === 0
        ? []
        : [
            new x509.SubjectAlternativeNameExtension(
              names.map((value) => ({ type: isIP(value) === 0 ? ('dns' as const) : ('ip' as const), value })),
            ),
          ]),
    ],
  });
  return { keyPem: await privateKeyPem(keys.privateKey), certPem: withFinalNewline(certificate.toString('pem')) };
}

/** A bare key pair, as service account tokens are signed and checked with. */
export async function createBareKeyPair(): Promise<{ keyPem: string; publicKeyPem: string }> {
  const keyPem = await privateKeyPem((await createKeyPair()).privateKey);
  return { keyPem, publicKeyPem: publicKeyPemOf(keyPem) };
}

export function publicKeyPemOf(keyPem: string): string {
  return createPublicKey(createPrivateKey(keyPem)).export({ type: 'spki', format: 'pem' }).toString();
}

/**
 * Why a certificate on disk cannot be used again: it is not one, its key is another's, its time is over (or nearly),
 * somebody else signed it, or it lacks a name. Undefined when it is good.
 */
export function whyUnusable(
  { keyPem, certPem }: KeyAndCertificate,
  need: { nowMs: number; issuerPem?: string; names?: readonly string[] },
): string | undefined {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(certPem);
    if (!certificate.checkPrivateKey(createPrivateKey(keyPem))) return 'the key does not belong to the certificate';
  } catch (err) {
    return `it cannot be read: ${err instanceof Error ? err.message : String(err)}`;
  }
  if (Date.parse(certificate.validTo) < need.nowMs + 30 * dayMs) return `it ends on ${certificate.validTo}`;
  if (Date.parse(certificate.validFrom) > need.nowMs) return `it starts on ${certificate.validFrom}`;
  if (need.issuerPem !== undefined && !certificate.verify(new X509Certificate(need.issuerPem).publicKey)) {
    return 'another authority signed it';
  }
  const missing = (need.names ?? []).filter((name) =>
    isIP(name) === 0 ? certificate.checkHost(name) === undefined : certificate.checkIP(name) === undefined,
  );
  return missing.length === 0 ? undefined : `it is not good for ${missing.join(', ')}`;
}

async function createKeyPair(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(keyAlgorithm, true, ['sign', 'verify']);
}

async function importSigningKey(keyPem: string): Promise<webcrypto.CryptoKey> {
  const der = createPrivateKey(keyPem).export({ type: 'pkcs8', format: 'der' });
  return webcrypto.subtle.importKey('pkcs8', der, keyAlgorithm, false, ['sign']);
}

async function privateKeyPem(key: webcrypto.CryptoKey): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key));
  return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
    .export({ type: 'pkcs8', format: 'pem' })
    .toString();
}

/** 16 random bytes, positive and without a leading zero, in hexadecimal. */
function randomSerial(): string {
  const bytes = Buffer.from(webcrypto.getRandomValues(new Uint8Array(16)));
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return bytes.toString('hex');
}

function withFinalNewline(text: string): string {
  return text.endsWith('\n') ? text : `${text}\n`;
}
