/** A small API-like server for the client's tests: TLS with HTTP/2, HTTP/1.1 or both, and a handler per test. */
import http2 from 'node:http2';
import https from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import net, { type AddressInfo, type Socket } from 'node:net';
import { loadX509 } from '../../src/bootstrap/x509.ts';

export interface TestServer {
  url: string;
  port: number;
  caPem: string;
  /** Protocol versions of the requests seen, e.g. `2.0`. */
  versions: string[];
  connections: number;
  /** Breaks every open connection without a word. */
  dropConnections: () => void;
  close: () => Promise<void>;
}

export type Handler = (request: IncomingMessage | http2.Http2ServerRequest, response: ServerResponse) => void;

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

export async function makeCertificate(name: string): Promise<{ certPem: string; keyPem: string }> {
  const x509 = await loadX509();
  const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: '01',
    name: `CN=${name}`,
    notBefore: new Date(Date.now() - 3_600_000),
    notAfter: new Date(Date.now() + 86_400_000),
    signingAlgorithm: algorithm,
    keys,
    extensions: [
      new x509.SubjectAlternativeNameExtension([
        { type: 'ip', value: '127.0.0.1' },
        { type: 'dns', value: 'api.test' },
      ]),
      new x509.BasicConstraintsExtension(true, undefined, true),
    ],
  });
  const pkcs8 = await crypto.subtle.exportKey('pkcs8', keys.privateKey);
  return {
    certPem: certificate.toString('pem'),
    keyPem: x509.PemConverter.encode(pkcs8, 'PRIVATE KEY'),
  };
}

export async function startTestServer(
  handler: Handler,
  {
    protocol = 'both',
    port = 0,
    identity,
    clientCa,
  }: {
    protocol?: 'both' | 'h1';
    port?: number;
    identity?: { certPem: string; keyPem: string };
    clientCa?: string;
  } = {},
): Promise<TestServer> {
  const { certPem, keyPem } = identity ?? (await makeCertificate('test server'));
  const versions: string[] = [];
  const sockets = new Set<Socket>();
  const options = {
    cert: certPem,
    key: keyPem,
    ...(clientCa === undefined ? {} : { requestCert: true, rejectUnauthorized: true, ca: clientCa }),
  };
  const onRequest = (request: IncomingMessage | http2.Http2ServerRequest, response: unknown): void => {
    versions.push(request.httpVersion);
    handler(request, response as ServerResponse); // the compatibility API has the same methods
  };
  const server =
    protocol === 'h1'
      ? https.createServer(options, onRequest)
      : http2.createSecureServer({ ...options, allowHTTP1: true }, onRequest);
  const result: TestServer = {
    url: '',
    port: 0,
    caPem: certPem,
    versions,
    connections: 0,
    dropConnections: () => {
      for (const socket of sockets) socket.destroy();
    },
    close: async () => {
      result.dropConnections();
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
      });
    },
  };
  server.on('connection', (socket: Socket) => {
    result.connections++;
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    socket.on('error', () => {});
  });
  await new Promise<void>((resolve) => {
    server.listen(port, '127.0.0.1', () => resolve());
  });
  result.port = (server.address() as AddressInfo).port; // a listening TCP server has one
  result.url = `https://127.0.0.1:${result.port}`;
  return result;
}

export function sendJson(response: ServerResponse, status: number, body: unknown, headers = {}): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify(body));
}

/** A TCP relay to `targetPort` that can stop carrying bytes while its connections stay open. */
export async function startWire(
  targetPort: number,
): Promise<{ port: number; freeze: () => void; close: () => Promise<void> }> {
  const sockets = new Set<Socket>();
  const server = net.createServer((inner) => {
    const outer = net.connect(targetPort, '127.0.0.1');
    for (const [from, to] of [
      [inner, outer],
      [outer, inner],
    ] as const) {
      sockets.add(from);
      from.on('error', () => {});
      from.once('close', () => to.destroy());
      from.pipe(to);
    }
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve());
  });
  return {
    port: (server.address() as AddressInfo).port, // a listening TCP server has one
    freeze: () => {
      for (const socket of sockets) socket.unpipe();
    },
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
      });
    },
  };
}
