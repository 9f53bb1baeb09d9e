import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../../base/clock.ts';
import { silentLogger } from '../../base/logger.ts';
import { type HttpAnswer, getUrl } from './http-get.ts';
import { HttpSource } from './http-source.ts';

const url = 'http://x/pods';
const pod = (name: string): string =>
  `{apiVersion: v1, kind: Pod, metadata: {name: ${name}}, spec: {containers: [{name: c, image: i}]}}`;
const ok = (body: string): HttpAnswer => ({ status: 200, body });
const periodMs = 20_000;

let clock: FakeClock;
let stop: AbortController;
let answer: () => Promise<HttpAnswer>;
let asked: number;
let sets: string[];
let problems: unknown[];
let running: Promise<void>;

beforeEach(() => {
  clock = new FakeClock();
  stop = new AbortController();
  asked = 0;
  sets = [];
  problems = [];
  answer = () => Promise.resolve(ok(pod('a')));
  const log = Object.assign(Object.create(silentLogger) as typeof silentLogger, {
    error: ({ problem }: { problem: string }) => problems.push(problem),
  });
  const source = new HttpSource({
    url,
    nodeName: 'n',
    periodMs,
    get: () => {
      asked++;
      return answer();
    },
    onPods: (pods) => sets.push(pods.map(({ metadata }) => metadata.name).join(' ')),
    clock,
    log,
  });
  running = source.run(stop.signal);
});
afterEach(async () => {
  stop.abort();
  await running;
});

describe('HttpSource', () => {
  it('asks every period and takes only what has changed', async () => {
    await clock.advance(2 * periodMs);
    expect([asked, sets]).toEqual([3, ['a-n']]);
    answer = () => Promise.resolve(ok(pod('b')));
    await clock.advance(periodMs);
    expect(sets).toEqual(['a-n', 'b-n']);
  });

  it.each([
    { name: 'an error', bad: () => Promise.resolve({ status: 503, body: 'x' }), want: 'status 503' },
    { name: 'no answer', bad: () => Promise.reject(new Error('refused')), want: 'refused' },
    { name: 'no manifest', bad: () => Promise.resolve(ok('<html>')), want: 'expected a Pod object' },
  ])('$name is named once, and what ran goes on', async ({ bad, want }) => {
    await clock.advance(0);
    answer = bad;
    await clock.advance(3 * periodMs);
    expect(sets).toEqual(['a-n']);
    expect(problems).toEqual([expect.stringContaining(want)]);
    answer = () => Promise.resolve(ok(pod('b')));
    await clock.advance(periodMs);
    expect(sets).toEqual(['a-n', 'b-n']);
  });

  it('an empty answer is an empty set, and an error', async () => {
    answer = () => Promise.resolve(ok(''));
    await clock.advance(periodMs);
    expect(sets.at(-1)).toBe('');
    expect(problems).toEqual(['zero-length data received from http://x/pods']);
  });

  it('waits ten seconds for an answer, then asks again', async () => {
    await clock.advance(0);
    answer = () => new Promise(() => {});
    await clock.advance(periodMs + 10_000);
    expect(problems).toEqual([expect.stringContaining('took longer than 10s')]);
    answer = () => Promise.resolve(ok(pod('b')));
    await clock.advance(periodMs);
    expect(sets).toEqual(['a-n', 'b-n']);
  });
});

describe('getUrl', () => {
  it('sends headers with all their values and follows redirects, but not for ever', async () => {
    const server = createServer((request, response) => {
      if (request.url === '/') response.writeHead(302, { location: '/there' }).end();
      else if (request.url === '/loop') response.writeHead(302, { location: '/loop' }).end();
      else response.end(request.rawHeaders.filter((_, i, all) => all[i - 1] === 'A').join(' '));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo; // it listens on TCP
    const base = `http://127.0.0.1:${port}`;
    try {
      expect(await getUrl(base, { A: ['hello', 'again'] }, stop.signal)).toEqual(ok('hello again'));
      await expect(getUrl(`${base}/loop`, {}, stop.signal)).rejects.toThrow(/stopped after 10 redirects/);
    } finally {
      server.close();
    }
    await expect(getUrl(base, {}, stop.signal)).rejects.toThrow(`Cannot get "${base}/"`);
  });
});
