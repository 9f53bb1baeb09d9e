/**
 * What probes ask, as a process of its own inside a node: `probe-server-process.ts DIRECTORY`. HTTP, HTTPS with a
 * certificate that nobody knows, gRPC with and without the health protocol. Each request is a line of `requests.log`.
 */
import { appendFileSync, existsSync, writeFileSync } from 'node:fs';
import { type IncomingMessage, type ServerResponse, createServer } from 'node:http';
import { type Http2ServerRequest, type Http2ServerResponse, createSecureServer } from 'node:http2';
import { join } from 'node:path';
import { createAuthority } from '../../../src/bootstrap/certificates.ts';
import {
  GrpcServer,
  ServerCredentials,
  type ServerUnaryCall,
  grpcStatus,
  loadService,
  type sendUnaryData,
} from '../../../src/base/grpc.ts';
import { type ProbedRequest, probePorts } from './probe-ports.ts';

const directory = process.argv[2] ?? '';
const note = (request: ProbedRequest): void =>
  appendFileSync(join(directory, 'requests.log'), `${JSON.stringify(request)}\n`);

function answer(request: IncomingMessage | Http2ServerRequest, to: ServerResponse | Http2ServerResponse): void {
  const { url = '', headers, httpVersion } = request;
  const raw = request.rawHeaders;
  note({
    path: url,
    version: httpVersion,
    host: headers.host ?? request.headers[':authority']?.toString() ?? '',
    agent: headers['user-agent'] ?? '',
    accept: headers.accept ?? '',
    asked: raw.filter((_, place) => place % 2 === 1 && raw[place - 1]?.toLowerCase() === 'x-asked').join('|'),
  });
  const say = (status: number, body: string, more: Record<string, string> = {}): void => {
    to.statusCode = status;
    for (const [name, value] of Object.entries(more)) to.setHeader(name, value);
    to.end(body);
  };
  const { pathname } = new URL(url, 'http://here');
  switch (pathname) {
    case '/503':
      return say(503, 'a body that nobody is shown');
    case '/flip':
      return existsSync(join(directory, 'flipped')) ? say(200, 'yes') : say(500, 'not yet');
    case '/same':
      return say(302, 'go on', { location: '/ok?from=same' });
    case '/away':
      return say(302, 'gone elsewhere', { location: 'http://elsewhere.test/ok?from=away' });
    case '/never':
      return;
    default:
      return say(200, 'fine');
  }
}

function startGrpc(port: number, server: GrpcServer): Promise<void> {
  return new Promise((resolve, reject) => {
    server.bindAsync(`0.0.0.0:${port}`, ServerCredentials.createInsecure(), (err) => {
      if (err === null) resolve();
      else reject(err);
    });
  });
}

const healthy = new GrpcServer();
healthy.addService(loadService('grpc-health-v1.proto', 'grpc.health.v1.Health').service, {
  Check: (
    { request: { service }, metadata }: ServerUnaryCall<{ service: string }, { status: string }>,
    done: sendUnaryData<{ status: string }>,
  ) => {
    const agent = String(metadata.get('user-agent')[0]);
    note({ path: `grpc:${service}`, version: '2.0', host: '', agent, accept: '', asked: '' });
    if (service === 'ill') done(null, { status: 'NOT_SERVING' });
    else if (service === 'unknown') done({ code: grpcStatus.NOT_FOUND, details: 'unknown service' });
    else done(null, { status: 'SERVING' });
  },
});
const { certPem: cert, keyPem: key } = await createAuthority('nobody-knows-me', Date.now());
createServer(answer).listen(probePorts.http, '0.0.0.0');
createSecureServer({ cert, key, allowHTTP1: true }, answer).listen(probePorts.https, '0.0.0.0');
await startGrpc(probePorts.grpc, healthy);
await startGrpc(probePorts.bareGrpc, new GrpcServer());
writeFileSync(join(directory, 'ready'), '');
