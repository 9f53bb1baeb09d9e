/**
 * Times changes of one endpoint from the API server's answer to the EndpointSlice's patch until a connection through the
 * ClusterIP reaches the new endpoint. Runs inside the test node; prints one line of JSON.
 *
 *     node test/bench/measure-proxy.ts '{"kubeconfig": …}'
 */
import { once } from 'node:events';
import { type Socket, connect, createServer } from 'node:net';
import { systemClock } from '../../src/base/clock.ts';
import { HttpApiClient } from '../../src/client/http-api-client.ts';
import { loadKubeconfig } from '../../src/client/kubeconfig.ts';
import { endpointSlices } from '../../src/client/resource-types.ts';
import {
  benchNamespace,
  endpointPort,
  measuredClusterIp,
  measuredEndpoint,
  measuredService,
  measuredSlice,
  servicePort,
  sliceEndpoint,
} from './proxy-services.ts';

export interface MeasureProxyOptions {
  kubeconfig: string;
  /** How often the endpoint has changed already. */
  changesBefore: number;
  /** Changes with a pause before each. */
  rounds: number;
  pauseMs: number;
  /** Changes after them, each at once when the one before has been seen. */
  backToBack: number;
}

export interface MeasureProxyResult {
  /** ms of each change. */
  spacedMs: number[];
  backToBackMs: number[];
}

const never = new AbortController().signal;
const changeTimeoutMs = 120_000;
const tryTimeoutMs = 1000;
/** Between two tries: often enough to see a change, too seldom to take the processor from who makes it. */
const triesApartMs = 1;

const options = JSON.parse(process.argv[2] ?? '{}') as MeasureProxyOptions; // given by our own program
const api = new HttpApiClient({
  access: await loadKubeconfig(options.kubeconfig),
  clock: systemClock,
  userAgentName: 'bench',
});

/** The endpoint that a connection through the ClusterIP reaches; undefined when there is none. */
async function reached(): Promise<string | undefined> {
  const socket = connect({ host: measuredClusterIp, port: servicePort });
  try {
    return await textOf(socket);
  } catch {
    return undefined; // refused or too late: the next try tells
  } finally {
    socket.resetAndDestroy();
  }
}

function textOf(socket: Socket): Promise<string> {
  socket.setEncoding('utf8').setTimeout(tryTimeoutMs);
  return new Promise((resolve, reject) => {
    socket.once('data', (text) => resolve(String(text)));
    socket.once('error', reject);
    socket.once('timeout', () => reject(new Error('no answer')));
    socket.once('close', () => reject(new Error('closed')));
  });
}

async function reach(wanted: string, endMs: number): Promise<void> {
  while ((await reached()) !== wanted) {
    if (systemClock.monotonicMs() > endMs) throw new Error(`no connection reached "${wanted}"`);
    await systemClock.sleep(triesApartMs, never);
  }
}

/** One change. Returns the ms from the API server's answer to the first connection. */
async function change(count: number): Promise<number> {
  const wanted = measuredEndpoint(count);
  const ref = { namespace: benchNamespace, name: measuredSlice };
  const endpoints = [sliceEndpoint(wanted, `${measuredService}-${count}`)];
  await api.patch(endpointSlices, ref, 'merge', { endpoints }, never);
  const answeredMs = systemClock.monotonicMs();
  await reach(wanted, answeredMs + changeTimeoutMs);
  return systemClock.monotonicMs() - answeredMs;
}

// tells whoever connects which of the endpoints it is
const server = createServer((socket) => {
  socket.on('error', () => {}); // the client resets it
  socket.end(socket.localAddress ?? 'gone');
});
server.listen(endpointPort, '0.0.0.0');
await once(server, 'listening');
await reach(measuredEndpoint(options.changesBefore), systemClock.monotonicMs() + changeTimeoutMs);

let changes = options.changesBefore;
const result: MeasureProxyResult = { spacedMs: [], backToBackMs: [] };
for (let i = 0; i < options.rounds; i++) {
  await systemClock.sleep(options.pauseMs, never);
  result.spacedMs.push(await change(++changes));
}
for (let i = 0; i < options.backToBack; i++) result.backToBackMs.push(await change(++changes));
console.log(JSON.stringify(result));
process.exit(0);
