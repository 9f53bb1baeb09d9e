import { describe, expect, it } from 'vitest';
import { expandCommand } from './expand-command.ts';
import { followRedirect, makeHttpProbeRequest, requestUrl } from './http-probe-request.ts';
import { probeEvent } from './probe-events.ts';
import { goSeconds } from './probe-outcome.ts';
import { resolvePort } from './resolve-port.ts';

const web = { ports: [{ name: 'http', containerPort: 8080 }] };

describe('expandCommand', () => {
  const env = [{ name: 'A', value: '1' }, { name: 'FROM_FIELD' }];
  it.each([
    ['$(A)', '1'],
    ['x$(A)y$(A)', 'x1y1'],
    ['$(MISSING)', '$(MISSING)'],
    ['$$(A)', '$(A)'],
    ['$(FROM_FIELD)', ''],
    ['$A', '$A'],
    ['cost $', 'cost $'],
  ])('%s → %s', (word, want) => {
    expect(expandCommand([word], env)).toEqual([want]);
  });
});

describe('resolvePort', () => {
  it.each([
    [80, 80],
    ['http', 8080],
    ['81', 81],
  ])('%s → %s', (port, want) => {
    expect(resolvePort(port, web)).toBe(want);
  });
  it.each([
    ['nope', 'strconv.Atoi: parsing "nope": invalid syntax'],
    [0, 'invalid port number: 0'],
    [70000, 'invalid port number: 70000'],
    ['0', 'invalid port number: 0'],
  ])('%s is refused', (port, says) => {
    expect(() => resolvePort(port, web)).toThrow(new Error(says));
  });
});

describe('makeHttpProbeRequest', () => {
  it.each([
    { name: 'defaults', action: { port: 80 }, want: 'http://10.0.0.1:80/' },
    { name: 'named port, path, query', action: { port: 'http', path: '/a?b=c' }, want: 'http://10.0.0.1:8080/a?b=c' },
    { name: 'https', action: { port: 443, scheme: 'HTTPS' }, want: 'https://10.0.0.1:443/' },
    { name: 'another host', action: { port: 80, host: 'example' }, want: 'http://example:80/' },
    { name: 'a path without root', action: { port: 80, path: 'a' }, want: 'http://10.0.0.1:80/a' },
    { name: 'odd characters', action: { port: 80, path: '/a b%zz#x' }, want: 'http://10.0.0.1:80/a%20b%25zz' },
    { name: 'a line break', action: { port: 80, path: '/a\r\nX: y' }, want: 'http://10.0.0.1:80/a%0D%0AX:%20y' },
  ])('$name', ({ action, want }) => {
    expect(requestUrl(makeHttpProbeRequest(action, web, '10.0.0.1'))).toBe(want);
  });

  it('has brackets around IPv6', () => {
    expect(requestUrl(makeHttpProbeRequest({ port: 80 }, web, 'fd00::1'))).toBe('http://[fd00::1]:80/');
  });

  it.each([
    {
      name: 'user agent and accept by default',
      given: [],
      want: [
        ['User-Agent', 'kube-probe/1.36'],
        ['Accept', '*/*'],
      ],
    },
    {
      name: 'given ones win',
      given: [
        { name: 'user-agent', value: 'me' },
        { name: 'Accept', value: 'a/b' },
      ],
      want: [
        ['user-agent', 'me'],
        ['Accept', 'a/b'],
      ],
    },
    {
      name: 'an empty accept takes it away',
      given: [{ name: 'Accept', value: '' }],
      want: [['User-Agent', 'kube-probe/1.36']],
    },
  ])('$name', ({ given, want }) => {
    expect(makeHttpProbeRequest({ port: 80, httpHeaders: given }, web, 'h').headers).toEqual(want);
  });
});

describe('followRedirect', () => {
  const request = makeHttpProbeRequest(
    { port: 80, path: '/a', httpHeaders: [{ name: 'Host', value: 'v' }] },
    web,
    '10.0.0.1',
  );
  it.each([
    { name: 'a path', status: 302, location: '/b?c', want: 'http://10.0.0.1:80/b?c' },
    { name: 'the same host by TLS', status: 301, location: 'https://10.0.0.1/b', want: 'https://10.0.0.1:443/b' },
    { name: 'another port', status: 307, location: 'http://10.0.0.1:81/', want: 'http://10.0.0.1:81/' },
    { name: 'another host: no', status: 302, location: 'http://other/b', want: undefined },
    { name: 'no location: no', status: 302, location: undefined, want: undefined },
    { name: 'no redirect: no', status: 304, location: '/b', want: undefined },
    { name: 'another scheme: no', status: 302, location: 'ftp://10.0.0.1/', want: undefined },
  ])('$name', ({ status, location, want }) => {
    const next = followRedirect(request, status, location);
    expect(next === undefined ? undefined : requestUrl(next)).toBe(want);
  });
});

describe('probeEvent', () => {
  it.each([
    { outcome: { kind: 'success', output: 'x' }, want: undefined },
    {
      outcome: { kind: 'failure', output: 'boom' },
      want: { type: 'Warning', reason: 'Unhealthy', message: 'Liveness probe failed: boom' },
    },
    {
      outcome: { kind: 'error', result: 'unknown', err: new Error('no port') },
      want: {
        type: 'Warning',
        reason: 'Unhealthy',
        message: 'Liveness probe errored and resulted in unknown state: no port',
      },
    },
    {
      outcome: { kind: 'warning', output: 'w' },
      want: { type: 'Warning', reason: 'ProbeWarning', message: 'Liveness probe warning: w' },
    },
  ] as const)('$outcome.kind', ({ outcome, want }) => {
    expect(probeEvent('liveness', outcome)).toEqual(want);
  });
});

describe('goSeconds', () => {
  it.each([
    [1, '1s'],
    [90, '1m30s'],
    [3600, '1h0m0s'],
  ])('%s → %s', (seconds, want) => {
    expect(goSeconds(seconds)).toBe(want);
  });
});
