/**
 * Answers `gantry why` on this node: plain HTTP over a Unix socket that only its owner can reach, in a directory of its
 * own. Needs no API server, and no certificate.
 */
import { chmod, rm } from 'node:fs/promises';
import { type IncomingMessage, type ServerResponse, createServer } from 'node:http';
import type { Clock } from '../../../base/clock.ts';
import { describeError } from '../../../base/errors.ts';
import type { Logger } from '../../../base/logger.ts';
import { aborted } from '../../../base/run-together.ts';
import type { WhyAnswer } from './why-answer.ts';

export interface WantedPod {
  namespace: string;
  name: string;
  /** Of several that had the name. */
  uid: string | undefined;
}

interface WhyDoorNeed {
  /** The socket; its directory is there, and closed to others. */
  path: string;
  answer(wanted: WantedPod, signal: AbortSignal): Promise<WhyAnswer>;
  clock: Clock;
  log: Logger;
}

const connectionsMax = 16;
const requestMaxMs = 5000;
const retryMs = 30_000;
/** What a Unix address holds. */
const pathMaxBytes = 107;

export class WhyDoor {
  readonly #need: WhyDoorNeed;

  constructor(need: WhyDoorNeed) {
    this.#need = need;
  }

  /** Serves until `signal` aborts. A socket that cannot be had is no reason to stop: the file tells the rest. */
  async run(signal: AbortSignal): Promise<void> {
    const { path, clock, log } = this.#need;
    if (Buffer.byteLength(path) > pathMaxBytes) {
      log.warn({ path, pathMaxBytes }, 'the path is too long for a socket: `gantry why` can only read the file');
      await aborted(signal);
      return;
    }
    while (!signal.aborted) {
      try {
        await this.#serve(signal);
      } catch (err) {
        log.warn({ path, reason: describeError(err), retryMs }, 'cannot answer `gantry why` on its socket, will retry');
        await clock.sleep(retryMs, signal);
      }
    }
  }

  async #serve(signal: AbortSignal): Promise<void> {
    const { path } = this.#need;
    const server = createServer(
      { requestTimeout: requestMaxMs, headersTimeout: requestMaxMs, maxHeaderSize: 16 * 1024 },
      (request, response) => void this.#answer(request, response, signal),
    );
    server.maxConnections = connectionsMax;
    await rm(path, { force: true }); // of a kubelet before
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(path, resolve);
    });
    await chmod(path, 0o600);
    const closed = new Promise<void>((resolve) => server.once('close', resolve));
    await aborted(signal);
    server.close();
    server.closeAllConnections();
    await closed;
  }

  /** Never rejects. */
  async #answer(request: IncomingMessage, response: ServerResponse, signal: AbortSignal): Promise<void> {
    request.resume();
    const send = (status: number, body: object): void => {
      const text = JSON.stringify(body);
      response.writeHead(status, {
        'Content-Type': 'application/json',
        'Content-Length': Buffer.byteLength(text),
        Connection: 'close',
      });
      response.end(text);
    };
    const wanted = parseWhyPath(request.url ?? '');
    if (request.method !== 'GET') send(405, { error: 'only GET is served here' });
    else if (wanted === undefined) send(404, { error: 'expected /why/pod/NAMESPACE/NAME' });
    else {
      try {
        send(200, await this.#need.answer(wanted, signal));
      } catch (err) {
        this.#need.log.warn({ ...wanted, reason: describeError(err) }, 'cannot say why a pod is as it is');
        send(500, { error: describeError(err) });
      }
    }
  }
}

export const whyPath = (namespace: string, name: string, uid: string | undefined): string =>
  `/why/pod/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}${uid === undefined ? '' : `?uid=${encodeURIComponent(uid)}`}`;

function parseWhyPath(url: string): WantedPod | undefined {
  const [path = '', query = ''] = url.split('?', 2);
  const [empty, why, pod, namespace, name, ...rest] = path.split('/');
  if (empty !== '' || why !== 'why' || pod !== 'pod' || !namespace || !name || rest.length > 0) return undefined;
  try {
    return {
      namespace: decodeURIComponent(namespace),
      name: decodeURIComponent(name),
      uid: new URLSearchParams(query).get('uid') ?? undefined,
    };
  } catch {
    return undefined; // a percent sign that encodes nothing
  }
}
