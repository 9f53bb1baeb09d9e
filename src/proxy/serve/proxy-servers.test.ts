import { type RequestListener, type Server, createServer, request as httpRequest } from 'node:http';
import { pino } from 'pino';
import { afterEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../../base/clock.ts';
import { silentLogger } from '../../base/logger.ts';
import { ProxyMetrics } from '../metrics.ts';
import { parseProxyConfig } from '../parse-proxy-config.ts';
import { ProxyHealth } from './health.ts';
import { runHttpListener } from './http-listener.ts';
import { answerHealth, answerMetrics } from './proxy-servers.ts';
import { ServiceHealthPorts } from './service-health-ports.ts';

const servers: Server[] = [];
const stop = new AbortController();
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => new Promise((resolve) => server.close(resolve))));
});

async function listen(answer: RequestListener, host = '127.0.0.1'): Promise<number> {
  const server = createServer(answer);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

interface Answer {
  code: number;
  headers: Record<string, unknown>;
  body: string;
}

function call(port: number, path: string, { method = 'GET', accept = '', body = '', host = '127.0.0.1' } = {}) {
  return new Promise<Answer>((resolve, reject) => {
    const headers = { connection: 'close', ...(accept === '' ? {} : { accept }) };
    const sent = httpRequest({ host, port, path, method, headers }, (response) => {
      let text = '';
      response.on('data', (chunk) => (text += String(chunk)));
      response.on('end', () => resolve({ code: response.statusCode ?? 0, headers: response.headers, body: text }));
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

const clock = new FakeClock(Date.UTC(2026, 0, 2, 3, 4, 5));
const metricsServer = (fields: object) => {
  const config = parseProxyConfig(fields, { source: 'a test', isZeroMeant: true });
  const verbosities: number[] = [];
  const need = {
    metrics: new ProxyMetrics('nftables'),
    config,
    flags: { v: '2', config: '/f' },
    startedMs: clock.nowMs() - 3_723_000,
    setVerbosity: (verbosity: number) => void verbosities.push(verbosity),
    clock,
  };
  return { verbosities, port: listen(answerMetrics(need, stop.signal)) };
};

describe('the metrics server', () => {
  const asObject = (kind: string): string => `application/json;v=v1beta1;g=config.k8s.io;as=${kind}`;
  const profiling = { enableProfiling: true };
  it.each<{ path: string; fields?: object; accept?: string; code?: number; want: unknown }>([
    { path: '/healthz', want: 'ok' },
    { path: '/healthz?verbose', want: '[+]ping ok\nhealthz check passed\n' },
    { path: '/proxyMode', fields: { mode: 'nftables' }, want: 'nftables' },
    {
      path: '/configz',
      want: expect.stringContaining('{"kubeproxy.config.k8s.io":{"apiVersion":"kubeproxy.config.k8s.io/v1alpha1",'),
    },
    { path: '/metrics', want: expect.stringContaining('# TYPE kubeproxy_sync_proxy_rules_duration_seconds histogram') },
    { path: '/metrics', want: expect.stringContaining('kubernetes_build_info{major="1",minor="36"') },
    { path: '/flagz', want: expect.stringMatching(/^\nkube-proxy flagz\nWarning: .*\n\nconfig=\/f\nv=2\n$/) },
    {
      path: '/flagz',
      accept: asObject('Flagz'),
      want: expect.stringContaining('"kind":"Flagz","apiVersion":"config.k8s.io/v1beta1"'),
    },
    { path: '/flagz', accept: 'application/yaml', code: 406, want: expect.stringContaining('unable to respond') },
    { path: '/flagz', fields: { featureGates: { ComponentFlagz: false } }, code: 404, want: '404 page not found\n' },
    { path: '/statusz', want: expect.stringMatching(/^\nkube-proxy statusz\n(.*\n)*Up: 1 hr 02 min 03 sec\n/) },
    { path: '/statusz', accept: asObject('Statusz'), want: expect.stringContaining('"uptimeSeconds":3723') },
    {
      path: '/statusz',
      fields: { featureGates: { ComponentStatusz: false } },
      code: 404,
      want: '404 page not found\n',
    },
    { path: '/debug/pprof/', code: 404, want: '404 page not found\n' },
    { path: '/debug/flags/v', code: 404, want: '404 page not found\n' },
    { path: '/debug/pprof/', fields: profiling, want: expect.stringContaining('runs on V8') },
    { path: '/debug/pprof/goroutine', fields: profiling, code: 501, want: expect.stringContaining('V8 has not') },
    { path: '/debug/pprof/profile?seconds=x', fields: profiling, code: 400, want: expect.stringContaining('seconds') },
    { path: '/debug/flags/v', fields: profiling, code: 405, want: 'unsupported http method\n' },
    { path: '/nothing', code: 404, want: '404 page not found\n' },
  ])('answers $path $fields $accept', async ({ path, fields = {}, accept = '', code = 200, want }) => {
    const answer = await call(await metricsServer(fields).port, path, { accept });
    expect(answer).toMatchObject({ code, body: want });
  });

  it('tells the mode as plain text', async () => {
    const { headers } = await call(await metricsServer({}).port, '/proxyMode');
    expect(headers).toMatchObject({ 'content-type': 'text/plain; charset=utf-8', 'x-content-type-options': 'nosniff' });
  });

  it('counts checks of its health', async () => {
    const port = await metricsServer({}).port;
    await call(port, '/healthz');
    expect((await call(port, '/metrics/slis')).body).toContain(
      'kubernetes_healthchecks_total{name="ping",type="healthz",status="success"} 1',
    );
  });

  it('changes the verbosity, and nothing for what is none', async () => {
    const { port, verbosities } = metricsServer(profiling);
    const put = async (body: string): Promise<Answer> => call(await port, '/debug/flags/v', { method: 'PUT', body });
    expect(await put('4')).toMatchObject({ code: 200, body: 'successfully set klog.logging.verbosity to 4' });
    expect(await put('loud')).toMatchObject({ code: 400 });
    expect(await put('9'.repeat(5000))).toMatchObject({ code: 400 });
    expect(verbosities).toEqual([4]);
  });

  it.each(['profile', 'heap'])('takes a %s that tools can read', async (kind) => {
    const port = await metricsServer(profiling).port;
    const taken = call(port, `/debug/pprof/${kind}?seconds=1`);
    // the profile is over when the clock says so
    while (clock.sleeping === 0) await new Promise((resolve) => setImmediate(resolve));
    expect((await call(port, '/debug/pprof/profile?seconds=1')).code).toBe(503);
    await clock.advance(1000);
    const profile: unknown = JSON.parse((await taken).body);
    expect(profile).toMatchObject(
      kind === 'heap' ? { head: {}, samples: expect.any(Array) } : { nodes: expect.any(Array) },
    );
  });
});

describe('the health server', () => {
  it.each([
    { path: '/healthz', method: 'GET', isEligible: true, code: 200, metric: 'proxy_healthz_total{code="200"} 1' },
    { path: '/healthz', method: 'POST', isEligible: false, code: 503, metric: 'proxy_healthz_total{code="503"} 1' },
    { path: '/livez', method: 'HEAD', isEligible: false, code: 200, metric: 'proxy_livez_total{code="200"} 1' },
    { path: '/other', method: 'GET', isEligible: true, code: 404, metric: '' },
  ])('answers $method $path with $code', async ({ path, method, isEligible, code, metric }) => {
    const metrics = new ProxyMetrics('iptables');
    const health = new ProxyHealth(30_000, clock);
    const port = await listen(answerHealth({ health, metrics, isNodeEligible: () => isEligible }));
    expect((await call(port, path, { method })).code).toBe(code);
    expect(await metrics.text()).toContain(metric);
  });
});

describe('runHttpListener', () => {
  const run = (port: number, isHardFail: boolean) => {
    const failures: string[] = [];
    const warnings: string[] = [];
    const ends = new AbortController();
    const time = new FakeClock(0);
    const done = runHttpListener(
      {
        name: 'test',
        host: '127.0.0.1',
        port,
        answer: (_, response) => void response.end('here'),
        isHardFail,
        onFailure: (err) => void failures.push(String(err)),
        clock: time,
        log: pino({ level: 'warn' }, { write: (line) => void warnings.push(line) }),
      },
      ends.signal,
    );
    return { failures, warnings, ends, time, done };
  };

  it('tries a port in use every 5 s, tells of it once, and logs it once a minute', async () => {
    const port = await listen(() => {});
    const { failures, warnings, ends, time, done } = run(port, false);
    for (let i = 0; i < 13; i++) {
      while (time.sleeping === 0) await new Promise((resolve) => setImmediate(resolve));
      await time.advance(5000);
    }
    while (time.sleeping === 0) await new Promise((resolve) => setImmediate(resolve));
    expect(warnings).toHaveLength(2); // a minute has passed
    await new Promise((resolve) => servers.pop()?.close(resolve));
    while (time.sleeping === 0) await new Promise((resolve) => setImmediate(resolve));
    await time.advance(5000);
    let body = '';
    while (body === '')
      body = await call(port, '/').then(
        (answer) => answer.body,
        () => '',
      );
    expect(body).toBe('here');
    expect(failures).toEqual([expect.stringContaining('EADDRINUSE')]);
    ends.abort();
    await done;
  });

  it('ends at once where that is asked for, once it has told', async () => {
    const { failures, done } = run(await listen(() => {}), true);
    await expect(done).rejects.toThrow('Cannot serve test');
    expect(failures).toHaveLength(1);
  });
});

describe('ServiceHealthPorts', () => {
  it('listens on the addresses of NodePorts, and moves when port or addresses change', async () => {
    const [port, other] = [await listen(() => {}), await listen(() => {})];
    await Promise.all(servers.splice(0).map((server) => new Promise((resolve) => server.close(resolve))));
    let hosts = ['127.0.0.2', '127.0.0.3'];
    const ends = new AbortController();
    const ports = new ServiceHealthPorts({
      hosts: () => hosts,
      isProxyHealthy: () => true,
      onFailure: () => {},
      clock: new FakeClock(),
      log: silentLogger,
    });
    const service = (at: number, localEndpoints: number) =>
      new Map([['ns/svc', { namespace: 'ns', name: 'svc', port: at, localEndpoints }]]);
    const ask = async (host: string, at: number): Promise<unknown> => {
      const answer = await call(at, '/any', { host, method: 'POST' }).catch(() => undefined);
      return answer && [answer.code, answer.headers['x-load-balancing-endpoint-weight']];
    };
    const until = async (host: string, at: number): Promise<unknown> => {
      for (;;) {
        const answer = await ask(host, at);
        if (answer !== undefined) return answer;
      }
    };
    await ports.update(service(port, 2), ends.signal);
    expect(await until('127.0.0.2', port)).toEqual([200, '2']);
    expect(await until('127.0.0.3', port)).toEqual([200, '2']);
    expect(await ask('127.0.0.4', port)).toBeUndefined();
    hosts = ['127.0.0.4'];
    await ports.update(service(port, 0), ends.signal);
    expect(await until('127.0.0.4', port)).toEqual([503, '0']);
    expect(await ask('127.0.0.2', port)).toBeUndefined();
    await ports.update(service(other, 1), ends.signal);
    expect(await until('127.0.0.4', other)).toEqual([200, '1']);
    expect(await ask('127.0.0.4', port)).toBeUndefined();
    ends.abort();
    await ports.whenClosed();
    expect(await ask('127.0.0.4', other)).toBeUndefined();
  });
});
