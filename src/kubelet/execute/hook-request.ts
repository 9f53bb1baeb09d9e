/** The HTTP request of a postStart or preStop hook. Any answer is a success; only a failed exchange is not. */
import { type IncomingMessage, request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { goQuote } from '../../base/go-quote.ts';
import { hostOfUrl, portOfUrl, redirectTarget, redirectsMax } from '../../base/http-redirect.ts';
import { kubernetesVersion } from '../../base/version.ts';
import type { Container, HTTPGetAction } from '../../objects/generated/core-v1.ts';

/** Of the answer's body this much is read before the connection is let go. */
const bodyBytesMax = 10 * 1024;

/**
 * Certificates are not checked, as upstream. A server that speaks plain HTTP where HTTPS was asked for is asked again
 * in plain HTTP, without the credentials that were meant for an encrypted connection.
 *
 * @returns `host:port` when that was needed
 */
export async function hookRequest(
  action: HTTPGetAction,
  container: Container,
  podIp: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  const port = resolvePort(action.port, container);
  const host = hostOf(action, podIp);
  const path = action.path?.startsWith('/') === true ? action.path : `/${action.path ?? ''}`;
  const headers = headersOf(action);
  const target: Target = { scheme: 'http', host, port, path, headers };
  if (action.scheme !== 'HTTPS') {
    await ask(target, signal);
    return undefined;
  }
  try {
    await ask({ ...target, scheme: 'https' }, signal);
    return undefined;
  } catch (err) {
    if (!isPlainHttp(err)) throw err;
    const { authorization: _secret, ...open } = headers;
    try {
      await ask({ ...target, headers: open }, signal);
    } catch {
      throw err; // what was asked for first is what failed
    }
    return authority(target);
  }
}

interface Target {
  scheme: 'http' | 'https';
  host: string;
  port: number;
  path: string;
  headers: Record<string, string[]>;
}

const authority = ({ host, port }: Target): string => `${host.includes(':') ? `[${host}]` : host}:${port}`;

/** Asks, and goes where the answers send us. */
async function ask(first: Target, signal: AbortSignal): Promise<void> {
  let target = first;
  for (let redirects = 0; ; redirects++) {
    const next = redirected(target, first, await exchange(target, signal));
    if (next === undefined) return;
    if (redirects >= redirectsMax - 1) throw new Error(`stopped after ${redirectsMax} redirects`);
    target = next;
  }
}

/** Headers that another host is not to see. */
const secretHeaders = new Set(['authorization', 'cookie', 'cookie2', 'www-authenticate']);

function redirected(target: Target, first: Target, { statusCode, location }: Answer): Target | undefined {
  const url = redirectTarget(statusCode, location, `${target.scheme}://${authority(target)}${target.path}`);
  if (url === undefined) return undefined;
  const host = hostOfUrl(url);
  const isAbsolute = URL.canParse(location ?? '');
  const isToldAll = host === first.host || host.endsWith(`.${first.host}`);
  const headers = Object.entries(target.headers).filter(
    // a relative redirect stays with the virtual host that was asked for
    ([name]) => (isToldAll || !secretHeaders.has(name)) && !(isAbsolute && name === 'host'),
  );
  return {
    scheme: url.protocol === 'https:' ? 'https' : 'http',
    host,
    port: portOfUrl(url),
    path: `${url.pathname}${url.search}`,
    headers: Object.fromEntries(headers),
  };
}

interface Answer {
  statusCode: number;
  location: string | undefined;
}

function exchange({ scheme, ...target }: Target, signal: AbortSignal): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const options = { ...target, agent: false, signal };
    const done = (response: IncomingMessage): void => {
      const answer = { statusCode: response.statusCode ?? 0, location: response.headers.location };
      let bytes = 0;
      response.on('data', (piece: Buffer) => {
        bytes += piece.length;
        if (bytes >= bodyBytesMax) response.destroy();
      });
      response.on('error', () => {}); // it has answered: how the answer ends is no matter
      response.on('close', () => resolve(answer));
    };
    const request =
      scheme === 'https' ? httpsRequest({ ...options, rejectUnauthorized: false }, done) : httpRequest(options, done);
    request.on('error', reject);
    request.end();
  });
}

/** What OpenSSL says to bytes that are no TLS record. */
const isPlainHttp = (err: unknown): boolean => err instanceof Error && err.message.includes('wrong version number');

function hostOf({ host }: HTTPGetAction, podIp: string): string {
  if (host !== undefined && host !== '') return host.startsWith('[') ? host.slice(1, -1) : host;
  // A pod in the host's network has no address of its own: its ports are the node's.
  return podIp === '' ? 'localhost' : podIp;
}

function headersOf(action: HTTPGetAction): Record<string, string[]> {
  const headers: Record<string, string[]> = {};
  for (const { name, value } of action.httpHeaders ?? []) (headers[name.toLowerCase()] ??= []).push(value);
  headers['user-agent'] ??= [`kube-lifecycle/${kubernetesVersion.major}.${kubernetesVersion.minor}`];
  headers['accept'] ??= ['*/*'];
  return headers;
}

/** The texts are those that probes have for the same mistake. */
function resolvePort(port: number | string, container: Container): number {
  const named = container.ports?.find(({ name }) => name === port)?.containerPort;
  const number = named ?? Number(port);
  if (Number.isNaN(number)) throw new Error(`strconv.Atoi: parsing ${goQuote(String(port))}: invalid syntax`);
  if (!Number.isInteger(number) || number < 1 || number > 65535) throw new Error(`invalid port number: ${port}`);
  return number;
}
