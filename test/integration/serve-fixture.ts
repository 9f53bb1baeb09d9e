/** A kubelet server with a CA of its own, one pod, and a streaming server that speaks plain bytes after its 101. */
import { webcrypto } from 'node:crypto';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import type { IncomingHttpHeaders } from 'node:http';
import { request } from 'node:https';
import { type AddressInfo, type Server, type Socket, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TLSSocket, connect as tlsConnect } from 'node:tls';
import { systemClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/logger.ts';
import { loadX509 } from '../../src/bootstrap/x509.ts';
import { type Changing, type KeyPair, KubeletServer, type ServeNeed } from '../../src/kubelet/serve/serve.ts';
import { ContainerLogs } from '../../src/kubelet/support/logs/logs.ts';
import type { Pod } from '../../src/objects/generated/core-v1.ts';

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

export interface TestCa {
  pem: string;
  /** A pair signed by this CA; `subject` as `CN=x,O=y`. */
  issue(subject: string, host?: string, validToMs?: number): Promise<KeyPair>;
}

export async function makeCa(name: string): Promise<TestCa> {
  const x509 = await loadX509();
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const ca = await x509.X509CertificateGenerator.createSelfSigned(
    {
      name: `CN=${name}`,
      keys,
      signingAlgorithm: algorithm,
      notBefore: new Date(Date.now() - 7_200_000),
      notAfter: new Date(Date.now() + 86_400_000),
      extensions: [new x509.BasicConstraintsExtension(true, undefined, true)],
    },
    webcrypto,
  );
  return {
    pem: ca.toString('pem'),
    issue: async (subject, host, validToMs = Date.now() + 86_400_000) => {
      const leafKeys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
      const leaf = await x509.X509CertificateGenerator.create(
        {
          subject,
          issuer: ca.subject,
          publicKey: leafKeys.publicKey,
          signingKey: keys.privateKey,
          signingAlgorithm: algorithm,
          notBefore: new Date(Date.now() - 7_200_000),
          notAfter: new Date(validToMs),
          extensions:
            host === undefined ? [] : [new x509.SubjectAlternativeNameExtension([{ type: 'ip', value: host }])],
        },
        webcrypto,
      );
      const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', leafKeys.privateKey)).toString('base64');
      return {
        cert: leaf.toString('pem'),
        key: `-----BEGIN PRIVATE KEY-----\n${pkcs8}\n-----END PRIVATE KEY-----\n`,
      };
    },
  };
}

/** A value that a test may change. */
export class Changeable<T> implements Changing<T> {
  #value: T | undefined;
  readonly #listeners = new Set<() => void>();
  constructor(value: T | undefined) {
    this.#value = value;
  }
  current(): T | undefined {
    return this.#value;
  }
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
  set(value: T): void {
    this.#value = value;
    for (const listener of this.#listeners) listener();
  }
}

/** The runtime's streaming server: keeps the heads that it got, and lets a test act on each connection. */
export class FakeStreaming {
  readonly heads: string[] = [];
  onStream: (socket: Socket, rest: Buffer) => void = (socket) => socket.pipe(socket);
  reply =
    'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n';
  readonly #sockets = new Set<Socket>();
  readonly #server: Server = createServer({ allowHalfOpen: true }, (socket) => this.#accept(socket));

  async start(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
  }

  get open(): number {
    return this.#sockets.size;
  }

  url(path: string): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}${path}`;
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => {});
    let got = Buffer.alloc(0);
    const onData = (data: Buffer): void => {
      got = Buffer.concat([got, data]);
      const end = got.indexOf('\r\n\r\n');
      if (end < 0) return;
      socket.off('data', onData);
      this.heads.push(got.toString('latin1', 0, end));
      socket.write(this.reply);
      if (this.reply.startsWith('HTTP/1.1 101')) this.onStream(socket, got.subarray(end + 4));
    };
    socket.on('data', onData);
  }
}

export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  body: string;
}

export interface ClientOptions {
  method?: string;
  headers?: Record<string, string>;
  /** Undefined: no client certificate. */
  client?: KeyPair | undefined;
}

export class ServeWorld {
  readonly streaming = new FakeStreaming();
  readonly stop = new AbortController();
  readonly reviewedTokens: string[] = [];
  readonly reviewedAccess: string[] = [];
  /** `verb subresource` that are allowed, for everybody. */
  allowed: (user: string, what: string) => boolean = () => true;
  readonly criCalls: unknown[] = [];
  criFailure: Error | undefined;
  containerState: 'running' | 'exited' = 'running';
  readonly folder: string;
  readonly logPath: string;
  readonly serverCa: TestCa;
  readonly clientCa: TestCa;
  readonly clientCaFile: Changeable<string>;
  readonly servingCertificate: Changeable<KeyPair>;
  readonly pod: Pod;
  server: KubeletServer;
  run: Promise<void>;
  port = 0;

  constructor(folder: string, serverCa: TestCa, clientCa: TestCa, pair: KeyPair, more: Partial<ServeNeed>) {
    this.folder = folder;
    this.logPath = join(folder, 'pods', 'web', '0.log');
    this.serverCa = serverCa;
    this.clientCa = clientCa;
    this.clientCaFile = new Changeable(clientCa.pem);
    this.servingCertificate = new Changeable(pair);
    this.pod = {
      metadata: { name: 'web', namespace: 'shop', uid: 'uid-1' },
      spec: { containers: [{ name: 'app', image: 'app:1', tty: true }] },
      status: {
        phase: 'Running',
        containerStatuses: [
          {
            name: 'app',
            image: 'app:1',
            imageID: '',
            ready: true,
            restartCount: 0,
            containerID: 'containerd://c1',
            state: { running: {} },
          },
        ],
      },
    };
    this.server = new KubeletServer({ ...this.#need(), ...more });
    this.run = Promise.resolve();
  }

  static async start(more: Partial<ServeNeed> = {}): Promise<ServeWorld> {
    const folder = await mkdtemp(join(tmpdir(), 'serve-'));
    await mkdir(join(folder, 'pods', 'web'), { recursive: true });
    const [serverCa, clientCa] = await Promise.all([makeCa('server-ca'), makeCa('client-ca')]);
    const world = new ServeWorld(folder, serverCa, clientCa, await serverCa.issue('CN=node', '127.0.0.1'), more);
    await world.streaming.start();
    world.run = world.server.run(world.stop.signal);
    world.port = await world.server.port();
    return world;
  }

  async end(): Promise<void> {
    this.stop.abort();
    await this.run;
    await this.streaming.stop();
    await rm(this.folder, { recursive: true });
  }

  #need(): ServeNeed {
    const called = (...call: unknown[]): Promise<string> => {
      this.criCalls.push(call);
      return this.criFailure === undefined
        ? Promise.resolve(this.streaming.url(`/${String(call[0])}/token`))
        : Promise.reject(this.criFailure);
    };
    const logs = new ContainerLogs({
      logsDirectory: join(this.folder, 'pods'),
      rotation: { maxSizeBytes: -1, maxFiles: 5, workersMax: 1, periodMs: 10_000 },
      runningContainers: () => Promise.resolve([]),
      reopen: () => Promise.resolve(),
      clock: systemClock,
      log: silentLogger,
    });
    return {
      address: '127.0.0.1',
      port: 0,
      nodeName: 'node-a',
      tls: { servingCertificate: this.servingCertificate, minVersion: 'TLSv1.2', ciphers: undefined },
      authentication: {
        isAnonymousAllowed: false,
        clientCa: this.clientCaFile,
        webhook: {
          cacheTtlMs: 120_000,
          reviewToken: (token) => {
            this.reviewedTokens.push(token);
            return Promise.resolve(token === 'good' ? { username: 'alice', groups: ['dev'] } : undefined);
          },
        },
      },
      authorization: {
        mode: 'Webhook',
        authorizedTtlMs: 300_000,
        unauthorizedTtlMs: 30_000,
        reviewAccess: ({ user, groups, resourceAttributes: a }) => {
          const what = `${a?.verb} ${a?.resource}/${a?.subresource} ${a?.name}`;
          this.reviewedAccess.push(`${user} [${groups?.join(' ')}] ${what}`);
          return Promise.resolve(this.allowed(user ?? '', what));
        },
      },
      hasDebuggingHandlers: true,
      pods: () => [this.pod],
      podByName: (namespace, name) => (namespace === 'shop' && name === 'web' ? this.pod : undefined),
      runningContainerId: (uid, container) => (uid === 'uid-1' && container === 'app' ? 'c1' : undefined),
      sandboxId: (uid) => (uid === 'uid-1' ? 's1' : undefined),
      runningPods: () =>
        Promise.resolve([
          { uid: 'uid-1', name: 'web', namespace: 'shop', containers: [{ name: 'app', image: 'app:1' }] },
        ]),
      cri: {
        execUrl: (r) => called('exec', r),
        attachUrl: (r) => called('attach', r),
        portForwardUrl: (sandboxId, ports) => called('portforward', sandboxId, ports),
        execSync: (id, command) => {
          this.criCalls.push(['execSync', id, command]);
          return Promise.resolve({ exitCode: 0, stdout: Buffer.from('out\n'), stderr: Buffer.from('err\n') });
        },
        containerStatus: (id) =>
          Promise.resolve({
            id,
            name: 'app',
            attempt: 0,
            state: this.containerState,
            createdAtNs: 0n,
            startedAtNs: 0n,
            finishedAtNs: 0n,
            exitCode: 0,
            image: '',
            imageRef: '',
            imageId: '',
            reason: '',
            message: '',
            labels: {},
            annotations: {},
            mounts: [],
            logPath: this.logPath,
            resources: undefined,
            user: undefined,
            stopSignal: undefined,
          }),
      },
      readLog: (path, options, isRunning, signal) => logs.read(path, options, isRunning, signal),
      metricPages: new Map([['/metrics', () => Promise.resolve('up 1\n')]]),
      statsSummary: undefined,
      statusz: () => ({
        startedMs: Date.UTC(2026, 0, 2, 3, 4, 5),
        nowMs: Date.UTC(2026, 0, 2, 4, 6, 8),
        wakeUpsPerSecond: 12.34,
        cpuPercent: 0.5,
        residentBytes: 100 * 1024 * 1024,
        eventLoopDelayP99Ms: 1.5,
        fencedPods: [{ pod: 'shop/web', uid: 'uid-1', step: 'sandbox', ageSeconds: 40, limitSeconds: 30 }],
      }),
      configz: () => ({ kind: 'KubeletConfiguration', maxPods: 110 }),
      healthChecks: [{ name: 'syncloop', check: () => Promise.resolve() }],
      clock: systemClock,
      log: silentLogger,
    };
  }

  fetch(path: string, { method = 'GET', headers = {}, client }: ClientOptions = {}): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const sent = request(
        {
          host: '127.0.0.1',
          port: this.port,
          path,
          method,
          headers,
          agent: false,
          ca: this.serverCa.pem,
          ...(client === undefined ? {} : { cert: client.cert, key: client.key }),
        },
        (answer) => {
          const pieces: Buffer[] = [];
          answer.on('data', (piece: Buffer) => pieces.push(piece));
          answer.on('end', () =>
            resolve({
              status: answer.statusCode ?? 0,
              headers: answer.headers,
              body: Buffer.concat(pieces).toString(),
            }),
          );
          answer.on('error', reject);
        },
      );
      sent.on('error', reject);
      sent.end();
    });
  }

  /** A connection with an upgrade request sent on it. */
  async upgrade(path: string, client: KeyPair, { method = 'POST', protocol = 'SPDY/3.1' } = {}): Promise<TestStream> {
    const options = {
      host: '127.0.0.1',
      port: this.port,
      ca: this.serverCa.pem,
      cert: client.cert,
      key: client.key,
      allowHalfOpen: true,
    };
    const socket = tlsConnect(options);
    await new Promise<void>((resolve, reject) => {
      socket.once('secureConnect', resolve);
      socket.once('error', reject);
    });
    socket.write(
      `${method} ${path} HTTP/1.1\r\nHost: node\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n` +
        `X-Stream-Protocol-Version: v4.channel.k8s.io\r\nAuthorization: Bearer secret\r\nContent-Length: 0\r\n\r\n`,
    );
    return new TestStream(socket);
  }
}

export class TestStream {
  readonly socket: TLSSocket;
  text = '';
  hasEnded = false;
  isClosed = false;
  constructor(socket: TLSSocket) {
    this.socket = socket;
    socket.on('data', (data: Buffer) => (this.text += data.toString('latin1')));
    socket.on('end', () => (this.hasEnded = true));
    socket.on('close', () => (this.isClosed = true));
    socket.on('error', () => {});
  }
}
