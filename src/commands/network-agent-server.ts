/** The network agent's door for probes and scrapers: health and metrics of all that it runs, on plain HTTP. */
import { type ServerResponse, createServer } from 'node:http';
import { describeError } from '../base/errors.ts';
import { aborted } from '../base/run-together.ts';

/** A product as the door sees it. */
export interface Served {
  name: string;
  /** What is wrong now, in words; undefined while nobody knows yet. */
  problems: () => readonly string[] | undefined;
  /** In Prometheus' text form; names of products differ. */
  metrics: () => Promise<string>;
}

const plain = { 'Content-Type': 'text/plain; charset=utf-8', 'X-Content-Type-Options': 'nosniff' };
const connectionsMax = 64;
const requestTimeoutMs = 10_000;

/** `/livez` tells that the process answers, `/healthz` and `/readyz` what is wrong, `/metrics` figures. Until `signal` aborts. */
export async function serveNetworkAgent(
  { host, port }: { host: string; port: number },
  served: readonly Served[],
  signal: AbortSignal,
): Promise<void> {
  const server = createServer(
    { requestTimeout: requestTimeoutMs, headersTimeout: requestTimeoutMs },
    (request, response) => {
      void answer(request.url?.split('?', 1)[0] ?? '/', served, response);
    },
  );
  server.maxConnections = connectionsMax;
  await new Promise<void>((resolve, reject) => {
    // on, not once: a later error must find a listener, or it ends the process
    server.on('error', (err) => reject(new Error(`Cannot serve health on "${host}:${port}"`, { cause: err })));
    server.listen({ host, port }, resolve);
  });
  await aborted(signal);
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
}

async function answer(path: string, served: readonly Served[], response: ServerResponse): Promise<void> {
  switch (path) {
    case '/livez':
      response.writeHead(200, plain).end('ok');
      return;
    case '/healthz':
    case '/readyz': {
      const told = served.map(({ name, problems }) => ({ name, problems: problems() }));
      const isWell = told.every(({ problems }) => problems?.length === 0);
      const lines = told.flatMap(({ name, problems }) => {
        if (problems === undefined) return [`[-] ${name}: not synced yet`];
        return problems.length === 0 ? [`[+] ${name}: ok`] : problems.map((problem) => `[-] ${name}: ${problem}`);
      });
      response.writeHead(isWell ? 200 : 503, plain).end(isWell ? 'ok' : `${lines.join('\n')}\n`);
      return;
    }
    case '/metrics':
      try {
        const texts = await Promise.all(served.map(({ metrics }) => metrics()));
        response
          .writeHead(200, { ...plain, 'Content-Type': 'text/plain; version=0.0.4; charset=utf-8' })
          .end(texts.join('\n'));
      } catch (err) {
        response.writeHead(500, plain).end(`cannot collect metrics: ${describeError(err)}\n`);
      }
      return;
    default:
      response.writeHead(404, plain).end('404 page not found\n');
  }
}
