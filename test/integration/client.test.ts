import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ServerResponse } from 'node:http';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { isConflict, isNotFound, isUnavailable } from '../../src/base/errors.ts';
import { silentLogger } from '../../src/base/logger.ts';
import { apiStatus } from '../../src/client/api-client.ts';
import { HttpApiClient, type HttpApiClientOptions } from '../../src/client/http-api-client.ts';
import { Informer } from '../../src/client/informer.ts';
import { type ServerAccess, loadKubeconfig } from '../../src/client/kubeconfig.ts';
import { configMaps, pods } from '../../src/client/resource-types.ts';
import type { ConfigMap } from '../../src/objects/generated/core-v1.ts';
import { type TestServer, makeCertificate, sendJson, startTestServer, startWire } from './client-server.ts';

const cleanups: Array<() => unknown> = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

function accessTo(server: TestServer, more: Partial<ServerAccess> = {}): ServerAccess {
  return {
    server: server.url,
    ca: { data: Buffer.from(server.caPem) },
    clientCertificate: undefined,
    token: undefined,
    tlsServerName: undefined,
    insecureSkipTlsVerify: false,
    namespace: 'default',
    ...more,
  };
}

function clientOf(access: ServerAccess, more: Partial<HttpApiClientOptions> = {}): HttpApiClient {
  const client = new HttpApiClient({ access, clock: systemClock, userAgentName: 'kubelet', ...more });
  cleanups.push(() => client.close());
  return client;
}

function lifetime(): AbortSignal {
  const stop = new AbortController();
  cleanups.push(() => stop.abort());
  return stop.signal;
}

const configMap = (name: string, resourceVersion: string, data = {}): ConfigMap => ({
  metadata: { name, namespace: 'default', uid: `uid-${name}`, resourceVersion },
  data,
});
const status = (code: number, reason: string, message: string) => ({ kind: 'Status', code, reason, message });

describe.each(['both', 'h1'] as const)('HttpApiClient on a server that speaks %s', (protocol) => {
  it('sends objects, user agent and token, and reads objects', async () => {
    const seen: Array<{ method: string | undefined; url: string | undefined; body: string; headers: object }> = [];
    const server = await startTestServer(
      (request, response) => {
        let body = '';
        request.on('data', (chunk: Buffer) => (body += chunk.toString()));
        request.on('end', () => {
          seen.push({ method: request.method, url: request.url, body, headers: request.headers });
          sendJson(response, 200, configMap('a', '5'));
        });
      },
      { protocol },
    );
    cleanups.push(() => server.close());
    const client = clientOf(accessTo(server, { token: { value: 'secret-token' } }));
    const signal = lifetime();
    await client.get(configMaps, { namespace: 'default', name: 'a' }, signal);
    await client.create(configMaps, configMap('a', ''), signal);
    await client.patch(configMaps, { namespace: 'default', name: 'a' }, 'strategic', { data: { x: 'y' } }, signal);
    await client.delete(configMaps, { namespace: 'default', name: 'a' }, { gracePeriodSeconds: 0 }, signal);
    await client.createSubresource(pods, { namespace: 'default', name: 'p' }, 'binding', { target: {} }, signal);
    expect(seen.map(({ method, url }) => `${method} ${url}`)).toEqual([
      'GET /api/v1/namespaces/default/configmaps/a',
      'POST /api/v1/namespaces/default/configmaps',
      'PATCH /api/v1/namespaces/default/configmaps/a',
      'DELETE /api/v1/namespaces/default/configmaps/a',
      'POST /api/v1/namespaces/default/pods/p/binding',
    ]);
    expect(seen[0]?.headers).toMatchObject({ authorization: 'Bearer secret-token' });
    expect(seen[0]?.headers).toMatchObject({
      'user-agent': expect.stringMatching(/^kubelet\/v1\.36\.0 \(linux\/(amd64|arm64)\) gantry\//),
    });
    expect(JSON.parse(seen[1]?.body ?? '')).toMatchObject({ apiVersion: 'v1', kind: 'ConfigMap' });
    expect(seen[2]?.headers).toMatchObject({ 'content-type': 'application/strategic-merge-patch+json' });
    expect(new Set(server.versions)).toEqual(new Set([protocol === 'h1' ? '1.1' : '2.0']));
    if (protocol === 'both') expect(server.connections).toBe(1);
  });

  it('turns answers into the kinds of error that callers act on', async () => {
    const server = await startTestServer(
      (request, response) => {
        const code = Number(request.url?.split('/').at(-1));
        sendJson(response, code, status(code, 'SomeReason', `it is ${code}`));
      },
      { protocol },
    );
    cleanups.push(() => server.close());
    const client = clientOf(accessTo(server));
    const get = (name: string) =>
      client.get(configMaps, { namespace: 'd', name }, lifetime()).then(
        () => undefined,
        (err: unknown) => err,
      );
    expect(isNotFound(await get('404'))).toBe(true);
    expect(isConflict(await get('409'))).toBe(true);
    expect(isUnavailable(await get('500'))).toBe(true);
    const invalid = await get('422');
    expect(isNotFound(invalid) || isConflict(invalid) || isUnavailable(invalid)).toBe(false);
    expect(apiStatus(invalid)).toMatchObject({ code: 422, reason: 'SomeReason', message: 'it is 422' });
  });

  it('waits as told by Retry-After when reading, and not when writing', async () => {
    let requests = 0;
    const server = await startTestServer(
      (_, response) => {
        requests++;
        if (requests < 3) sendJson(response, 429, status(429, 'TooManyRequests', 'slow down'), { 'retry-after': '0' });
        else sendJson(response, 200, configMap('a', '1'));
      },
      { protocol },
    );
    cleanups.push(() => server.close());
    const client = clientOf(accessTo(server));
    await client.get(configMaps, { namespace: 'd', name: 'a' }, lifetime());
    expect(requests).toBe(3);
    requests = 0;
    await expect(client.create(configMaps, configMap('a', ''), lifetime())).rejects.toSatisfy(isUnavailable);
    expect(requests).toBe(1);
  });

  it('ends a call when its signal aborts, and goes on with others', async () => {
    const server = await startTestServer(
      (request, response) => {
        if (request.url?.endsWith('/fast')) sendJson(response, 200, configMap('fast', '1'));
      },
      { protocol },
    );
    cleanups.push(() => server.close());
    const client = clientOf(accessTo(server));
    const stop = new AbortController();
    const slow = client.get(configMaps, { namespace: 'd', name: 'slow' }, stop.signal);
    await client.get(configMaps, { namespace: 'd', name: 'fast' }, lifetime());
    stop.abort(new Error('enough'));
    await expect(slow).rejects.toThrow('enough');
    await client.get(configMaps, { namespace: 'd', name: 'fast' }, lifetime());
  });

  it('times a silent request out', async () => {
    const server = await startTestServer(() => {}, { protocol });
    cleanups.push(() => server.close());
    const client = clientOf(accessTo(server), { requestTimeoutMs: 50 });
    await expect(client.get(configMaps, { namespace: 'd', name: 'a' }, lifetime())).rejects.toSatisfy(isUnavailable);
  });

  it('streams watch events, also when a line comes in pieces, and reports a dropped connection', async () => {
    const server = await startTestServer(
      (_, response) => {
        response.writeHead(200, { 'content-type': 'application/json' });
        const line = `${JSON.stringify({ type: 'ADDED', object: configMap('ä', '7') })}\n`;
        const bytes = Buffer.from(line);
        const cut = bytes.indexOf(0xc3) + 1; // inside a character
        response.write(bytes.subarray(0, cut));
        setImmediate(() => response.write(bytes.subarray(cut)));
      },
      { protocol },
    );
    cleanups.push(() => server.close());
    const client = clientOf(accessTo(server));
    const names: string[] = [];
    const watching = (async () => {
      for await (const event of client.watch(configMaps, { namespace: 'default', resourceVersion: '3' }, lifetime())) {
        if (event.type !== 'BOOKMARK') names.push(event.object.metadata.name);
        server.dropConnections();
      }
    })();
    await expect(watching).rejects.toSatisfy(isUnavailable);
    expect(names).toEqual(['ä']);
  });

  it('a large list arrives whole', async () => {
    const items = Array.from({ length: 3000 }, (_, i) =>
      configMap(`item-${i}`, String(i), { text: 'quotes " and brackets ]}, and \\ '.repeat(10), 'items": [': '[{' }),
    );
    const server = await startTestServer(
      (_, response) => sendJson(response, 200, { kind: 'ConfigMapList', metadata: { resourceVersion: '9' }, items }),
      { protocol },
    );
    cleanups.push(() => server.close());
    const list = await clientOf(accessTo(server)).list(configMaps, {}, lifetime());
    expect(list.items).toEqual(items);
    expect(list.metadata.resourceVersion).toBe('9');
  });
});

describe('HttpApiClient', () => {
  it('reconnects after the server was restarted', async () => {
    const identity = await makeCertificate('test server');
    const handler = (_: unknown, response: ServerResponse): void => sendJson(response, 200, configMap('a', '1'));
    let server = await startTestServer(handler, { identity });
    const client = clientOf(accessTo(server));
    const ref = { namespace: 'd', name: 'a' };
    await client.get(configMaps, ref, lifetime());
    await server.close();
    await expect(client.get(configMaps, ref, lifetime())).rejects.toSatisfy(isUnavailable);
    server = await startTestServer(handler, { identity, port: server.port });
    cleanups.push(() => server.close());
    await client.get(configMaps, ref, lifetime());
  });

  it('notices a peer that is silent on an open connection', async () => {
    let requests = 0;
    const server = await startTestServer((_, response) => {
      requests++;
      response.writeHead(200, { 'content-type': 'application/json' });
      response.write(`${JSON.stringify({ type: 'ADDED', object: configMap('a', '7') })}\n`);
    });
    cleanups.push(() => server.close());
    const wire = await startWire(server.port);
    cleanups.push(() => wire.close());
    const access = accessTo(server, { server: `https://127.0.0.1:${wire.port}` });
    const client = clientOf(access, { pingAfterMs: 100, pingTimeoutMs: 100 });
    const watching = (async () => {
      for await (const event of client.watch(configMaps, {}, lifetime())) if (event.type === 'ADDED') wire.freeze();
    })();
    await expect(watching).rejects.toSatisfy(isUnavailable);
    expect(requests).toBe(1);
  });

  it('uses a rotated client certificate for the next connection', async () => {
    const [first, second] = [await makeCertificate('first'), await makeCertificate('second')];
    const directory = await mkdtemp(join(tmpdir(), 'gantry-client-'));
    cleanups.push(() => rm(directory, { recursive: true }));
    await writeFile(join(directory, 'client.crt'), first.certPem);
    await writeFile(join(directory, 'client.key'), first.keyPem);
    const subjects: string[] = [];
    const server = await startTestServer(
      (request, response) => {
        const socket = request.socket as { getPeerCertificate?: () => { subject?: { CN?: string } } };
        subjects.push(socket.getPeerCertificate?.().subject?.CN ?? '');
        sendJson(response, 200, configMap('a', '1'));
      },
      { clientCa: `${first.certPem}\n${second.certPem}` },
    );
    cleanups.push(() => server.close());
    let nowMs = 0;
    const clock = { ...systemClock, monotonicMs: () => nowMs };
    const client = clientOf(
      accessTo(server, {
        clientCertificate: {
          cert: { file: join(directory, 'client.crt') },
          key: { file: join(directory, 'client.key') },
        },
      }),
      { clock },
    );
    const ref = { namespace: 'd', name: 'a' };
    await client.get(configMaps, ref, lifetime());
    await writeFile(join(directory, 'client.crt'), second.certPem);
    await writeFile(join(directory, 'client.key'), second.keyPem);
    nowMs += 20_000;
    await client.get(configMaps, ref, lifetime());
    expect(subjects).toEqual(['first', 'second']);
  });

  it('verifies the server: a foreign CA and a wrong name are refused, tls-server-name is honoured', async () => {
    const server = await startTestServer((_, response) => sendJson(response, 200, configMap('a', '1')));
    cleanups.push(() => server.close());
    const other = await makeCertificate('somebody else');
    const ref = { namespace: 'd', name: 'a' };
    const attempt = (more: Partial<ServerAccess>) => clientOf(accessTo(server, more)).get(configMaps, ref, lifetime());
    await expect(attempt({ ca: { data: Buffer.from(other.certPem) } })).rejects.toSatisfy(isUnavailable);
    await expect(attempt({ tlsServerName: 'other.test' })).rejects.toSatisfy(isUnavailable);
    await expect(attempt({ tlsServerName: 'api.test' })).resolves.toBeDefined();
    await expect(attempt({ ca: undefined, insecureSkipTlsVerify: true })).resolves.toBeDefined();
  });

  it('works from a kubeconfig file with a token file', async () => {
    let authorization: string | undefined;
    const server = await startTestServer((request, response) => {
      authorization = request.headers.authorization;
      sendJson(response, 200, configMap('a', '1'));
    });
    cleanups.push(() => server.close());
    const directory = await mkdtemp(join(tmpdir(), 'gantry-client-'));
    cleanups.push(() => rm(directory, { recursive: true }));
    await writeFile(join(directory, 'token'), 'from-file\n');
    const path = join(directory, 'kubeconfig');
    await writeFile(
      path,
      [
        'apiVersion: v1',
        'kind: Config',
        'current-context: main',
        'contexts: [{name: main, context: {cluster: c, user: u}}]',
        `clusters: [{name: c, cluster: {server: "${server.url}", certificate-authority-data: ${Buffer.from(server.caPem).toString('base64')}}}]`,
        'users: [{name: u, user: {tokenFile: token}}]',
      ].join('\n'),
    );
    await clientOf(await loadKubeconfig(path)).get(configMaps, { namespace: 'd', name: 'a' }, lifetime());
    expect(authorization).toBe('Bearer from-file');
  });
});

describe('Informer', () => {
  /** A collection of config maps that a test changes, with a log of events that watches start from. */
  function collection() {
    const objects = new Map<string, ConfigMap>();
    const log: Array<{ version: number; type: string; object: ConfigMap }> = [];
    const watches = new Set<(event: { type: string; object: ConfigMap }) => void>();
    let version = 10;
    let oldest = 0;
    const requests: string[] = [];
    return {
      requests,
      set(name: string, data: Record<string, string> = {}) {
        const type = objects.has(name) ? 'MODIFIED' : 'ADDED';
        const object = configMap(name, String(++version), data);
        objects.set(name, object);
        log.push({ version, type, object });
        for (const send of watches) send({ type, object });
      },
      remove(name: string) {
        const object = { ...configMap(name, String(++version)) };
        objects.delete(name);
        log.push({ version, type: 'DELETED', object });
        for (const send of watches) send({ type: 'DELETED', object });
      },
      /** Watches from before now are answered with 410. */
      compact() {
        oldest = ++version;
      },
      handle(request: { url?: string | undefined }, response: ServerResponse) {
        const url = new URL(request.url ?? '/', 'https://x');
        const from = url.searchParams.get('resourceVersion') ?? '';
        if (url.searchParams.get('watch') !== 'true') {
          requests.push(`list ${from}`);
          sendJson(response, 200, { metadata: { resourceVersion: String(version) }, items: [...objects.values()] });
          return;
        }
        requests.push('watch');
        response.writeHead(200, { 'content-type': 'application/json' });
        const send = (event: { type: string; object: unknown }): void => {
          response.write(`${JSON.stringify(event)}\n`);
        };
        if (Number(from) < oldest) {
          send({ type: 'ERROR', object: status(410, 'Expired', 'too old resource version') });
          response.end();
          return;
        }
        for (const event of log) if (event.version > Number(from)) send(event);
        watches.add(send);
        response.on('close', () => watches.delete(send));
      },
    };
  }

  function informerOn(server: TestServer) {
    const calls: string[] = [];
    const informer = new Informer({
      client: clientOf(accessTo(server)),
      type: configMaps,
      trim: ({ metadata, data }) => ({ metadata, data: { v: data?.['v'] ?? '' } }),
      clock: { ...systemClock, sleep: (ms, signal) => systemClock.sleep(ms / 40, signal) },
      log: silentLogger,
    });
    informer.addIndex('value', ({ data }) => [data?.['v'] ?? '']);
    informer.addHandlers({
      onAdd: ({ metadata }) => calls.push(`add ${metadata.name}`),
      onUpdate: (_, { metadata, data }) => calls.push(`update ${metadata.name}=${data?.['v'] ?? ''}`),
      onDelete: ({ metadata }) => calls.push(`delete ${metadata.name}`),
    });
    return { informer, calls };
  }

  it('lists, follows, survives dropped connections and a restart, and lists again after 410', async () => {
    const state = collection();
    const identity = await makeCertificate('test server');
    let server = await startTestServer((request, response) => state.handle(request, response), { identity });
    cleanups.push(() => server.close());
    state.set('a', { v: '1', secret: 'not kept' });
    const { informer, calls } = informerOn(server);
    const signal = lifetime();
    const running = informer.run(signal);
    await informer.whenSynced(signal);
    expect(calls).toEqual(['add a']);
    expect(informer.get({ namespace: 'default', name: 'a' })?.data).toEqual({ v: '1' });

    state.set('b', { v: '2' });
    await vi.waitFor(() => expect(calls.at(-1)).toBe('add b'), { timeout: 5000 });
    expect(informer.byIndex('value', '2').map(({ metadata }) => metadata.name)).toEqual(['b']);

    server.dropConnections();
    state.set('a', { v: '3' });
    await vi.waitFor(() => expect(calls.at(-1)).toBe('update a=3'), { timeout: 5000 });
    expect(informer.byIndex('value', '1')).toEqual([]);
    expect(state.requests.filter((line) => line.startsWith('list'))).toEqual(['list 0']); // resumed, not listed

    await server.close();
    state.remove('b');
    state.set('c', { v: '4' });
    state.compact();
    server = await startTestServer((request, response) => state.handle(request, response), {
      identity,
      port: server.port,
    });
    await vi.waitFor(() => expect(calls.slice(-2)).toEqual(['add c', 'delete b']), { timeout: 5000 });
    expect(state.requests.filter((line) => line.startsWith('list'))).toEqual(['list 0', 'list ']);
    expect(informer.list().map(({ metadata }) => metadata.name)).toEqual(['a', 'c']);
    void running; // ends with `signal` after the test
  });

  it('shows an object that was replaced under the same name as a delete and an add', async () => {
    const state = collection();
    const server = await startTestServer((request, response) => state.handle(request, response));
    cleanups.push(() => server.close());
    state.set('a', { v: '1' });
    const { informer, calls } = informerOn(server);
    const signal = lifetime();
    const running = informer.run(signal);
    await informer.whenSynced(signal);
    const replaced = {
      ...configMap('a', '99', { v: '9' }),
      metadata: { ...configMap('a', '99').metadata, uid: 'new' },
    };
    const write = state.handle; // the server knows one uid per name: speak to the informer through a second list
    state.handle = (request, response) => {
      const isWatch = request.url?.includes('watch=true') ?? false;
      if (isWatch) write.call(state, request, response);
      else sendJson(response, 200, { metadata: { resourceVersion: '99' }, items: [replaced] });
    };
    state.compact();
    server.dropConnections();
    await vi.waitFor(() => expect(calls).toEqual(['add a', 'delete a', 'add a']), { timeout: 5000 });
    void running; // ends with `signal` after the test
  });
});
