/**
 * The certificate that the kubelet's HTTPS door shows. Owns the self-signed pair `kubelet.crt` and `kubelet.key` in
 * the certificate directory, which is made when nothing else is configured, and follows changes of configured files.
 *
 * Promises: after `load`, `current` is a pair that belongs together; `onChange` tells of a new one.
 */
import { X509Certificate, createPrivateKey } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../../base/clock.ts';
import type { Logger } from '../../../base/logger.ts';
import { type LoadX509, createSelfSignedPair } from './self-signed-pair.ts';
import { WatchedFiles } from './watched-files.ts';
import { replaceFile } from '../../../base/replace-file.ts';

export interface KeyPair {
  /** PEM, the leaf first. */
  cert: string;
  /** PEM. */
  key: string;
}

export interface ServingCertificateNeed {
  /** `--cert-dir`, `/var/lib/kubelet/pki`. */
  certDirectory: string;
  hostName: string;
  /** `tlsCertFile` and `tlsPrivateKeyFile`; undefined: self-signed. */
  configured: { certFile: string; keyFile: string } | undefined;
  loadX509: LoadX509;
  clock: Clock;
  log: Logger;
}

export class ServingCertificate {
  readonly #need: ServingCertificateNeed;
  readonly #certFile: string;
  readonly #keyFile: string;
  readonly #files: WatchedFiles<KeyPair>;

  constructor(need: ServingCertificateNeed) {
    this.#need = need;
    this.#certFile = need.configured?.certFile ?? join(need.certDirectory, 'kubelet.crt');
    this.#keyFile = need.configured?.keyFile ?? join(need.certDirectory, 'kubelet.key');
    this.#files = new WatchedFiles([this.#certFile, this.#keyFile], parseKeyPair, need);
  }

  /** Reads the pair; makes it first where that is ours to do. @throws when a configured pair is missing or no good */
  async load(): Promise<void> {
    if (this.#need.configured === undefined && !(await this.#hasGoodPair())) await this.#makePair();
    await this.#files.load();
  }

  current(): KeyPair | undefined {
    return this.#files.current();
  }

  onChange(listener: () => void): () => void {
    return this.#files.onChange(listener);
  }

  /** Follows changes of the files until `signal` aborts. */
  run(signal: AbortSignal): Promise<void> {
    return this.#files.run(signal);
  }

  async #hasGoodPair(): Promise<boolean> {
    try {
      const [cert, key] = await Promise.all([readFile(this.#certFile, 'utf8'), readFile(this.#keyFile, 'utf8')]);
      parseKeyPair([cert, key]);
      return this.#need.clock.nowMs() < new X509Certificate(cert).validToDate.getTime();
    } catch {
      return false; // missing, torn or foreign: a new one harms nobody
    }
  }

  async #makePair(): Promise<void> {
    const { certDirectory, hostName, loadX509, clock, log } = this.#need;
    const { cert, key } = await createSelfSignedPair(hostName.toLowerCase(), clock.nowMs(), loadX509);
    await mkdir(certDirectory, { recursive: true, mode: 0o755 });
    await replaceFile(this.#keyFile, key, 0o600);
    await replaceFile(this.#certFile, cert, 0o644);
    log.info({ certFile: this.#certFile, keyFile: this.#keyFile }, 'made a self-signed serving certificate');
  }
}

/** @throws when they are not PEM, or not of one another */
function parseKeyPair([cert = '', key = '']: readonly string[]): KeyPair {
  if (!new X509Certificate(cert).checkPrivateKey(createPrivateKey(key))) {
    throw new Error('the private key does not belong to the certificate');
  }
  return { cert, key };
}
