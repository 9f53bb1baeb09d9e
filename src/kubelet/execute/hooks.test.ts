import { type Server, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { testContainer, testPod } from '../../../test/fixtures/kubelet-pods.ts';
import { FakeClock } from '../../base/clock.ts';
import type { LifecycleHandler } from '../../objects/generated/core-v1.ts';
import { runHook } from './hooks.ts';

const clock = new FakeClock();
const signal = new AbortController().signal;
const pod = testPod();
let server: Server | undefined;
const authorizations: Array<string | undefined> = [];

afterEach(async () => {
  await new Promise<void>((resolve) => (server === undefined ? resolve() : server.close(() => resolve())));
  server = undefined;
  authorizations.length = 0;
});

interface Execution {
  id: string;
  command: readonly string[];
  timeout: number;
}

function run(
  handler: LifecycleHandler,
  {
    exitCode = 0,
    complained = '',
    said = '',
    container = testContainer('web'),
    podIp = '127.0.0.1',
    executions = [] as Execution[],
    told = [] as string[],
    abort = signal,
  } = {},
): Promise<void> {
  const execSync = (id: string, command: readonly string[], timeout: number) => {
    executions.push({ id, command, timeout });
    return Promise.resolve({ exitCode, stdout: Buffer.from(said), stderr: Buffer.from(complained) });
  };
  const events = { pod: (_: unknown, ...words: string[]) => void told.push(words.join(' ')) };
  return runHook({ clock, events, execSync }, handler, { pod, container, containerId: 'web-0', podIp }, abort);
}

async function serve(
  status: number,
  redirect: (url: string, port: number) => { status: number; location: string } | undefined = () => undefined,
): Promise<{ port: number; asked: string[] }> {
  const asked: string[] = [];
  server = createServer((request, response) => {
    authorizations.push(request.headers.authorization);
    asked.push(`${request.method} ${request.url} ${request.headers['user-agent']} ${request.headers['x-a'] ?? ''}`);
    const to = redirect(request.url ?? '', request.socket.localPort ?? 0);
    if (to === undefined) response.writeHead(status).end();
    else response.writeHead(to.status, { location: to.location }).end();
  });
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', () => resolve()));
  return { port: (server.address() as AddressInfo).port, asked };
}

describe('runHook', () => {
  it('runs a command as it stands, without a timeout', async () => {
    const executions: Execution[] = [];
    await run({ exec: { command: ['echo', '$(A)'] } }, { executions });
    expect(executions).toEqual([{ id: 'web-0', command: ['echo', '$(A)'], timeout: 0 }]);
  });

  it('fails with a command that fails, in words that tools show', async () => {
    await expect(
      run({ exec: { command: ['sh', '-c'] } }, { exitCode: 3, said: '\u001bno', complained: ' bad' }),
    ).rejects.toThrow(
      `Exec lifecycle hook ([sh -c]) for Container "web" in Pod "web_default(uid-1)" failed - error: command 'sh -c' exited with 3:  bad, message: "\\x1bno bad"`,
    );
  });

  it.each([200, 404, 500])('an HTTP answer of %i is a success', async (status) => {
    const { port, asked } = await serve(status);
    await run({ httpGet: { port, path: '/x?y=1', httpHeaders: [{ name: 'X-A', value: 'b' }] } });
    expect(asked).toEqual(['GET /x?y=1 kube-lifecycle/1.36 b']);
  });

  it.each([
    { name: 'elsewhere on the same server', status: 302, to: () => '/there?a=b', want: ['GET /', 'GET /there?a=b'] },
    {
      name: 'to another port',
      status: 307,
      to: (port: number) => `http://127.0.0.1:${port}/x`,
      want: ['GET /', 'GET /x'],
    },
    { name: 'nowhere', status: 302, to: () => 'http://', want: ['GET /'] },
    { name: 'to what is no HTTP', status: 301, to: () => 'ftp://127.0.0.1/', want: ['GET /'] },
    { name: 'with a status that sends nobody', status: 300, to: () => '/there', want: ['GET /'] },
  ])('is sent $name', async ({ status, to, want }) => {
    const { port, asked } = await serve(200, (url, own) => (url === '/' ? { status, location: to(own) } : undefined));
    await run({ httpGet: { port } });
    expect(asked.map((text) => text.split(' kube')[0])).toEqual(want);
  });

  it('shows its credentials to nobody that it was not given them for', async () => {
    const httpHeaders = [{ name: 'Authorization', value: 'secret' }];
    const { port } = await serve(200, (url, own) => {
      if (url === '/') return { status: 302, location: '/again' };
      return url === '/again' ? { status: 302, location: `http://localhost:${own}/other` } : undefined;
    });
    await run({ httpGet: { port, httpHeaders } });
    expect(authorizations).toEqual(['secret', 'secret', undefined]);
  });

  it('fails when it is sent on and on', async () => {
    const { port, asked } = await serve(200, () => ({ status: 302, location: '/' }));
    await expect(run({ httpGet: { port } })).rejects.toThrow('stopped after 10 redirects');
    expect(asked).toHaveLength(10);
  });

  it('goes to the host that is named, else to the pod, with the headers that are given', async () => {
    const { port, asked } = await serve(200);
    const httpHeaders = [
      { name: 'User-Agent', value: 'mine' },
      { name: 'X-A', value: 'b' },
      { name: 'x-a', value: 'c' },
    ];
    await run({ httpGet: { port, host: 'localhost', path: 'x', httpHeaders } });
    expect(asked).toEqual(['GET /x mine b, c']);
  });

  it('asks localhost for a pod in the network of the host', async () => {
    const { port, asked } = await serve(200);
    await run({ httpGet: { port } }, { podIp: '' });
    expect(asked).toHaveLength(1);
  });

  it('does not wait for the end of an answer that has none', async () => {
    server = createServer((_, response) => void response.write(Buffer.alloc(20_000)));
    await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', () => resolve()));
    await run({ httpGet: { port: (server.address() as AddressInfo).port } });
    server.closeAllConnections();
  });

  it('HTTPS to a server without: once more in plain HTTP, without credentials, and an event', async () => {
    const { port, asked } = await serve(200);
    const told: string[] = [];
    const httpHeaders = [
      { name: 'Authorization', value: 'secret' },
      { name: 'X-A', value: 'b' },
    ];
    await run({ httpGet: { port, scheme: 'HTTPS', httpHeaders } }, { told });
    expect(asked).toEqual(['GET / kube-lifecycle/1.36 b']);
    expect(authorizations).toEqual([undefined]);
    expect(told).toEqual([
      `Warning LifecycleHTTPFallback request to HTTPS lifecycle hook 127.0.0.1:${port} got HTTP response, retry with HTTP succeeded`,
    ]);
    await run({ httpGet: { port, httpHeaders } });
    expect(authorizations).toEqual([undefined, 'secret']);
  });

  it('HTTPS where nobody answers is not tried in plain HTTP', async () => {
    const { port, asked } = await serve(200);
    await new Promise<void>((resolve) => server?.close(() => resolve()));
    server = undefined;
    await expect(run({ httpGet: { port, scheme: 'HTTPS' } })).rejects.toThrow('ECONNREFUSED');
    expect(asked).toEqual([]);
  });

  it('finds a port by its name', async () => {
    const { port, asked } = await serve(200);
    await run(
      { httpGet: { port: 'http' } },
      { container: testContainer('web', { ports: [{ name: 'http', containerPort: port }] }) },
    );
    expect(asked).toHaveLength(1);
    await expect(run({ httpGet: { port: 'other' } })).rejects.toThrow('strconv.Atoi: parsing "other": invalid syntax');
  });

  it('fails when nobody answers', async () => {
    const { port } = await serve(200);
    await new Promise<void>((resolve) => server?.close(() => resolve()));
    server = undefined;
    await expect(run({ httpGet: { port } })).rejects.toThrow(
      /^HTTP lifecycle hook \(\/\) for Container "web" in Pod "web_default\(uid-1\)" failed - error: .*ECONNREFUSED/,
    );
  });

  it('sleeps', async () => {
    let isOver = false;
    const done = run({ sleep: { seconds: 5 } }).then(() => (isOver = true));
    await clock.advance(4999);
    expect(isOver).toBe(false);
    await clock.advance(1);
    await done;
    await run({ sleep: { seconds: 0 } }, { abort: AbortSignal.abort() });
  });

  it('refuses a handler that names no action it has', async () => {
    await expect(run({ tcpSocket: { port: 1 } })).rejects.toThrow(/names no exec, httpGet or sleep action$/);
  });
});
