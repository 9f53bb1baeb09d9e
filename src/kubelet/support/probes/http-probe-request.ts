/** What an HTTP probe asks, from its spec. Pure. */
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
export const redirectsMax = 10;

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
  if (![301, 302, 303, 307, 308].includes(statusCode) || location === undefined || location === '') return undefined;
  const base = requestUrl(request);
  if (!URL.canParse(location, base)) return undefined;
  const url = new URL(location, base);
  if (url.protocol !== 'http:' && url.protocol !== 'https:') return undefined;
  const host = url.hostname.replace(/^\[|\]$/g, '');
  if (host !== new URL(base).hostname.replace(/^\[|\]$/g, '')) return undefined;
  const scheme = url.protocol === 'https:' ? 'https' : 'http';
  const defaultPort = scheme === 'https' ? 443 : 80;
  return {
    scheme,
    host,
    port: url.port === '' ? defaultPort : Number(url.port),
    path: `${url.pathname}${url.search}`,
    // a relative redirect stays with the virtual host that was asked for
    headers: URL.canParse(location)
      ? request.headers.filter(([name]) => name.toLowerCase() !== 'host')
      : request.headers,
  };
}
