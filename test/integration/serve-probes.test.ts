/** Every kind of probe against real servers on loopback. */
import { type Server as HttpServer, createServer } from 'node:http';
import { type Http2SecureServer, createSecureServer } from 'node:http2';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, type Server as TcpServer, createServer as createTcpServer } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { GrpcServer, ServerCredentials, grpcStatus, loadService } from '../../src/base/grpc.ts';
import { silentLogger } from '../../src/base/logger.ts';
import { type ProbeEvent, Probes } from '../../src/kubelet/support/probes/probes.ts';
import type { Pod, PodStatus, Probe } from '../../src/objects/generated/core-v1.ts';
import { makeCa } from './serve-fixture.ts';

const host = '127.0.0.1';
const closers: Array<() => Promise<void>> = [];
let httpPort = 0;
let httpsPort = 0;
let http2Port = 0;
let silentPort = 0;
let grpcPort = 0;
let closedPort = 0;
let seenHeaders: Record<string, string | string[] | undefined> = {};

async function listen(server: HttpServer | Http2SecureServer | TcpServer): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  closers.push(
    () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        if ('closeAllConnections' in server) server.closeAllConnections();
      }),
  );
  return (server.address() as AddressInfo).port;
}

beforeAll(async () => {
  const http = createServer((request, response) => {
    seenHeaders = request.headers;
    const [path = ''] = (request.url ?? '').split('?');
    if (path === '/slow') return;
    if (path === '/drip') {
      response.writeHead(200);
      response.write('x'); // and never the end
      return;
    }
    if (path === '/hangup') {
      request.socket.destroy();
      return;
    }
    if (path === '/torn') {
      response.writeHead(200, { 'Content-Length': '100' });
      response.write('x', () => request.socket.destroy());
      return;
    }
    if (path === '/large') {
      response.end(Buffer.alloc(1024 * 1024, 'x'));
      return;
    }
    if (path === '/to-tls') response.setHeader('Location', `https://${host}:${httpsPort}/`);
    if (path === '/to-ok') response.setHeader('Location', '/200');
    if (path === '/to-other') response.setHeader('Location', 'http://other.invalid/');
    if (path === '/around') response.setHeader('Location', '/around');
    response.statusCode = path.startsWith('/to-') || path === '/around' ? 302 : Number(path.slice(1));
    response.end(`body of ${path}`);
  });
  httpPort = await listen(http);
  const pair = await (await makeCa('nobody-knows')).issue('CN=x');
  httpsPort = await listen(createTlsServer(pair, (_request, response) => response.end('secret')));
  const http2 = createSecureServer({ ...pair, allowHTTP1: false });
  const sessions = new Set<{ destroy(): void }>();
  http2.on('session', (session) => sessions.add(session));
  http2.on('stream', (stream, headers) => {
    seenHeaders = headers;
    const path = headers[':path'] ?? '';
    stream.on('error', () => {}); // a client that has seen enough
    if (path === '/slow') return;
    if (path === '/hangup') {
      stream.session?.destroy();
      return;
    }
    stream.respond({ ':status': Number(path.slice(1)) });
    stream.end(Buffer.alloc(200_000, 'x'));
  });
  http2Port = await listen(http2);
  closers.unshift(() => {
    for (const session of sessions) session.destroy();
    return Promise.resolve();
  });
  const silent = createTcpServer((socket) => socket.on('error', () => {}));
  silentPort = await listen(silent);
  const unused = createTcpServer();
  closedPort = await listen(unused);
  await closers.pop()?.();

  const grpc = new GrpcServer();
  const Health = loadService('grpc-health-v1.proto', 'grpc.health.v1.Health');
  grpc.addService(Health.service, {
    Check: (
      { request }: { request: { service: string } },
      done: (err: object | null, reply?: { status: string }) => void,
    ) => {
      if (request.service === '') done(null, { status: 'SERVING' });
      else if (request.service === 'sick') done(null, { status: 'NOT_SERVING' });
      else if (request.service === 'slow') return;
      else done({ code: grpcStatus.NOT_FOUND, details: 'unknown service' });
    },
  });
  grpcPort = await new Promise<number>((resolve, reject) => {
    grpc.bindAsync(`${host}:0`, ServerCredentials.createInsecure(), (err, port) =>
      err === null ? resolve(port) : reject(err),
    );
  });
  closers.push(() => {
    grpc.forceShutdown();
    return Promise.resolve();
  });
});
afterAll(async () => {
  for (const close of closers) await close();
});

/** One attempt of a liveness probe with threshold 1: its result, and the message of its event. */
async function probeOnce(
  spec: Probe,
): Promise<{ result: string | undefined; message: string | undefined; reason?: string }> {
  const pod: Pod = {
    metadata: { name: 'p', namespace: 'n', uid: 'u' },
    spec: {
      containers: [{ name: 'c', image: '', livenessProbe: { failureThreshold: 1, periodSeconds: 60, ...spec } }],
    },
  };
  const running = { startedAt: new Date().toISOString() };
  const status: PodStatus = {
    phase: 'Running',
    podIP: host,
    containerStatuses: [
      {
        name: 'c',
        image: '',
        imageID: '',
        ready: false,
        restartCount: 0,
        started: true,
        containerID: 'x://c1',
        state: { running },
      },
    ],
  };
  const events: ProbeEvent[] = [];
  let attempts = 0;
  const probes = new Probes({
    podStatus: () => status,
    execSync: () => Promise.reject(new Error('not asked')),
    onResult: () => {},
    event: (_pod, _path, event) => events.push(event),
    kubeletStartedMs: Date.now() - 3_600_000,
    clock: systemClock,
    log: silentLogger,
  });
  const stop = new AbortController();
  const run = probes.run(stop.signal);
  probes.addPod(pod);
  while (attempts++ < 400 && !/prober_probe_total\{/.test(await probes.metrics())) {
    await systemClock.sleep(10, stop.signal);
  }
  const [event] = events;
  const result = probes.liveness('c1');
  const outcome = { result, message: event?.message, ...(event === undefined ? {} : { reason: event.reason }) };
  stop.abort();
  await run;
  return outcome;
}

const httpGet = (path: string): Probe => ({ httpGet: { path, port: httpPort } });
const failed = (text: string): object => ({
  result: 'failure',
  reason: 'Unhealthy',
  message: `Liveness probe failed: ${text}`,
});
const good = { result: 'success', message: undefined };

describe('HTTP probes', () => {
  it.each(['/200', '/204', '/to-ok', '/to-tls', '/large'])('%s is good', async (path) => {
    expect(await probeOnce(httpGet(path))).toEqual(good);
  });

  it.each([400, 500])('%s is a failure, told without the body', async (status) => {
    expect(await probeOnce(httpGet(`/${status}`))).toEqual(failed(`HTTP probe failed with statuscode: ${status}`));
  });

  it('sends the headers of a probe, and closes', async () => {
    await probeOnce({
      httpGet: {
        path: '/200',
        port: httpPort,
        httpHeaders: [
          { name: 'Host', value: 'shop' },
          { name: 'X-A', value: '1' },
        ],
      },
    });
    expect(seenHeaders).toMatchObject({
      host: 'shop',
      'x-a': '1',
      'user-agent': 'kube-probe/1.36',
      accept: '*/*',
      connection: 'close',
    });
    expect(seenHeaders).not.toHaveProperty('accept-encoding');
  });

  it('a redirect to another host is a warning', async () => {
    expect(await probeOnce(httpGet('/to-other'))).toEqual({
      result: 'success',
      reason: 'ProbeWarning',
      message: 'Liveness probe warning: Probe terminated redirects, Response body: body of /to-other',
    });
  });

  it('redirects without end are a failure', async () => {
    expect(await probeOnce(httpGet('/around'))).toEqual(
      failed(`Get "http://${host}:${httpPort}/around": stopped after 10 redirects`),
    );
  });

  it('no answer in time is a failure', async () => {
    expect(await probeOnce(httpGet('/slow'))).toEqual(
      failed(
        `Get "http://${host}:${httpPort}/slow": context deadline exceeded (Client.Timeout exceeded while awaiting headers)`,
      ),
    );
  });

  it('half a body is an error: tried three times, then told, and no result', async () => {
    const outcome = await probeOnce(httpGet('/drip'));
    expect(outcome.result).toBe('success'); // liveness starts as that
    expect(outcome.message).toMatch(/^Liveness probe errored and resulted in failure state: context deadline exceeded/);
  });

  it('a body that breaks off is an error, too', async () => {
    const outcome = await probeOnce(httpGet('/torn'));
    expect(outcome.result).toBe('success');
    expect(outcome.message).toBe('Liveness probe errored and resulted in failure state: unexpected EOF');
  });

  it('nobody there, or a connection that is cut, is a failure', async () => {
    expect(await probeOnce({ httpGet: { port: closedPort } })).toEqual(
      failed(`Get "http://${host}:${closedPort}/": dial tcp ${host}:${closedPort}: connect: connection refused`),
    );
    expect(await probeOnce(httpGet('/hangup'))).toEqual(failed(`Get "http://${host}:${httpPort}/hangup": EOF`));
  });

  it('HTTPS takes any certificate', async () => {
    expect(await probeOnce({ httpGet: { port: httpsPort, scheme: 'HTTPS' } })).toEqual(good);
  });

  it('HTTPS of a server that speaks none is told as that', async () => {
    expect(await probeOnce({ httpGet: { port: httpPort, scheme: 'HTTPS' } })).toEqual(
      failed(`Get "https://${host}:${httpPort}/": http: server gave HTTP response to HTTPS client`),
    );
  });

  it('speaks HTTP/2 over TLS with a server that chooses it', async () => {
    const by2 = (path: string, httpHeaders: Array<{ name: string; value: string }> = []): Probe => ({
      httpGet: { path, port: http2Port, scheme: 'HTTPS', httpHeaders },
    });
    const headers = { Host: 'shop', 'X-A': '1', Connection: 'close' };
    const given = Object.entries(headers).map(([name, value]) => ({ name, value }));
    expect(await probeOnce(by2('/200', given))).toEqual(good);
    expect(seenHeaders).toMatchObject({ ':authority': 'shop', 'x-a': '1', 'user-agent': 'kube-probe/1.36' });
    expect(await probeOnce(by2('/503'))).toEqual(failed('HTTP probe failed with statuscode: 503'));
    expect(await probeOnce(by2('/hangup'))).toMatchObject({ result: 'failure', reason: 'Unhealthy' });
    expect(await probeOnce(by2('/slow'))).toEqual(
      failed(
        `Get "https://${host}:${http2Port}/slow": context deadline exceeded (Client.Timeout exceeded while awaiting headers)`,
      ),
    );
  });
});

describe('TCP probes', () => {
  it('an accepted connection is good', async () => {
    expect(await probeOnce({ tcpSocket: { port: silentPort } })).toEqual(good);
  });
  it('a refused one is a failure', async () => {
    expect(await probeOnce({ tcpSocket: { port: closedPort } })).toEqual(
      failed(`dial tcp ${host}:${closedPort}: connect: connection refused`),
    );
  });
});

describe('gRPC probes', () => {
  it.each([
    { name: 'SERVING', service: '', want: good },
    { name: 'NOT_SERVING', service: 'sick', want: failed('service unhealthy (responded with "NOT_SERVING")') },
    { name: 'no answer', service: 'slow', want: failed('timeout: health rpc did not complete within 1s') },
    {
      name: 'unknown service',
      service: 'x',
      want: failed('error: health rpc probe failed: rpc error: code = NotFound desc = unknown service'),
    },
  ])('$name', async ({ service, want }) => {
    expect(await probeOnce({ grpc: { port: grpcPort, service } })).toEqual(want);
  });

  it('nobody there', async () => {
    expect(await probeOnce({ grpc: { port: closedPort } })).toEqual(
      failed(`timeout: failed to connect service "${host}:${closedPort}" within 1s: context deadline exceeded`),
    );
  });

  it('a server without the health service', async () => {
    const bare = new GrpcServer();
    const port = await new Promise<number>((resolve, reject) => {
      bare.bindAsync(`${host}:0`, ServerCredentials.createInsecure(), (err, p) =>
        err === null ? resolve(p) : reject(err),
      );
    });
    expect((await probeOnce({ grpc: { port } })).message).toMatch(
      /^Liveness probe failed: error: this server does not implement the grpc health protocol \(grpc\.health\.v1\.Health\): /,
    );
    bare.forceShutdown();
  });
});
