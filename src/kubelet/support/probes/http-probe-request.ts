/** What an HTTP probe asks, from its spec. Pure. */
import { hostOfUrl, portOfUrl, redirectTarget } from '../../../base/http-redirect.ts';
import { kubernetesVersion } from '../../../base/version.ts';
import type { Container, HTTPGetAction } from '../../../objects/generated/core-v1.ts';
import { joinHostPort } from './probe-outcome.ts';
import { resolvePort } from './resolve-port.ts';

export interface HttpProbeRequest {
  scheme: 'http' | 'https';
  host: string;
  port: number;
  /** With query, percent-encoded where it must be. */
  path: string;
  /** In the order of the spec; a name may come more than once. */
  headers: Array<[name: string, value: string]>;
}

export const probeUserAgent = `kube-probe/${kubernetesVersion.major}.${kubernetesVersion.minor}`;

/** @throws when the port can't be resolved */
export function makeHttpProbeRequest(
  { host, path, port, scheme, httpHeaders }: HTTPGetAction,
  container: Pick<Container, 'ports'>,
  podIp: string,
): HttpProbeRequest {
  const headers = (httpHeaders ?? []).map(({ name, value }): [string, string] => [name, value]);
  const has = (wanted: string): boolean => headers.some(([name]) => name.toLowerCase() === wanted);
  if (!has('user-agent')) headers.push(['User-Agent', probeUserAgent]);
  if (!has('accept')) headers.push(['Accept', '*/*']);
  return {
    scheme: scheme?.toLowerCase() === 'https' ? 'https' : 'http',
    host: host === undefined || host === '' ? podIp : host,
    port: resolvePort(port, container),
    path: requestPath(path ?? '/'),
    headers: headers.filter(([name, value]) => name.toLowerCase() !== 'accept' || value !== ''),
  };
}

/** As it goes into the request line: from the root, without fragment, nothing that a request line can't hold. */
function requestPath(path: string): string {
  const withoutFragment = path.replace(/#.*$/s, '');
  const rooted = withoutFragment.startsWith('/') ? withoutFragment : `/${withoutFragment}`;
  return rooted
    .replace(/%(?![\dA-Fa-f]{2})/g, '%25')
    .replace(/[^\w\-.~!$&'()*+,;=:@/?%[\]]+/g, (bad) => encodeURIComponent(bad.toWellFormed()));
}

export const requestUrl = ({ scheme, host, port, path }: HttpProbeRequest): string =>
  `${scheme}://${joinHostPort(host, port)}${path}`;

/** The request that an answer sends us to; undefined when the answer itself is the result. */
export function followRedirect(
  request: HttpProbeRequest,
  statusCode: number,
  location: string | undefined,
): HttpProbeRequest | undefined {
  const base = requestUrl(request);
  const url = redirectTarget(statusCode, location, base);
  if (url === undefined || url.hostname !== new URL(base).hostname) return undefined;
  return {
    scheme: url.protocol === 'https:' ? 'https' : 'http',
    host: hostOfUrl(url),
    port: portOfUrl(url),
    path: `${url.pathname}${url.search}`,
    // a relative redirect stays with the virtual host that was asked for
    headers: URL.canParse(location ?? '')
      ? request.headers.filter(([name]) => name.toLowerCase() !== 'host')
      : request.headers,
  };
}
