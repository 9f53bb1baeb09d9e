/** Broken pods sent to the lab's API server: each is taken or refused, none is an error of the server. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { MemoryStorage } from '../../src/apiserver/storage/memory-storage.ts';
import { hostilePod } from '../fakes/hostile-pods.ts';
import { type TestServer, startTestServer } from './apiserver-fixture.ts';

const seed = Number(process.env['HOSTILE_SEED'] ?? Math.floor(Math.random() * 1_000_000));
const count = Number(process.env['HOSTILE_COUNT'] ?? 2000);
const atOnce = 50;

let server: TestServer;

beforeAll(async () => {
  process.stdout.write(`hostile pods: HOSTILE_SEED=${seed}\n`);
  server = await startTestServer(new MemoryStorage());
  await server.call('POST', '/api/v1/namespaces', { body: { metadata: { name: 'default' } } });
  await server.call('POST', '/api/v1/namespaces/default/serviceaccounts', { body: { metadata: { name: 'default' } } });
});
afterAll(async () => {
  await server.stop();
});

it(`takes or refuses ${count} hostile pods, and goes on`, async () => {
  const codes = new Map<number, number>();
  const wrong: string[] = [];
  for (let at = 0; at < count; at += atOnce) {
    await Promise.all(
      Array.from({ length: Math.min(atOnce, count - at) }, async (_, i) => {
        const number = at + i;
        const { text, changes } = hostilePod(seed, number, { name: `p${number}`, uid: `u${number}` });
        const { code, text: answer } = await server.call('POST', '/api/v1/namespaces/default/pods', {
          body: Buffer.from(text),
        });
        codes.set(code, (codes.get(code) ?? 0) + 1);
        if (code !== 201 && (code < 400 || code >= 500)) {
          wrong.push(`HOSTILE_SEED=${seed} ${number}: ${code} ${answer.slice(0, 400)} (${changes.join('; ')})`);
        }
      }),
    );
  }
  process.stdout.write(`hostile pods: ${JSON.stringify(Object.fromEntries(codes))}\n`);
  expect(wrong.slice(0, 10)).toEqual([]);
  expect(codes.get(201)).toBeGreaterThan(count / 20);
  const { code, body } = await server.call('GET', '/api/v1/namespaces/default/pods');
  expect(code).toBe(200);
  expect(body['items']).toHaveLength(codes.get(201) ?? 0);
}, 300_000);
