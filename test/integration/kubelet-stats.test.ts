/** What a kubelet tells of the space that its pods use, and of what they may. */
import { mkdir, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type KubeletFixture, apiPod, nodeName, openFixture, webContainer } from './kubelet-fixture.ts';

let t: KubeletFixture;
let port: number;

beforeEach(async () => {
  port = await freePort();
  t = await openFixture({
    config: {
      enableServer: true,
      address: '127.0.0.1',
      port,
      authentication: { anonymous: { enabled: true }, webhook: { enabled: false } },
      authorization: { mode: 'AlwaysAllow' },
      volumeStatsAggPeriod: '10s',
    },
  });
});
afterEach(async () => {
  await t.close();
});

function freePort(): Promise<number> {
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

function get(path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = request({ host: '127.0.0.1', port, path, rejectUnauthorized: false, agent: false }, (answer) => {
      const pieces: Buffer[] = [];
      answer.on('data', (piece: Buffer) => pieces.push(piece));
      answer.once('error', reject);
      answer.once('end', () => resolve(Buffer.concat(pieces).toString()));
    });
    asked.once('error', reject);
    asked.end();
  });
}

interface Summary {
  node: { nodeName: string };
  pods: Array<{
    podRef: { name: string };
    containers: Array<{ name: string; logs?: { usedBytes: number } }>;
    volume?: Array<{ name: string; usedBytes: number; inodesUsed: number }>;
    'ephemeral-storage'?: { usedBytes: number };
  }>;
}
const summary = async (query = ''): Promise<Summary> => JSON.parse(await get(`/stats/summary${query}`)) as Summary;
const mounts = { volumeMounts: [{ name: 'cache', mountPath: '/cache' }] };
const MiB = 1024 ** 2;

it('/stats/summary tells the volumes of pods, and what they use of the disk', async () => {
  await t.start();
  t.api.addPod(
    apiPod('user', {
      containers: [webContainer(mounts)],
      volumes: [
        { name: 'cache', emptyDir: {} },
        { name: 'unused', emptyDir: {} },
      ],
    }),
    nodeName,
  );
  const { metadata } = await t.untilReady('user');
  const cache = join(t.directory, 'root', 'pods', metadata.uid ?? '', 'volumes/kubernetes.io~empty-dir/cache');
  await writeFile(join(cache, 'big'), Buffer.alloc(3 * MiB, 1));
  const { node, pods } = await summary();
  expect(node.nodeName).toBe(nodeName);
  const [pod] = pods;
  expect(pod?.podRef.name).toBe('user');
  expect(pod?.containers.map(({ name }) => name)).toEqual(['web']);
  expect(pod?.volume?.map(({ name, inodesUsed }) => `${name} ${inodesUsed}`)).toEqual(['cache 2']);
  expect(pod?.volume?.[0]?.usedBytes).toBeGreaterThanOrEqual(3 * MiB);
  expect(pod?.['ephemeral-storage']?.usedBytes).toBeGreaterThanOrEqual(pod?.volume?.[0]?.usedBytes ?? 0);

  const small = await summary('?only_cpu_and_memory=true');
  expect(small.pods[0]?.volume).toBeUndefined();
  // figures follow while somebody asks
  await mkdir(join(cache, 'more'));
  await t.clock.pass(25_000);
  expect((await summary()).pods[0]?.volume?.[0]?.inodesUsed).toBe(3);

  t.cri.failNext('ImageFsInfo', 'UNKNOWN', 'no such file system', 1);
  expect(await get('/stats/summary')).toMatch(/^Internal Error: failed to get imageFs stats: .*no such file system/);

  const metrics = await get('/metrics');
  expect(metrics).toContain(
    'volume_manager_total_volumes{plugin_name="kubernetes.io/empty-dir",state="desired_state_of_world"} 1',
  );
  expect(metrics).toContain(
    'volume_manager_total_volumes{plugin_name="kubernetes.io/empty-dir",state="actual_state_of_world"} 1',
  );
});

it('a pod that uses more than it may is told once, and goes on', async () => {
  const told: string[] = [];
  await t.start({ log: pino({ level: 'warn' }, { write: (line: string) => void told.push(line) }) });
  t.api.addPod(
    apiPod('greedy', {
      containers: [webContainer(mounts)],
      volumes: [{ name: 'cache', emptyDir: { sizeLimit: '1Mi' } }],
    }),
    nodeName,
  );
  const { metadata } = await t.untilReady('greedy');
  const cache = join(t.directory, 'root', 'pods', metadata.uid ?? '', 'volumes/kubernetes.io~empty-dir/cache');
  await writeFile(join(cache, 'big'), Buffer.alloc(3 * MiB, 1));
  const words = 'Usage of EmptyDir volume \\"cache\\" exceeds the limit \\"1Mi\\".';
  await t.until('the words', () => told.some((line) => line.includes(words)));
  await t.clock.pass(45_000);
  expect(told.filter((line) => line.includes(words))).toHaveLength(1);
  expect(t.api.pod('greedy')?.status?.phase).toBe('Running');
});
