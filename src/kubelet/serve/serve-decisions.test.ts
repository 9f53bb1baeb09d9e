import { describe, expect, it } from 'vitest';
import type { ContainerStatus, Pod } from '../../objects/generated/core-v1.ts';
import { accessAttributes } from './access-attributes.ts';
import { type Registered, matchRoute } from './match-route.ts';
import { tokenInRequest, withoutToken } from './parse-credentials.ts';
import { parseLogRequest } from './parse-log-options.ts';
import { parsePorts, parseStreamOptions } from './parse-stream-options.ts';
import { parseTime } from './parse-time.ts';
import { selectLogContainer } from './select-log-container.ts';

describe('matchRoute', () => {
  const registered: Registered = {
    metricPaths: new Set(['/metrics', '/metrics/probes']),
    checks: ['log', 'syncloop'],
    hasStatsSummary: true,
    hasDebuggingHandlers: true,
  };
  const unknown = { kind: 'unknown' };
  const refused = (status: number): object => ({ kind: 'refused', status });
  const route = (kind: string, more: object = {}): object => ({ kind: 'route', route: { kind, ...more } });
  it.each([
    ['GET', '/', unknown],
    ['GET', '/nothing', unknown],
    ['GET', '/metrics', route('metrics', { path: '/metrics' })],
    ['POST', '/metrics/probes', route('metrics', { path: '/metrics/probes' })],
    ['GET', '/metrics/other', unknown],
    ['GET', '/metrics/', unknown],
    ['GET', '/healthz', route('healthz', { check: undefined })],
    ['PUT', '/healthz/syncloop', route('healthz', { check: 'syncloop' })],
    ['GET', '/healthz/ping', route('healthz', { check: 'ping' })],
    ['GET', '/healthz/other', unknown],
    ['GET', '/pods', route('pods')],
    ['HEAD', '/pods', refused(405)],
    ['GET', '/pods/', refused(404)],
    ['GET', '/runningpods', { kind: 'redirect', location: '/runningpods/' }],
    ['GET', '/runningpods/', route('running-pods')],
    ['POST', '/stats/summary', route('stats-summary')],
    ['GET', '/stats', refused(404)],
    ['GET', '/configz', route('configz')],
    [
      'GET',
      '/containerLogs/n/p/c',
      route('container-logs', { namespace: 'n', pod: 'p', uid: undefined, container: 'c' }),
    ],
    ['GET', '/containerLogs/n/p/u/c', refused(404)],
    ['GET', '/containerLogs/n//c', refused(404)],
    ['POST', '/run/n/p/c', route('run', { namespace: 'n', pod: 'p', container: 'c' })],
    ['GET', '/run/n/p/c', refused(405)],
    ['GET', '/exec/n/p/u/c', route('exec', { namespace: 'n', pod: 'p', uid: 'u', container: 'c' })],
    ['DELETE', '/attach/n/p/c', refused(405)],
    ['GET', '/exec/n/p', refused(404)],
    ['POST', '/portForward/n/p', route('port-forward', { namespace: 'n', pod: 'p', uid: undefined })],
    ['POST', '/portForward/n/p/u', route('port-forward', { uid: 'u' })],
    ['GET', '/portForward/n', refused(404)],
    ['GET', '/exec/n/p/../c', route('exec', { uid: '..', container: 'c' })],
  ])('%s %s', (method, path, want) => {
    expect(matchRoute(method, path, registered)).toMatchObject(want);
  });

  it.each(['/run/n/p/c', '/exec/x', '/attach/', '/portForward/n/p', '/containerLogs/n/p/c', '/runningpods/'])(
    'without debugging handlers %s is said to be off',
    (path) => {
      const match = matchRoute('GET', path, { ...registered, hasDebuggingHandlers: false });
      expect(match).toEqual({ kind: 'refused', status: 405, text: 'Debug endpoints are disabled.\n' });
    },
  );
});

describe('accessAttributes', () => {
  it.each([
    ['GET', '/stats/summary', 'get', ['stats']],
    ['GET', '/metrics/cadvisor', 'get', ['metrics']],
    ['GET', '/pods', 'get', ['pods', 'proxy']],
    ['GET', '/runningpods/', 'get', ['pods', 'proxy']],
    ['GET', '/healthz/ping', 'get', ['healthz', 'proxy']],
    ['GET', '/configz', 'get', ['configz', 'proxy']],
    ['GET', '/logs/syslog', 'get', ['log']],
    ['GET', '/exec/n/p/c', 'get', ['proxy']],
    ['POST', '/exec/n/p/c', 'create', ['proxy']],
    ['PUT', '/podsx', 'update', ['proxy']],
    ['PATCH', '/x', 'patch', ['proxy']],
    ['DELETE', '/x', 'delete', ['proxy']],
    ['HEAD', '/pods', '', ['pods', 'proxy']],
  ])('%s %s', (method, path, verb, subresources) => {
    expect(accessAttributes(method, path)).toEqual({ verb, subresources });
  });
});

describe('tokenInRequest', () => {
  const encoded = (token: string): string =>
    `base64url.bearer.authorization.k8s.io.${Buffer.from(token).toString('base64url')}`;
  it.each([
    { name: 'bearer', header: 'Bearer abc', protocols: undefined, want: { kind: 'token', token: 'abc' } },
    { name: 'any case', header: 'bearer abc', protocols: undefined, want: { kind: 'token', token: 'abc' } },
    { name: 'another scheme', header: 'Basic abc', protocols: undefined, want: { kind: 'none' } },
    { name: 'an empty token', header: 'Bearer ', protocols: undefined, want: { kind: 'none' } },
    { name: 'nothing', header: undefined, protocols: undefined, want: { kind: 'none' } },
    {
      name: 'WebSocket',
      header: undefined,
      protocols: `${encoded('abc')}, v4.channel.k8s.io`,
      want: { kind: 'token', token: 'abc' },
    },
    {
      name: 'WebSocket without a protocol to choose',
      header: undefined,
      protocols: encoded('abc'),
      want: { kind: 'invalid' },
    },
    {
      name: 'two tokens',
      header: undefined,
      protocols: `${encoded('a')}, ${encoded('b')}, x`,
      want: { kind: 'invalid' },
    },
    { name: 'no base64', header: undefined, protocols: `${encoded('')}!!, x`, want: { kind: 'invalid' } },
  ])('$name', ({ header, protocols, want }) => {
    expect(tokenInRequest(header, protocols)).toEqual(want);
  });

  it('takes the token out of what goes on', () => {
    expect(withoutToken(`${encoded('abc')}, v4.channel.k8s.io,x`)).toBe('v4.channel.k8s.io, x');
  });
});

describe('parseLogRequest', () => {
  const nowMs = Date.parse('2026-01-01T00:01:00Z');
  const nothing = {
    follow: false,
    previous: false,
    timestamps: false,
    tailLines: undefined,
    limitBytes: undefined,
    sinceMs: undefined,
  };
  it.each([
    ['', {}],
    ['follow', { follow: true }],
    ['follow=true&previous=1&timestamps=false', { follow: true, previous: true }],
    ['follow=0', {}],
    ['tailLines=0', { tailLines: 0 }],
    ['tail=5', { tailLines: 5 }],
    ['tail=all', {}],
    ['limitBytes=1', { limitBytes: 1 }],
    ['sinceSeconds=60', { sinceMs: Date.parse('2026-01-01T00:00:00Z') }],
    ['sinceTime=2026-01-01T01:00:00%2B01:00', { sinceMs: Date.parse('2026-01-01T00:00:00Z') }],
    ['stream=All&unknown=x', {}],
  ])('%s', (query, want) => {
    expect(parseLogRequest(new URLSearchParams(query), nowMs)).toEqual({
      kind: 'good',
      request: { ...nothing, ...want },
    });
  });

  it.each([
    ['tailLines=', 400],
    ['tail=many', 400],
    ['sinceTime=1', 400],
    ['tailLines=-1', 422],
    ['sinceSeconds=0', 422],
    ['limitBytes=0', 422],
    ['stream=Both', 422],
    ['stream=Stderr', 400],
  ])('%s is refused with %s', (query, status) => {
    expect(parseLogRequest(new URLSearchParams(query), nowMs)).toMatchObject({ kind: 'refused', status });
  });
});

describe('parseTime', () => {
  it.each(['2026', 'Jan 1 2026', '2026-01-01 00:00:00Z', '2026-01-01T00:00:00', '2026-99-01T00:00:00Z'])(
    '%s is no RFC 3339',
    (text) => {
      expect(parseTime(text)).toBeUndefined();
    },
  );
});

describe('parseStreamOptions', () => {
  const none = { stdin: false, stdout: false, stderr: false, tty: false };
  it.each([
    ['input=1&output=1&error=1', { stdin: true, stdout: true, stderr: true }],
    ['stdin=true&stdout=true', { stdin: true, stdout: true }],
    ['output=1&error=1&tty=1', { stdout: true, tty: true }],
    ['output=1&input=0', { stdout: true }],
  ])('%s', (query, want) => {
    expect(parseStreamOptions(new URLSearchParams(query))).toEqual({ ...none, ...want });
  });

  it.each(['', 'tty=1', 'tty=1&error=1', 'input=yes'])('%s asks for no stream', (query) => {
    expect(parseStreamOptions(new URLSearchParams(query))).toBeUndefined();
  });
});

describe('parsePorts', () => {
  it.each([
    ['port=80', { ports: [80] }],
    ['port=80,443&port=1', { ports: [80, 443, 1] }],
    ['', { problem: 'query parameter "port" is required' }],
    ['port=0', { problem: 'port "0" must be > 0' }],
    [
      'port=65536',
      { problem: 'unable to parse "65536" as a port: strconv.ParseUint: parsing "65536": value out of range' },
    ],
    ['port=', { problem: 'unable to parse "" as a port: strconv.ParseUint: parsing "": invalid syntax' }],
  ])('%s', (query, want) => {
    expect(parsePorts(new URLSearchParams(query))).toEqual(want);
  });
});

describe('selectLogContainer', () => {
  const podWith = (status: Partial<ContainerStatus> | undefined, list = 'containerStatuses'): Pod => ({
    metadata: { name: 'p' },
    spec: { containers: [] },
    status: {
      [list]:
        status === undefined ? [] : [{ name: 'c', image: '', imageID: '', ready: false, restartCount: 0, ...status }],
    },
  });
  const ended = (containerID?: string): object => ({ terminated: { exitCode: 0, containerID } });
  const current = 'x://now';
  it.each([
    { name: 'running: the current one', status: { containerID: current, state: { running: {} } }, want: 'now' },
    { name: 'ended: that one', status: { state: ended('x://ended') }, want: 'ended' },
    {
      name: 'ended without id: the one before',
      status: { state: ended(), lastState: ended('x://before') },
      want: 'before',
    },
    {
      name: 'waiting after an end: the one before',
      status: { state: { waiting: {} }, lastState: ended('x://before') },
      want: 'before',
    },
    {
      name: 'previous: the one before, even while one runs',
      status: { containerID: current, state: { running: {} }, lastState: ended('x://before') },
      previous: true,
      want: 'before',
    },
    { name: 'an init container', status: { state: ended('x://init') }, list: 'initContainerStatuses', want: 'init' },
    {
      name: 'an ephemeral container',
      status: { state: ended('x://e') },
      list: 'ephemeralContainerStatuses',
      want: 'e',
    },
  ])('$name', ({ status, list, previous = false, want }) => {
    expect(selectLogContainer(podWith(status, list), 'c', previous)).toEqual({ kind: 'found', containerId: want });
  });

  it.each([
    { name: 'no status', status: undefined, text: 'container "c" in pod "p" is not available' },
    { name: 'ended without any id', status: { state: ended() }, text: 'container "c" in pod "p" is terminated' },
    {
      name: 'image pull failed',
      status: { state: { waiting: { reason: 'ErrImagePull' } } },
      text: 'container "c" in pod "p" is waiting to start: image can\'t be pulled',
    },
    {
      name: 'image pull waits',
      status: { state: { waiting: { reason: 'ImagePullBackOff' } } },
      text: 'container "c" in pod "p" is waiting to start: trying and failing to pull image',
    },
    {
      name: 'still creating',
      status: { state: { waiting: { reason: 'ContainerCreating' } } },
      text: 'container "c" in pod "p" is waiting to start: ContainerCreating',
    },
    {
      name: 'no state at all',
      status: {},
      text: 'container "c" in pod "p" is waiting to start - no logs yet',
    },
    {
      name: 'no previous',
      status: { containerID: current, state: { running: {} } },
      previous: true,
      text: 'previous terminated container "c" in pod "p" not found',
    },
  ])('$name', ({ status, previous = false, text }) => {
    expect(selectLogContainer(podWith(status), 'c', previous)).toEqual({ kind: 'none', text });
  });
});
