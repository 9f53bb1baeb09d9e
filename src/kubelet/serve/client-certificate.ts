import type { TLSSocket } from 'node:tls';
import type { ClientCertificate } from './authenticate.ts';

/** What the client showed in the handshake; undefined when it showed nothing. */
export function clientCertificate(socket: TLSSocket): ClientCertificate | undefined {
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) return undefined;
  const { CN, O } = socket.getPeerCertificate(false).subject;
  return {
    isTrusted: socket.authorized,
    commonName: [CN].flat().at(-1) ?? '',
    organizations: O === undefined ? [] : [O].flat(),
    validToMs: certificate.validToDate.getTime(),
  };
}
