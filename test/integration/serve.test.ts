import { appendFileSync, renameSync, writeFileSync } from 'node:fs';
import { type RequestOptions, request } from 'node:https';
import { request as plainRequest } from 'node:http';
import type { Socket } from 'node:net';
import { connect as tlsConnect } from 'node:tls';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/logger.ts';
import { RpcError } from '../../src/base/grpc.ts';
import { HealthServer, type KeyPair } from '../../src/kubelet/serve/serve.ts';
import { type Answer, ServeWorld, makeCa } from './serve-fixture.ts';

let world: ServeWorld;
let admin: KeyPair;
beforeEach(async () => {
  world = await ServeWorld.start();
  admin = await world.clientCa.issue('CN=admin,O=ops,O=system:masters');
});
afterEach(() => world.end());

const get = (path: string): Promise<Answer> => world.fetch(path, { client: admin });

describe('who may come in', () => {
  it('tells nobody but that a path is not ours', async () => {
    for (const path of [
      '/',
      '/foo',
      '/metrics/x',
      '/stats/summary',
      '/healthz/nothing',
      '/logs/',
      '/debug/pprof/heap',
    ]) {
      expect(await world.fetch(path)).toMatchObject({ status: 404, body: '404 page not found\n' });
    }
    expect(world.reviewedAccess).toEqual([]);
  });

  it('401 without credentials, with a bad token, and by a certificate of another CA', async () => {
    const stranger = await (await makeCa('client-ca')).issue('CN=admin');
    const expired = await world.clientCa.issue('CN=admin', undefined, Date.now() - 3_600_000);
    for (const options of [
      {},
      { headers: { authorization: 'Bearer bad' } },
      { headers: { authorization: 'Basic YWRtaW46eA==' } },
      { client: stranger },
      { client: expired },
    ]) {
      expect(await world.fetch('/pods', options)).toMatchObject({ status: 401, body: 'Unauthorized' });
    }
    // also for what is only nearly ours: who may not see it learns nothing
    expect(await world.fetch('/exec/x')).toMatchObject({ status: 401 });
  });

  it('takes a certificate as user and groups, and asks once', async () => {
    expect((await get('/pods')).status).toBe(200);
    expect((await get('/pods')).status).toBe(200);
    expect(world.reviewedAccess).toEqual(['admin [ops system:masters system:authenticated] get nodes/pods node-a']);
  });

  it('takes a token, from the header and from a WebSocket protocol, and reviews it once', async () => {
    const encoded = Buffer.from('good').toString('base64url');
    const protocol = `base64url.bearer.authorization.k8s.io.${encoded}, v4.channel.k8s.io`;
    expect((await world.fetch('/pods', { headers: { authorization: 'Bearer good' } })).status).toBe(200);
    expect((await world.fetch('/configz', { headers: { 'sec-websocket-protocol': protocol } })).status).toBe(200);
    expect(world.reviewedTokens).toEqual(['good']);
    expect(world.reviewedAccess[0]).toBe('alice [dev system:authenticated] get nodes/pods node-a');
  });

  it('tries the fine subresource first, then proxy', async () => {
    world.allowed = (_user, what) => what.startsWith('get nodes/proxy');
    expect((await get('/pods')).status).toBe(200);
    expect((await get('/configz')).status).toBe(200);
    world.allowed = () => false; // what was allowed is kept for a while
    expect((await get('/configz')).status).toBe(200);
    const bob = await world.clientCa.issue('CN=bob');
    expect(await world.fetch('/configz', { client: bob })).toMatchObject({
      status: 403,
      body: 'Forbidden (user=bob, verb=get, resource=nodes, subresource(s)=[configz proxy])\n',
    });
    expect(await world.fetch('/exec/shop/web/app', { method: 'POST', client: admin })).toMatchObject({
      status: 403,
      body: 'Forbidden (user=admin, verb=create, resource=nodes, subresource(s)=[proxy])\n',
    });
    expect(world.criCalls).toEqual([]);
  });

  it('500 when the review can not be had', async () => {
    world.allowed = () => {
      throw new Error('API server away');
    };
    expect(await get('/metrics')).toMatchObject({
      status: 500,
      body: 'Authorization error (user=admin, verb=get, resource=nodes, subresource=metrics)\n',
    });
  });

  it('a new client CA holds from the next handshake on', async () => {
    const other = await makeCa('other-ca');
    const newcomer = await other.issue('CN=newcomer');
    expect((await world.fetch('/pods', { client: newcomer })).status).toBe(401);
    world.clientCaFile.set(other.pem);
    expect((await world.fetch('/pods', { client: newcomer })).status).toBe(200);
    expect((await get('/pods')).status).toBe(401);
  });

  it('a new serving certificate is shown without a restart', async () => {
    const commonName = (): Promise<string> =>
      new Promise((resolve, reject) => {
        const socket = tlsConnect({ host: '127.0.0.1', port: world.port, ca: world.serverCa.pem }, () => {
          const { CN } = socket.getPeerCertificate().subject;
          resolve(String(CN));
          socket.destroy();
        });
        socket.once('error', reject);
      });
    expect(await commonName()).toBe('node');
    world.servingCertificate.set(await world.serverCa.issue('CN=renewed', '127.0.0.1'));
    expect(await commonName()).toBe('renewed');
  });

  it('fails handshakes while there is no serving certificate', async () => {
    const bare = await ServeWorld.start({
      tls: {
        servingCertificate: { current: () => undefined, onChange: () => () => {} },
        minVersion: 'TLSv1.2',
        ciphers: undefined,
      },
    });
    await expect(bare.fetch('/pods')).rejects.toThrow(/handshake|alert|SSL/i);
    await bare.end();
  });
});

describe('pages', () => {
  it.each([
    { path: '/healthz', status: 200, body: 'ok' },
    { path: '/healthz/ping', status: 200, body: 'ok' },
    { path: '/healthz?verbose', status: 200, body: '[+]ping ok\n[+]syncloop ok\nhealthz check passed\n' },
    { path: '/metrics', status: 200, body: 'up 1\n' },
    { path: '/configz', status: 200, body: '{"kubeletconfig":{"kind":"KubeletConfiguration","maxPods":110}}' },
    { path: '/runningpods', status: 301, body: '' },
    { path: '/exec/x', status: 404, body: '404: Page Not Found' },
    { path: '/run/shop/web/app', status: 405, body: '405: Method Not Allowed' },
    { path: '/pods/x', status: 404, body: '404: Page Not Found' },
    { path: '/exec/shop/other/app?output=1', status: 404, body: 'pod does not exist\n' },
    { path: '/exec/shop/web/app', status: 400, body: 'you must specify at least 1 of stdin, stdout, stderr\n' },
    { path: '/exec/shop/web/app?output=1', status: 500, body: 'Upgrade request required\n' },
    { path: '/exec/shop/web/no?output=1', status: 500, body: 'container not found ("no")\n' },
    { path: '/exec/shop/web/wrong-uid/app?output=1', status: 500, body: 'container not found ("app")\n' },
    { path: '/attach/shop/web/no?output=1', status: 500, body: 'container no not found in pod web_shop\n' },
    { path: '/portForward/shop/web/wrong-uid', status: 404, body: 'pod not found\n' },
    { path: '/portForward/shop/other', status: 404, body: 'pod does not exist\n' },
  ])('$path → $status', async ({ path, status, body }) => {
    expect(await get(path)).toMatchObject({ status, body });
  });

  it('lists pods as a PodList', async () => {
    const { headers, body } = await get('/pods');
    expect(headers['content-type']).toBe('application/json');
    expect(JSON.parse(body)).toMatchObject({
      kind: 'PodList',
      apiVersion: 'v1',
      items: [{ metadata: { name: 'web' } }],
    });
    expect(JSON.parse((await get('/runningpods/')).body)).toMatchObject({
      items: [{ metadata: { name: 'web', namespace: 'shop', uid: 'uid-1' }, spec: { containers: [{ name: 'app' }] } }],
    });
  });

  it('says which methods a page takes', async () => {
    const answer = await world.fetch('/pods', { method: 'PUT', client: admin });
    expect(answer).toMatchObject({ status: 405, headers: { allow: 'GET' } });
  });

  it('runs a command', async () => {
    const answer = await world.fetch('/run/shop/web/app?cmd=ls%20-l', { method: 'POST', client: admin });
    expect(answer).toMatchObject({ status: 200, body: 'out\nerr\n', headers: { 'content-type': 'application/json' } });
    expect(world.criCalls).toEqual([['execSync', 'c1', ['ls', '-l']]]);
  });

  it('health tells what failed, but not why', async () => {
    const sick = await ServeWorld.start({
      authorization: { mode: 'AlwaysAllow' },
      healthChecks: [
        { name: 'syncloop', check: () => Promise.reject(new Error('sync Loop took longer than expected')) },
      ],
    });
    const client = await sick.clientCa.issue('CN=a');
    expect(await sick.fetch('/healthz', { client })).toMatchObject({
      status: 500,
      body: '[+]ping ok\n[-]syncloop failed: reason withheld\nhealthz check failed\n',
    });
    expect(await sick.fetch('/healthz/syncloop', { client })).toMatchObject({
      status: 500,
      body: 'internal server error: sync Loop took longer than expected\n',
    });
    expect(await sick.fetch('/healthz?exclude=syncloop', { client })).toMatchObject({ status: 200, body: 'ok' });
    await sick.end();
  });

  it('statusz says what upstream says in its forms, what the process costs, and who is fenced', async () => {
    const client = await world.clientCa.issue('CN=statusz');
    const get = (accept?: string): ReturnType<ServeWorld['fetch']> =>
      world.fetch('/statusz', { client, ...(accept === undefined ? {} : { headers: { accept } }) });
    const { status, body } = await get();
    expect(status).toBe(200);
    expect(body).toMatch(/^\nkubelet statusz\nWarning: .*\n\nStarted: /);
    for (const line of [
      'Up: 1 hr 02 min 03 sec',
      'Emulation version: v1.36.0',
      'Wake-ups per second: 12.3',
      'CPU: 0.50% of a core',
      'Resident memory: 100 MiB',
      'Event-loop delay, p99: 1.5 ms',
      'Fenced pods: 1',
      '  shop/web (uid-1): step "sandbox" runs for 40s, longer than 30s',
    ]) {
      expect(body.split('\n')).toContain(line);
    }
    const json = await get('application/json;v=v1beta1;g=config.k8s.io;as=Statusz');
    expect(JSON.parse(json.body)).toMatchObject({
      kind: 'Statusz',
      apiVersion: 'config.k8s.io/v1beta1',
      startTime: '2026-01-02T03:04:05Z',
      uptimeSeconds: 3723,
      gantry: { fencedPods: [{ pod: 'shop/web', step: 'sandbox' }] },
    });
    expect((await get('text/plain, */*')).status).toBe(200);
    expect((await get('application/json')).status).toBe(406);
  });

  it('debug pages may be switched off', async () => {
    const closed = await ServeWorld.start({ authorization: { mode: 'AlwaysAllow' }, hasDebuggingHandlers: false });
    const client = await closed.clientCa.issue('CN=a');
    expect(await closed.fetch('/containerLogs/shop/web/app', { client })).toMatchObject({
      status: 405,
      body: 'Debug endpoints are disabled.\n',
    });
    expect((await closed.fetch('/configz', { client })).status).toBe(404);
    expect((await closed.fetch('/statusz', { client })).status).toBe(404);
    expect((await closed.fetch('/pods', { client })).status).toBe(200);
    await closed.end();
  });

  it('one connection serves many requests', async () => {
    const { Agent } = await import('node:https');
    const agent = new Agent({
      keepAlive: true,
      maxSockets: 1,
      ca: world.serverCa.pem,
      cert: admin.cert,
      key: admin.key,
    });
    for (let i = 0; i < 15; i++) {
      const options: RequestOptions = { host: '127.0.0.1', port: world.port, path: '/healthz', agent };
      const status = await new Promise((resolve, reject) => {
        request(options, (answer) => {
          answer.resume();
          answer.on('end', () => resolve(answer.statusCode));
        })
          .on('error', reject)
          .end();
      });
      expect(status).toBe(200);
    }
    agent.destroy();
  });
});

describe('container logs', () => {
  const entry = (text: string): string => `2026-01-01T00:00:00.000000001Z stdout F ${text}\n`;
  const path = '/containerLogs/shop/web/app';

  it.each([
    { query: '', status: 200, body: 'one\ntwo\n' },
    { query: '?tailLines=1', status: 200, body: 'two\n' },
    { query: '?tail=all', status: 200, body: 'one\ntwo\n' },
    { query: '?tailLines=1&timestamps=true', status: 200, body: '2026-01-01T00:00:00.000000001Z two\n' },
    { query: '?limitBytes=2', status: 200, body: 'on' },
    { query: '?sinceTime=2027-01-01T00:00:00Z', status: 200, body: '' },
    { query: '?tailLines=x', status: 400, body: '{"message": "Unable to decode query."}' },
    { query: '?sinceTime=yesterday', status: 400, body: '{"message": "Unable to decode query."}' },
    { query: '?tailLines=-1', status: 422, body: '{"message": "Invalid request."}' },
    { query: '?limitBytes=0', status: 422, body: '{"message": "Invalid request."}' },
    { query: '?sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z', status: 422, body: '{"message": "Invalid request."}' },
    { query: '?previous=true', status: 400, body: 'previous terminated container "app" in pod "web" not found' },
  ])('$query → $status', async ({ query, status, body }) => {
    writeFileSync(world.logPath, entry('one') + entry('two'));
    expect(await get(path + query)).toMatchObject({ status, body });
  });

  it('knows no other pods and containers', async () => {
    expect(await get('/containerLogs/shop/other/app')).toMatchObject({
      status: 404,
      body: 'pod "other" does not exist\n',
    });
    expect(await get('/containerLogs/shop/web/no')).toMatchObject({
      status: 404,
      body: 'container "no" not found in pod "web"\n',
    });
  });

  it('400 when there is no file', async () => {
    expect(await get(path)).toMatchObject({ status: 400, body: expect.stringContaining('no such file') });
  });

  it('follows over a rotation, and ends when the container has', async () => {
    writeFileSync(world.logPath, entry('one'));
    let text = '';
    let hasEnded = false;
    const sent = request({
      host: '127.0.0.1',
      port: world.port,
      path: `${path}?follow=true`,
      agent: false,
      ca: world.serverCa.pem,
      cert: admin.cert,
      key: admin.key,
    });
    sent.on('response', (answer) => {
      answer.on('data', (piece: Buffer) => (text += piece.toString()));
      answer.on('end', () => (hasEnded = true));
    });
    sent.end();
    await expect.poll(() => text).toBe('one\n');
    appendFileSync(world.logPath, entry('two'));
    await expect.poll(() => text).toBe('one\ntwo\n');
    renameSync(world.logPath, `${world.logPath}.20260101-000000`);
    writeFileSync(world.logPath, entry('three'));
    await expect.poll(() => text).toBe('one\ntwo\nthree\n');
    world.containerState = 'exited';
    await expect.poll(() => hasEnded, { timeout: 4000 }).toBe(true);
  });

  it('a client that leaves ends the reading; a stop of the server, too', async () => {
    writeFileSync(world.logPath, entry('one'));
    const follow = async (): Promise<{ destroy: () => void; ended: Promise<void> }> => {
      const sent = request({
        host: '127.0.0.1',
        port: world.port,
        path: `${path}?follow=true`,
        agent: false,
        ca: world.serverCa.pem,
        cert: admin.cert,
        key: admin.key,
      });
      sent.on('error', () => {});
      sent.end();
      return new Promise((resolve) => {
        sent.on('response', (answer) => {
          answer.on('error', () => {});
          const ended = new Promise<void>((done) => answer.once('close', done));
          answer.once('data', () => resolve({ destroy: () => answer.destroy(), ended }));
          answer.on('data', () => {});
        });
      });
    };
    (await follow()).destroy();
    const second = await follow();
    world.stop.abort();
    await world.run; // settles only when nothing is left
    await second.ended;
  });
});

describe('streams', () => {
  const path = '/exec/shop/web/app?command=sh&command=-c&input=1&output=1&error=1';

  it('relays bytes both ways, with the head and path of the runtime', async () => {
    const stream = await world.upgrade(path, admin);
    await expect.poll(() => stream.text).toContain('\r\n\r\n');
    expect(stream.text).toMatch(/^HTTP\/1\.1 101 /);
    expect(stream.text).toContain('X-Stream-Protocol-Version: v4.channel.k8s.io\r\n');
    const all = Buffer.from(Array.from({ length: 256 }, (_, i) => i)).toString('latin1');
    stream.text = '';
    stream.socket.write(Buffer.from(all, 'latin1'));
    await expect.poll(() => stream.text).toBe(all);
    expect(world.criCalls).toEqual([
      ['exec', { container_id: 'c1', cmd: ['sh', '-c'], stdin: true, stdout: true, stderr: true, tty: false }],
    ]);
    const [head = ''] = world.streaming.heads;
    expect(head.split('\r\n')[0]).toBe('POST /exec/token HTTP/1.1');
    expect(head).toContain('Upgrade: SPDY/3.1');
    expect(head).toContain('X-Forwarded-For: 127.0.0.1');
    expect(head).not.toContain('secret');
    stream.socket.destroy();
    await expect.poll(() => world.streaming.open).toBe(0);
  });

  it('passes 4 MiB with slow ends, nothing lost', async () => {
    const size = 4 * 1024 * 1024;
    let received = 0;
    world.streaming.onStream = (socket) => {
      socket.on('data', (data: Buffer) => (received += data.length));
      socket.on('end', () => socket.end(Buffer.alloc(size, 'b')));
    };
    const stream = await world.upgrade(path, admin, { method: 'GET' });
    await expect.poll(() => stream.text).toContain('\r\n\r\n');
    const headLength = stream.text.length;
    stream.socket.end(Buffer.alloc(size, 'a')); // half-close: the answer comes after the end
    await expect.poll(() => stream.hasEnded, { timeout: 10_000 }).toBe(true);
    expect(received).toBe(size);
    expect(stream.text.length - headLength).toBe(size);
    await expect.poll(() => stream.isClosed).toBe(true);
  });

  it('the end of the runtime side ends the client side', async () => {
    let runtime: Socket | undefined;
    world.streaming.onStream = (socket) => (runtime = socket);
    const stream = await world.upgrade(path, admin);
    await expect.poll(() => runtime).toBeDefined();
    runtime?.end('bye');
    await expect.poll(() => stream.hasEnded).toBe(true);
    expect(stream.text.endsWith('\r\n\r\nbye')).toBe(true);
    stream.socket.end();
    await expect.poll(() => world.streaming.open).toBe(0);
  });

  it('a runtime that breaks off breaks the client off', async () => {
    let runtime: Socket | undefined;
    world.streaming.onStream = (socket) => (runtime = socket);
    const stream = await world.upgrade(path, admin);
    await expect.poll(() => runtime).toBeDefined();
    runtime?.resetAndDestroy();
    await expect.poll(() => stream.hasEnded || stream.isClosed).toBe(true);
    stream.socket.destroy();
  });

  it('passes a refusal of the runtime on, and takes nothing between', async () => {
    world.streaming.reply = 'HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nno v5';
    const refused = await world.upgrade(path, admin);
    await expect.poll(() => refused.hasEnded).toBe(true);
    expect(refused.text).toMatch(/^HTTP\/1\.1 403 [^]*\r\n\r\nno v5$/);
    world.streaming.reply = 'HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n';
    const redirected = await world.upgrade(path, admin);
    await expect.poll(() => redirected.hasEnded).toBe(true);
    expect(redirected.text).toMatch(/^HTTP\/1\.1 500 [^]*invalid upgrade response: status code 302\n$/);
  });

  it.each([
    { code: 'NotFound', status: 404 },
    { code: 'ResourceExhausted', status: 429 },
    { code: 'Unknown', status: 500 },
  ])('the runtime says $code → $status', async ({ code, status }) => {
    world.criFailure = new Error('Exec failed', { cause: new RpcError(code, 'why') });
    const stream = await world.upgrade(path, admin);
    await expect.poll(() => stream.hasEnded).toBe(true);
    expect(stream.text).toMatch(new RegExp(`^HTTP/1\\.1 ${status} [^]*rpc error: code = ${code} desc = why\n$`));
    if (status === 429) expect(stream.text).toContain('Retry-After: 60');
  });

  it('attach takes the terminal from the container; port-forward asks for the sandbox', async () => {
    const attach = await world.upgrade('/attach/shop/web/app?stdin=true&stdout=true&stderr=true', admin);
    await expect.poll(() => attach.text).toContain('101');
    const forward = await world.upgrade('/portForward/shop/web', admin);
    await expect.poll(() => forward.text).toContain('101');
    expect(world.criCalls).toEqual([
      ['attach', { container_id: 'c1', stdin: true, stdout: true, stderr: false, tty: true }],
      ['portforward', 's1', []],
    ]);
    attach.socket.destroy();
    forward.socket.destroy();
  });

  it.each([
    { query: '', status: 400, body: 'query parameter "port" is required' },
    {
      query: '?port=x',
      status: 400,
      body: 'unable to parse "x" as a port: strconv.ParseUint: parsing "x": invalid syntax',
    },
    { query: '?port=0', status: 400, body: 'port "0" must be > 0' },
    { query: '?port=80,443', status: 101, body: '' },
  ])('port-forward by WebSocket $query → $status', async ({ query, status, body }) => {
    const stream = await world.upgrade(`/portForward/shop/web${query}`, admin, {
      method: 'GET',
      protocol: 'websocket',
    });
    await expect.poll(() => stream.text).toContain('\r\n\r\n');
    expect(stream.text).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    expect(stream.text).toContain(body);
    if (status === 101) expect(world.criCalls).toEqual([['portforward', 's1', [80, 443]]]);
    stream.socket.destroy();
  });

  it('an upgrade request is judged as any other', async () => {
    const nobody = await (await makeCa('x')).issue('CN=x');
    const stream = await world.upgrade(path, nobody);
    await expect.poll(() => stream.hasEnded).toBe(true);
    expect(stream.text).toMatch(/^HTTP\/1\.1 401 [^]*Unauthorized$/);
    const page = await world.upgrade('/healthz', admin, { method: 'GET' });
    await expect.poll(() => page.hasEnded).toBe(true);
    expect(page.text).toMatch(/^HTTP\/1\.1 200 [^]*\r\n\r\nok$/);
  });

  it('a stop of the server ends every stream', async () => {
    const stream = await world.upgrade(path, admin);
    await expect.poll(() => stream.text).toContain('101');
    world.stop.abort();
    await world.run;
    await expect.poll(() => stream.hasEnded || stream.isClosed).toBe(true);
    await expect.poll(() => world.streaming.open).toBe(0);
    stream.socket.destroy();
  });
});

describe('HealthServer', () => {
  it('answers healthz to everybody, and nothing else', async () => {
    const stop = new AbortController();
    const server = new HealthServer({ address: '127.0.0.1', port: 0, clock: systemClock, log: silentLogger });
    const run = server.run(stop.signal);
    const port = await server.port();
    const fetchPlain = (path: string): Promise<string> =>
      new Promise((resolve, reject) => {
        plainRequest({ host: '127.0.0.1', port, path, agent: false }, (answer) => {
          let text = `${answer.statusCode} `;
          answer.on('data', (piece: Buffer) => (text += piece.toString()));
          answer.on('end', () => resolve(text));
        })
          .on('error', reject)
          .end();
      });
    expect(await fetchPlain('/healthz')).toBe('200 ok');
    expect(await fetchPlain('/healthz/ping')).toBe('200 ok');
    expect(await fetchPlain('/pods')).toBe('404 404 page not found\n');
    stop.abort();
    await run;
  });
});
