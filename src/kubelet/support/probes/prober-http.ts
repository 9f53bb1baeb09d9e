import { type IncomingMessage, type RequestOptions, request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { Clock } from '../../../base/clock.ts';
import { withDeadline } from '../../../base/deadline.ts';
import { isDeadline } from '../../../base/errors.ts';
import { type HttpProbeRequest, followRedirect, redirectsMax, requestUrl } from './http-probe-request.ts';
import { type ProbeOutcome, joinHostPort, networkErrorText, outputMaxBytes } from './probe-outcome.ts';

/** Success is a status from 200 to 399. The time covers connection, redirects and body. */
export async function probeByHttp(
  request: HttpProbeRequest,
  timeoutSeconds: number,
  clock: Clock,
  signal: AbortSignal,
): Promise<ProbeOutcome> {
  const state = { asked: request, hasHeaders: false };
  try {
    return await withDeadline('the request', timeoutSeconds * 1000, clock, signal, (s) => ask(state, s));
  } catch (err) {
    if (signal.aborted) throw err;
    if (isDeadline(err) && state.hasHeaders) {
      const text = 'context deadline exceeded (Client.Timeout or context cancellation while reading body)';
      return { kind: 'error', result: 'failure', err: text };
    }
    const why = isDeadline(err)
      ? 'context deadline exceeded (Client.Timeout exceeded while awaiting headers)'
      : networkErrorText(err, joinHostPort(state.asked.host, state.asked.port));
    return { kind: 'failure', output: `Get "${requestUrl(state.asked)}": ${why}` };
  }
}

async function ask(
  state: { asked: HttpProbeRequest; hasHeaders: boolean },
  signal: AbortSignal,
): Promise<ProbeOutcome> {
  for (let redirects = 0; ; redirects++) {
    const answer = await send(state.asked, signal);
    const statusCode = answer.statusCode ?? 0;
    const next = followRedirect(state.asked, statusCode, answer.headers.location);
    if (next !== undefined) {
      answer.destroy();
      if (redirects >= redirectsMax) throw new Error(`stopped after ${redirectsMax} redirects`);
      state.asked = next;
      continue;
    }
    state.hasHeaders = true;
    const body = await readStart(answer, signal);
    if (statusCode >= 200 && statusCode < 300) return { kind: 'success', output: body };
    if (statusCode >= 300 && statusCode < 400) {
      return { kind: 'warning', output: `Probe terminated redirects, Response body: ${body}` };
    }
    return { kind: 'failure', output: `HTTP probe failed with statuscode: ${statusCode}` };
  }
}

function send({ scheme, host, port, path, headers }: HttpProbeRequest, signal: AbortSignal): Promise<IncomingMessage> {
  const hasHost = headers.some(([name]) => name.toLowerCase() === 'host');
  const flat = [...(hasHost ? [] : [['Host', hostHeader(scheme, host, port)] as const]), ...headers].flat();
  const options: RequestOptions = {
    host,
    port,
    path,
    method: 'GET',
    agent: false, // a connection of its own, closed afterwards
    headers: [...flat, 'Connection', 'close'],
    setHost: false,
    signal,
    maxHeaderSize: 64 * 1024,
  };
  return new Promise((resolve, reject) => {
    const request =
      scheme === 'https'
        ? httpsRequest({ ...options, rejectUnauthorized: false, servername: sniName(host) })
        : httpRequest(options);
    request.once('response', resolve);
    // a probe that is answered by an upgrade is answered by something that speaks no HTTP
    request.once('upgrade', (_answer, socket) => {
      socket.destroy();
      reject(new Error('unexpected upgrade'));
    });
    request.on('error', reject);
    request.end();
  });
}

function hostHeader(scheme: 'http' | 'https', host: string, port: number): string {
  const isDefault = port === (scheme === 'https' ? 443 : 80);
  return isDefault ? joinHostPort(host, port).replace(/:\d+$/, '') : joinHostPort(host, port);
}

/** TLS names servers by DNS name only. */
const sniName = (host: string): string => (/^[\d.]+$|:/.test(host) ? '' : host);

/** At most so much of a body as we keep; the rest is not read. */
async function readStart(answer: IncomingMessage, signal: AbortSignal): Promise<string> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const piece of answer) {
      pieces.push(piece as Buffer); // no encoding is set: pieces are buffers
      bytes += (piece as Buffer).length;
      if (bytes >= outputMaxBytes) break; // leaving the loop destroys the connection
    }
  } catch (err) {
    signal.throwIfAborted();
    throw err;
  }
  return Buffer.concat(pieces).subarray(0, outputMaxBytes).toString('utf8');
}
