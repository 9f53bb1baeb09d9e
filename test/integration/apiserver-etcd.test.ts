/** The API server and the storage contract on a real etcd; skipped by name where none is installed. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { Etcd } from '../../src/adapters/etcd/etcd.ts';
import { EtcdStorage } from '../../src/apiserver/storage/etcd-storage.ts';
import { type RangeOptions, type Storage, type StorageEventBatch } from '../../src/apiserver/storage/storage.ts';
import { systemClock } from '../../src/base/clock.ts';
import { storageContract } from '../contracts/storage-contract.ts';
import { type TestServer, startTestServer } from './apiserver-fixture.ts';

const hasEtcd = isInstalled();
const suite = hasEtcd ? describe : describe.skip;

function isInstalled(): boolean {
  try {
    execFileSync('etcd', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false; // the answer
  }
}

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const address = probe.address();
  await new Promise<void>((resolve) => probe.close(() => resolve()));
  return typeof address === 'object' && address !== null ? address.port : 0;
}

/** One etcd that can be killed and started again on the same data. */
class EtcdProcess {
  readonly directory = mkdtempSync(join(tmpdir(), 'gantry-etcd-'));
  #client = 0;
  #peer = 0;
  #child: ChildProcess | undefined;

  get url(): string {
    return `http://127.0.0.1:${this.#client}`;
  }

  async start(): Promise<void> {
    if (this.#client === 0) [this.#client, this.#peer] = [await freePort(), await freePort()];
    const peer = `http://127.0.0.1:${this.#peer}`;
    const flags = {
      'data-dir': join(this.directory, 'data'),
      'listen-client-urls': this.url,
      'advertise-client-urls': this.url,
      'listen-peer-urls': peer,
      'initial-advertise-peer-urls': peer,
      'initial-cluster': `default=${peer}`,
      'log-level': 'panic',
    };
    const args = Object.entries(flags).map(([name, value]) => `--${name}=${value}`);
    this.#child = spawn('etcd', args, { stdio: 'ignore' });
    await vi.waitFor(async () => expect((await fetch(`${this.url}/health`)).status).toBe(200), { timeout: 20_000 });
  }

  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
  }

  async remove(): Promise<void> {
    await this.kill();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** A part of an etcd as if it were alone: the contract opens a fresh store per test. */
class PartOfStorage implements Storage {
  readonly #inner: Storage;
  readonly #part: string;

  constructor(inner: Storage, part: string) {
    this.#inner = inner;
    this.#part = part;
  }

  #own<T extends { key: string }>(value: T): T {
    return { ...value, key: value.key.slice(this.#part.length) };
  }

  async get(key: string, signal: AbortSignal): ReturnType<Storage['get']> {
    const { value, revision } = await this.#inner.get(this.#part + key, signal);
    return { revision, value: value === undefined ? undefined : this.#own(value) };
  }

  async range(prefix: string, options: RangeOptions, signal: AbortSignal): ReturnType<Storage['range']> {
    const startKey = options.startKey === undefined ? undefined : this.#part + options.startKey;
    const range = await this.#inner.range(this.#part + prefix, { ...options, startKey }, signal);
    return { ...range, items: range.items.map((item) => this.#own(item)) };
  }

  probe(prefix: string, since: number, signal: AbortSignal): ReturnType<Storage['probe']> {
    return this.#inner.probe(this.#part + prefix, since, signal);
  }

  create(key: string, value: string, ttl: number | undefined, signal: AbortSignal): ReturnType<Storage['create']> {
    return this.#outcome(this.#inner.create(this.#part + key, value, ttl, signal));
  }

  update(...[key, value, revision, ttl, signal]: Parameters<Storage['update']>): ReturnType<Storage['update']> {
    return this.#outcome(this.#inner.update(this.#part + key, value, revision, ttl, signal));
  }

  delete(key: string, revision: number, signal: AbortSignal): ReturnType<Storage['delete']> {
    return this.#outcome(this.#inner.delete(this.#part + key, revision, signal));
  }

  async *watch(prefix: string, after: number, signal: AbortSignal): AsyncGenerator<StorageEventBatch> {
    for await (const { events, revision } of this.#inner.watch(this.#part + prefix, after, signal)) {
      yield { revision, events: events.map((event) => this.#own(event)) };
    }
  }

  compact(revision: number, signal: AbortSignal): Promise<void> {
    return this.#inner.compact(revision, signal);
  }

  async #outcome(written: ReturnType<Storage['create']>): ReturnType<Storage['create']> {
    const outcome = await written;
    if (outcome.kind === 'written' || outcome.current === undefined) return outcome;
    return { ...outcome, current: this.#own(outcome.current) };
  }
}

suite('with a real etcd', () => {
  const process = new EtcdProcess();
  let etcd: Etcd;
  let opened = 0;

  beforeAll(async () => {
    await process.start();
    etcd = new Etcd({ endpoints: [process.url] });
  });
  afterAll(async () => {
    etcd?.close();
    await process.remove();
  });

  storageContract('etcd', () =>
    Promise.resolve(new PartOfStorage(new EtcdStorage(etcd, systemClock), `/contract/${opened++}`)),
  );

  describe('the API server', () => {
    const path = '/api/v1/namespaces/default/configmaps';
    const contentType = 'application/merge-patch+json';
    let server: TestServer;
    beforeAll(async () => {
      server = await startTestServer(new EtcdStorage(etcd, systemClock));
    });
    afterAll(() => server.stop());

    it('stores JSON where upstream does', async () => {
      const { items } = await etcd.range(
        { key: '/registry/services/specs/default/kubernetes' },
        AbortSignal.timeout(5000),
      );
      expect(JSON.parse(items[0]?.value ?? '')).toMatchObject({ apiVersion: 'v1', kind: 'Service' });
    });

    it('200 writers at once lose nothing', async () => {
      await server.call('POST', path, { body: { metadata: { name: 'race' } } });
      const answers = await Promise.all(
        Array.from({ length: 200 }, (_, i) =>
          server.call('PATCH', `${path}/race`, { body: { data: { [`k${i}`]: String(i) } }, contentType }),
        ),
      );
      expect(answers.filter(({ code }) => code !== 200)).toEqual([]);
      expect(Object.keys((await server.call('GET', `${path}/race`)).body['data'] as object)).toHaveLength(200);
    });

    it('etcd killed and started again: writes fail clearly meanwhile, watches go on and miss nothing', async () => {
      const stop = new AbortController();
      const seen: string[] = [];
      const from = (await server.call('GET', path)).body.metadata['resourceVersion'] as string;
      const watching = (async () => {
        const events = server.watch(`${path}?watch=true&resourceVersion=${from}`, stop.signal);
        for await (const { object } of events) seen.push(String(object.metadata['name']));
      })();
      await server.call('POST', path, { body: { metadata: { name: 'before' } } });
      await vi.waitFor(() => expect(seen).toEqual(['before']), { timeout: 10_000 });
      await process.kill();
      expect(await server.call('POST', path, { body: { metadata: { name: 'meanwhile' } } })).toMatchObject({
        code: 503,
        headers: { 'retry-after': '1' },
        body: {
          kind: 'Status',
          reason: 'ServiceUnavailable',
          message: expect.stringContaining('the store is not available'),
        },
      });
      expect((await server.call('GET', '/readyz')).code).toBe(500);
      const cached = await server.call('GET', `${path}?resourceVersion=0`);
      expect(cached.code).toBe(200);
      await process.start();
      await vi.waitFor(
        async () => expect((await server.call('POST', path, { body: { metadata: { name: 'after' } } })).code).toBe(201),
        { timeout: 20_000, interval: 200 },
      );
      await vi.waitFor(() => expect(seen).toEqual(['before', 'after']), { timeout: 10_000 });
      stop.abort();
      await watching;
    });
  });
});
