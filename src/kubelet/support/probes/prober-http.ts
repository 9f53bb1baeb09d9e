import type { Readable } from 'node:stream';
import type { Clock } from '../../../base/clock.ts';
import { withDeadline } from '../../../base/deadline.ts';
import { isDeadline } from '../../../base/errors.ts';
import { redirectsMax } from '../../../base/http-redirect.ts';
import { exchangeHttp } from './http-exchange.ts';
import { type HttpProbeRequest, followRedirect, requestUrl } from './http-probe-request.ts';
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
    if (state.hasHeaders) return { kind: 'error', result: 'failure', err: bodyErrorText(err) };
    const why = isDeadline(err)
      ? 'context deadline exceeded (Client.Timeout exceeded while awaiting headers)'
      : networkErrorText(err, joinHostPort(state.asked.host, state.asked.port));
    return { kind: 'failure', output: `Get "${requestUrl(state.asked)}": ${why}` };
  }
}

/** An answer that breaks off says nothing about the container. */
const bodyErrorText = (err: unknown): string =>
  isDeadline(err)
    ? 'context deadline exceeded (Client.Timeout or context cancellation while reading body)'
    : 'unexpected EOF';

async function ask(
  state: { asked: HttpProbeRequest; hasHeaders: boolean },
  signal: AbortSignal,
): Promise<ProbeOutcome> {
  for (let redirects = 0; ; redirects++) {
    const { statusCode, location, body, close } = await exchangeHttp(state.asked, signal);
    try {
      const next = followRedirect(state.asked, statusCode, location);
      if (next !== undefined) {
        state.asked = next;
        if (redirects >= redirectsMax - 1) throw new Error(`stopped after ${redirectsMax} redirects`);
        continue;
      }
      state.hasHeaders = true;
      const output = await readStart(body);
      if (statusCode >= 200 && statusCode < 300) return { kind: 'success', output };
      if (statusCode >= 300 && statusCode < 400) {
        return { kind: 'warning', output: `Probe terminated redirects, Response body: ${output}` };
      }
      return { kind: 'failure', output: `HTTP probe failed with statuscode: ${statusCode}` };
    } finally {
      body.on('error', () => {}); // of a body that nobody reads any more
      close();
    }
  }
}

/** At most so much of a body as we keep; the rest is not read. */
function readStart(body: Readable): Promise<string> {
  return new Promise((resolve, reject) => {
    const pieces: Buffer[] = [];
    let bytes = 0;
    const done = (): void => resolve(Buffer.concat(pieces).subarray(0, outputMaxBytes).toString('utf8'));
    body.on('data', (piece: Buffer) => {
      pieces.push(piece);
      bytes += piece.length;
      if (bytes >= outputMaxBytes) {
        body.pause(); // the caller ends the connection
        done();
      }
    });
    body.once('end', done);
    body.once('error', reject);
    body.once('close', () => reject(new Error('aborted'))); // nothing any more after an end
  });
}
