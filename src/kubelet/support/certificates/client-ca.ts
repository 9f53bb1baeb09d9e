/** The bundle of CAs whose client certificates the kubelet's HTTPS door believes; follows changes of its file. */
import { X509Certificate } from 'node:crypto';
import type { Clock } from '../../../base/clock.ts';
import type { Logger } from '../../../base/logger.ts';
import { WatchedFiles } from './watched-files.ts';

/** `load` and `run` it like a `ServingCertificate`; `current` is PEM. */
export function clientCaFile(path: string, need: { clock: Clock; log: Logger }): WatchedFiles<string> {
  return new WatchedFiles([path], ([pem = '']) => parseBundle(pem), need);
}

/** @throws when there is no certificate in it, or one that can't be read */
function parseBundle(pem: string): string {
  const certificates = pem.match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g) ?? [];
  if (certificates.length === 0) throw new Error('there is no certificate in it');
  for (const certificate of certificates) new X509Certificate(certificate);
  return `${certificates.join('\n')}\n`;
}
