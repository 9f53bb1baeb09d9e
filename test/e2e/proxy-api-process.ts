/** An API server in memory, started inside a network namespace: its first line of output says how to reach it. */
import { readFile } from 'node:fs/promises';
import { MemoryStorage } from '../../src/apiserver/storage/memory-storage.ts';
import { aborted } from '../../src/base/run-together.ts';
import { stopSignal } from '../../src/base/stop-signal.ts';
import { startTestServer } from '../integration/apiserver-fixture.ts';

const signal = stopSignal();
const server = await startTestServer(new MemoryStorage());
const post = async (path: string, body: unknown): Promise<Record<string, unknown>> => {
  const answer = await server.call('POST', path, { body });
  if (answer.code >= 300) throw new Error(`POST ${path}: ${answer.text}`);
  return answer.body;
};
const accounts = '/api/v1/namespaces/kube-system/serviceaccounts';
await server.call('POST', '/api/v1/namespaces', { body: { metadata: { name: 'kube-system' } } }); // may be there
await post(accounts, { metadata: { name: 'kube-proxy' } });
const { status } = await post(`${accounts}/kube-proxy/token`, { spec: { audiences: [], expirationSeconds: 3600 } });
await post('/api/v1/namespaces', { metadata: { name: 'shop' } });
for (const line of process.argv.slice(2)) {
  const { path, body } = JSON.parse(line) as { path: string; body: unknown };
  await post(path, body);
}
const ca = await readFile(server.pki.files.caCert, 'utf8');
process.stdout.write(`${JSON.stringify({ url: server.url, ca, status })}\n`);
await aborted(signal);
await server.stop();
process.exit(0);
