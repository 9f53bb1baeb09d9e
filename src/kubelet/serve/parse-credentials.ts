/** Bearer tokens in a request's headers. Pure. */

const protocolPrefix = 'base64url.bearer.authorization.k8s.io.';

export type TokenInRequest = { kind: 'none' } | { kind: 'token'; token: string } | { kind: 'invalid' };

/** @param protocols value of `Sec-WebSocket-Protocol`, where browsers put a token */
export function tokenInRequest(authorization: string | undefined, protocols: string | undefined): TokenInRequest {
  const [scheme = '', token = ''] = (authorization ?? '').trim().split(' ');
  if (scheme.toLowerCase() === 'bearer' && token !== '') return { kind: 'token', token };
  const offered = (protocols ?? '').split(',').map((protocol) => protocol.trim());
  const bearers = offered.filter((protocol) => protocol.startsWith(protocolPrefix));
  const [bearer] = bearers;
  if (bearer === undefined) return { kind: 'none' };
  const encoded = bearer.slice(protocolPrefix.length);
  // there must be another protocol for us to choose, since this one is never answered
  if (bearers.length > 1 || offered.length < 2 || !/^[\w-]+$/.test(encoded)) return { kind: 'invalid' };
  return { kind: 'token', token: Buffer.from(encoded, 'base64url').toString('utf8') };
}

/** The protocols without the token: for those behind us. */
export function withoutToken(protocols: string): string {
  return protocols
    .split(',')
    .map((protocol) => protocol.trim())
    .filter((protocol) => !protocol.startsWith(protocolPrefix))
    .join(', ');
}
