/** The doors for probes and scrapers, where CoreDNS has them: health, readiness, metrics. */
import { type RequestListener, type Server, createServer } from 'node:http';
import { aborted } from '../../base/run-together.ts';

export interface HttpDoor {
  name: string;
  host: string;
  port: number;
  answer: RequestListener;
  onListening?: ((port: number) => void) | undefined;
}

/** Enough for probes and scrapers, and little for those who hold connections. */
const connectionsMax = 64;
const requestTimeoutMs = 10_000;
const plain = { 'Content-Type': 'text/plain; charset=utf-8', 'X-Content-Type-Options': 'nosniff' };

/** Serves until `signal` aborts. @throws {Error} when it cannot listen */
export async function serveHttpDoor(door: HttpDoor, signal: AbortSignal): Promise<void> {
  const server = await listen(door);
  const address = server.address();
  door.onListening?.(typeof address === 'object' && address !== null ? address.port : 0);
  await aborted(signal);
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
}

/** Alive is who answers. */
export function answerHealth(): RequestListener {
  return onPath('/health', (_, response) => response.writeHead(200, plain).end('OK'));
}

/** @param whatLacks what is waited for; '' when nothing is */
export function answerReady(whatLacks: () => string): RequestListener {
  return onPath('/ready', (_, response) => {
    const lacks = whatLacks();
    response.writeHead(lacks === '' ? 200 : 503, plain).end(lacks === '' ? 'OK' : lacks);
  });
}

export function answerMetrics(metrics: { contentType: string; text: () => Promise<string> }): RequestListener {
  return onPath('/metrics', (_, response) => {
    metrics.text().then(
      (text) => response.writeHead(200, { 'Content-Type': metrics.contentType }).end(text),
      () => response.writeHead(500, plain).end('cannot collect metrics'),
    );
  });
}

function onPath(path: string, answer: RequestListener): RequestListener {
  return (request, response) => {
    if (request.url?.split('?', 1)[0] === path) answer(request, response);
    else response.writeHead(404, plain).end('404 page not found\n');
  };
}

function listen({ name, host, port, answer }: HttpDoor): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer({ requestTimeout: requestTimeoutMs, headersTimeout: requestTimeoutMs }, answer);
    server.maxConnections = connectionsMax;
    const fail = (cause: Error): void => reject(new Error(`Cannot serve ${name} on "${host}" port ${port}`, { cause }));
    server.once('error', fail);
    server.listen({ host, port }, () => {
      server.off('error', fail);
      server.on('error', () => {}); // after this only single connections can fail
      resolve(server);
    });
  });
}
