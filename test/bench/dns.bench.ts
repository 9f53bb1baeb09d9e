/**
 * `npm run bench -- dns`: how many questions the name service answers, at which cost. It runs as the process that it is in
 * a cluster, on loopback, against an API server on memory; the load comes from a process of its own. Flags:
 * `--rates 1000,5000,10000 --seconds 10 --services 1000`.
 */
import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { systemClock } from '../../src/base/clock.ts';
import { endpointSlices, services } from '../../src/client/resource-types.ts';
import { runCommand, succeed } from '../e2e/support/lab.ts';
import { awaitUntil } from '../await-until.ts';
import { type ControlPlane, startControlPlane } from '../integration/control-plane.ts';
import type { LoadFigures, LoadOptions } from './dns-load.ts';
import { readUsage } from './process-usage.ts';
import { formatTable } from './statistics.ts';

const flag = (name: string, standard: string): string => {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? standard : (process.argv[at + 1] ?? standard);
};
const rates = flag('rates', '1000,5000,10000').split(',').map(Number);
const seconds = Number(flag('seconds', '10'));
const serviceCount = Number(flag('services', '1000'));
const endpointsEach = 5;
const namespace = 'default';
const bundle = fileURLToPath(new URL('../../dist/gantry.js', import.meta.url));
const loadFile = fileURLToPath(new URL('dns-load.ts', import.meta.url));
const never = new AbortController().signal;

/** Half of them headless. */
async function fill({ client, signal }: ControlPlane): Promise<void> {
  const ports = [{ name: 'http', port: 80, protocol: 'TCP' }];
  for (let i = 0; i < serviceCount; i++) {
    const name = `svc-${i}`;
    const spec = i % 2 === 0 ? { ports } : { clusterIP: 'None', ports };
    await client.create(services, { metadata: { namespace, name }, spec }, signal);
    const endpoints = Array.from({ length: endpointsEach }, (_, j) => ({
      addresses: [`10.${128 + (i >> 8)}.${i & 255}.${j + 1}`],
      conditions: { ready: true },
    }));
    const metadata = { namespace, name: `${name}-a`, labels: { 'kubernetes.io/service-name': name } };
    await client.create(endpointSlices, { metadata, addressType: 'IPv4', endpoints, ports }, signal);
  }
}

/** A port that is free for UDP and TCP. */
async function freePort(): Promise<number> {
  const tcp = createServer();
  await new Promise<void>((resolve) => tcp.listen(0, '127.0.0.1', resolve));
  const address = tcp.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const udp = createSocket('udp4');
  await new Promise<void>((resolve) => udp.bind(port, '127.0.0.1', resolve));
  await new Promise<void>((resolve) => udp.close(resolve));
  await new Promise((resolve) => tcp.close(resolve));
  return port;
}

const plane = await startControlPlane();
try {
  await fill(plane);
  const [port, ready, upstream] = await Promise.all([freePort(), freePort(), freePort()]);
  const args = [
    bundle,
    'cluster-dns',
    `--kubeconfig=${plane.kubeconfig}`,
    `--listen=127.0.0.1:${port}`,
    `--ready-address=127.0.0.1:${ready}`,
    '--health-address=',
    '--metrics-address=',
    `--upstream=127.0.0.1:${upstream}`, // nobody: what is measured are the cluster's names
    '--lameduck=0s',
  ];
  const server = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  try {
    const pid = server.pid ?? 0;
    await awaitUntil('ready', async () => (await fetch(`http://127.0.0.1:${ready}/ready`)).status === 200);
    const names: LoadOptions['names'] = Array.from({ length: Math.min(serviceCount, 500) }, (_, i) => ({
      name: `svc-${i}.${namespace}.svc.cluster.local`,
      answers: i % 2 === 0 ? 1 : endpointsEach,
    }));
    const rows: string[][] = [];
    for (const perSecond of rates) {
      const before = await readUsage(pid);
      const options: LoadOptions = { host: '127.0.0.1', port, names, perSecond, seconds, isPatient: false };
      const outcome = await runCommand(process.execPath, [loadFile, JSON.stringify(options)]);
      const figures = JSON.parse(succeed('the load', outcome)) as LoadFigures; // our own
      const after = await readUsage(pid);
      const cpu = after.cpuSeconds - before.cpuSeconds;
      rows.push([
        String(perSecond),
        (figures.answered / figures.seconds).toFixed(0),
        String(figures.wrong + figures.lost),
        String(figures.skipped),
        figures.p50Ms.toFixed(2),
        figures.p99Ms.toFixed(2),
        figures.maxMs.toFixed(1),
        ((1e6 * cpu) / Math.max(1, figures.answered)).toFixed(0),
        (after.rssBytes / 2 ** 20).toFixed(0),
      ]);
      await systemClock.sleep(1000, never);
    }
    const head = [
      'asked/s',
      'answered/s',
      'failed',
      'not asked',
      'p50 ms',
      'p99 ms',
      'max ms',
      'CPU µs each',
      'RSS MiB',
    ];
    console.log(
      `${serviceCount} Services × ${endpointsEach} endpoints, ${seconds} s each:\n${formatTable(head, rows)}`,
    );
  } finally {
    server.kill('SIGTERM');
    await new Promise((resolve) => (server.exitCode === null ? server.once('exit', resolve) : resolve(undefined)));
  }
} finally {
  await plane.stop();
}
