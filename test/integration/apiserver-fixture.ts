/** An API server for tests, on a given store, with a generated PKI and an administrator's client. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import https from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startApiServer } from '../../src/apiserver/apiserver.ts';
import type { Storage } from '../../src/apiserver/storage/storage.ts';
import { systemClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/logger.ts';
import { type Pki, createPki, users } from '../../src/bootstrap/pki.ts';

export interface Answer {
  code: number;
  headers: Record<string, string | string[] | undefined>;
  body: Record<string, unknown> & { metadata: Record<string, unknown> };
  text: string;
}

export interface CallOptions {
  body?: unknown;
  contentType?: string;
  accept?: string;
  /** Instead of the administrator's certificate. */
  token?: string;
  isAnonymous?: boolean;
}

export interface TestServer {
  url: string;
  directory: string;
  pki: Pki;
  call: (method: string, path: string, options?: CallOptions) => Promise<Answer>;
  /** The lines of a watch as they come; ends with `signal`. */
  watch: (path: string, signal: AbortSignal) => AsyncGenerator<{ type: string; object: Answer['body'] }>;
  stop: () => Promise<void>;
}

export interface TestServerOptions {
  enabledVersions?: readonly string[];
  /** Addresses under which clients reach it beside the loopback one. */
  otherIps?: readonly string[];
}

export async function startTestServer(
  storage: Storage,
  { enabledVersions = [], otherIps = [] }: TestServerOptions = {},
): Promise<TestServer> {
  const directory = await mkdtemp(join(tmpdir(), 'gantry-apiserver-'));
  const pki = await createPki({
    dir: join(directory, 'pki'),
    apiServerNames: ['localhost'],
    apiServerIps: ['127.0.0.1', '10.96.0.1', ...otherIps],
    nowMs: Date.now(),
  });
  const { files } = pki;
  const stop = new AbortController();
  const server = await startApiServer(
    {
      storage,
      etcdPrefix: '/registry',
      enabledVersions: new Set(enabledVersions),
      bindAddress: '127.0.0.1',
      securePort: 0,
      advertiseAddress: '127.0.0.1',
      tlsCertFile: files.apiserverCert,
      tlsPrivateKeyFile: files.apiserverKey,
      clientCaFile: files.caCert,
      serviceAccountKeyFiles: [files.serviceAccountPublicKey],
      serviceAccountSigningKeyFile: files.serviceAccountKey,
      serviceAccountIssuers: ['https://kubernetes.default.svc.cluster.local'],
      apiAudiences: [],
      serviceClusterIpRange: '10.96.0.0/16',
      serviceNodePortRange: { first: 30_000, last: 32_767 },
      kubeletClientCertificate: files.apiserverKubeletClientCert,
      kubeletClientKey: files.apiserverKubeletClientKey,
      kubeletCertificateAuthority: undefined,
      clock: systemClock,
      log: silentLogger,
    },
    stop.signal,
  );
  const admin = await pki.issueClient(users.admin);
  const ca = await readFile(files.caCert);
  const agent = new https.Agent({ keepAlive: true, maxSockets: 64, ca, cert: admin.certPem, key: admin.keyPem });
  const anonymous = new https.Agent({ ca });

  const open = (method: string, path: string, options: CallOptions): Promise<IncomingMessage> =>
    new Promise((resolve, reject) => {
      const { body, contentType, accept, token, isAnonymous } = options;
      const payload = body === undefined ? undefined : Buffer.isBuffer(body) ? body : JSON.stringify(body);
      const headers: Record<string, string> = {};
      if (payload !== undefined) {
        headers['content-type'] = contentType ?? 'application/json';
        headers['content-length'] = String(Buffer.byteLength(payload));
      }
      if (accept !== undefined) headers['accept'] = accept;
      if (token !== undefined) headers['authorization'] = `Bearer ${token}`;
      const isPlain = token !== undefined || isAnonymous === true;
      const request = https.request(`${server.url}${path}`, { method, headers, agent: isPlain ? anonymous : agent });
      request.once('response', resolve);
      request.once('error', reject);
      request.end(payload);
    });

  return {
    url: server.url,
    directory,
    pki,
    call: async (method, path, options = {}) => {
      const response = await open(method, path, options);
      let text = '';
      for await (const chunk of response) text += String(chunk);
      const isJson = String(response.headers['content-type']).startsWith('application/json');
      return { code: response.statusCode ?? 0, headers: response.headers, text, body: isJson ? JSON.parse(text) : {} };
    },
    watch: async function* (path, signal) {
      const response = await open('GET', path, {});
      signal.addEventListener('abort', () => response.destroy(), { once: true });
      let rest = '';
      try {
        for await (const chunk of response) {
          rest += String(chunk);
          const lines = rest.split('\n');
          rest = lines.pop() ?? '';
          for (const line of lines) yield JSON.parse(line);
        }
      } catch (err) {
        if (!signal.aborted) throw err;
      }
    },
    stop: async () => {
      stop.abort();
      agent.destroy();
      anonymous.destroy();
      await server.done;
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** The smallest pod that is valid. */
export function podNamed(name: string, more: object = {}): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name },
    spec: { containers: [{ name: 'c', image: 'localhost/x:1' }], ...more },
  };
}
