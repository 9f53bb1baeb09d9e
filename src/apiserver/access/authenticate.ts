/** Who is asking: a client certificate, a service account token, or nobody in particular. */
import { createHash } from 'node:crypto';
import type { PeerCertificate, TLSSocket } from 'node:tls';
import type { UserInfo } from '../resources/registry.ts';
import { unauthorized } from '../resources/status-error.ts';
import { type ServiceAccountTokens, TokenError } from './service-account-tokens.ts';

export const anonymous: UserInfo = { name: 'system:anonymous', groups: ['system:unauthenticated'] };

/** @throws {StatusError} 401 when a token is given that is not accepted */
export async function authenticate(
  socket: TLSSocket,
  authorization: string,
  tokens: ServiceAccountTokens,
  signal: AbortSignal,
): Promise<UserInfo> {
  const byCertificate = certificateUser(socket);
  if (byCertificate !== undefined) return byCertificate;
  const token = /^Bearer\s+(\S+)$/i.exec(authorization)?.[1];
  if (token === undefined) return anonymous;
  try {
    return (await tokens.verify(token, [], signal)).user;
  } catch (err) {
    if (err instanceof TokenError) throw unauthorized();
    throw err;
  }
}

/** A connection's certificate was verified when it was made and stays what it is. */
const usersBySocket = new WeakMap<TLSSocket, { user: UserInfo | undefined }>();

function certificateUser(socket: TLSSocket): UserInfo | undefined {
  const known = usersBySocket.get(socket);
  if (known !== undefined) return known.user;
  const user = readCertificate(socket);
  usersBySocket.set(socket, { user });
  return user;
}

/** CN is the user, each O a group; only of certificates that our authority signed for clients. */
function readCertificate(socket: TLSSocket): UserInfo | undefined {
  if (!socket.authorized) return undefined;
  const certificate = socket.getPeerCertificate();
  const name = oneOf(certificate.subject?.CN);
  if (name === undefined || !isForClients(certificate)) return undefined;
  const groups = allOf(certificate.subject.O);
  const digest = createHash('sha256').update(certificate.raw).digest('hex');
  return {
    name,
    groups: [...groups, 'system:authenticated'],
    extra: { 'authentication.kubernetes.io/credential-id': [`X509SHA256=${digest}`] },
  };
}

const clientAuth = '1.3.6.1.5.5.7.3.2';

function isForClients({ ext_key_usage }: PeerCertificate): boolean {
  return ext_key_usage === undefined || ext_key_usage.includes(clientAuth);
}

const allOf = (value: unknown): string[] =>
  Array.isArray(value) ? value.map(String) : typeof value === 'string' ? [value] : [];
const oneOf = (value: unknown): string | undefined => allOf(value)[0];
