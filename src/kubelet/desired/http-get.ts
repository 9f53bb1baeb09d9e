/** One GET, as a static pod URL is asked: with headers of the configuration, redirects followed, the machine's authorities. */
import { get as httpGet } from 'node:http';
import { get as httpsGet } from 'node:https';
import { getCACertificates, rootCertificates } from 'node:tls';

export interface HttpAnswer {
  status: number;
  body: string;
}

export type HttpHeaders = Readonly<Record<string, readonly string[]>>;

const redirectsMax = 10;
const bodyBytesMax = 10 * 1024 * 1024;

/** @throws {Error} when nobody answers, with more redirects than are sane, or with more than a manifest can have */
export async function getUrl(url: string, headers: HttpHeaders, signal: AbortSignal): Promise<HttpAnswer> {
  let target = new URL(url);
  for (let i = 0; i <= redirectsMax; i++) {
    const answer = await getOnce(target, headers, signal);
    if (typeof answer !== 'string') return answer;
    target = new URL(answer, target);
  }
  throw new Error(`Cannot get "${url}": stopped after ${redirectsMax} redirects`);
}

/** @returns the answer, or where it is to be found */
function getOnce(url: URL, headers: HttpHeaders, signal: AbortSignal): Promise<HttpAnswer | string> {
  return new Promise((resolve, reject) => {
    const fail = (cause: Error): void => reject(new Error(`Cannot get "${url.href}"`, { cause }));
    const isSecure = url.protocol === 'https:';
    const options = {
      headers: Object.fromEntries(Object.entries(headers).map(([name, values]) => [name, [...values]])),
      signal,
      agent: false as const,
      ...(isSecure ? { ca: [...rootCertificates, ...getCACertificates('system')] } : {}),
    };
    const request = (isSecure ? httpsGet : httpGet)(url, options, (response) => {
      const { statusCode: status = 0, headers: answered } = response;
      if ([301, 302, 303, 307, 308].includes(status) && answered.location !== undefined) {
        response.destroy();
        resolve(answered.location);
        return;
      }
      const pieces: Buffer[] = [];
      let bytes = 0;
      response.on('data', (piece: Buffer) => {
        pieces.push(piece);
        bytes += piece.length;
        if (bytes > bodyBytesMax) response.destroy(new Error(`the answer has more than ${bodyBytesMax} bytes`));
      });
      response.on('end', () => resolve({ status, body: Buffer.concat(pieces).toString('utf8') }));
      response.on('error', fail);
    });
    request.on('error', fail);
  });
}
