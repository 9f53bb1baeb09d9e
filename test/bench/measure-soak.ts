/**
 * Runs a full node for a while and looks at what its users feel: when probes come (seen by the server that they go to),
 * and what the agent uses. Runs inside the test node; prints one line of JSON.
 *
 *     node test/bench/measure-soak.ts '{"kubeconfig": …}'
 */
import { createServer } from 'node:http';
import { systemClock } from '../../src/base/clock.ts';
import { isConflict } from '../../src/base/errors.ts';
import { HttpApiClient } from '../../src/client/http-api-client.ts';
import { loadKubeconfig } from '../../src/client/kubeconfig.ts';
import { pods, serviceAccounts } from '../../src/client/resource-types.ts';
import type { Pod } from '../../src/objects/generated/core-v1.ts';
import { awaitUntil } from '../await-until.ts';
import { readUsage, usageBetween } from './process-usage.ts';
import { kubeletMetric } from './kubelet-metric.ts';
import { probePeriodSeconds, soakPods, steadyProbePaths } from './soak-pods.ts';

export interface SoakOptions {
  kubeconfig: string;
  nodeName: string;
  images: { pause: string; busybox: string };
  nodeIp: string;
  /** As it is numbered inside the node. */
  agentPid: number;
  minutes: number;
}

export interface SoakMinute {
  minute: number;
  rssBytes: number;
  /** Of one core. */
  cpuPercent: number;
  wakeUpsPerSecond: number;
  /** Of the minute, 99th percentile; undefined where the agent does not tell. */
  loopDelayP99Ms: number | undefined;
  /** Probes that came later than their period and a second after the one before. */
  lateProbes: number;
  longestGapMs: number;
  probesPerSecond: number;
}

export interface SoakResult {
  pods: number;
  /** From the first create call until every pod was Ready, or has run. */
  startMs: number;
  minutes: SoakMinute[];
  restarts: number;
}

const namespace = 'default';
const probePort = 8099;
const never = new AbortController().signal;
const lateMs = (probePeriodSeconds + 1) * 1000;

/** When each path was asked last; counts those that came late. */
class ProbeRecord {
  readonly #steady: ReadonlySet<string>;
  readonly #lastMs = new Map<string, number>();
  #late = 0;
  #count = 0;
  #longestMs = 0;

  constructor(steady: ReadonlySet<string>) {
    this.#steady = steady;
  }

  note(path: string): void {
    this.#count++;
    if (!this.#steady.has(path)) return;
    const nowMs = systemClock.monotonicMs();
    this.#gap(nowMs - (this.#lastMs.get(path) ?? nowMs));
    this.#lastMs.set(path, nowMs);
  }

  /** The figures since the last call; a path that is not asked at all counts, too. */
  take(): { late: number; count: number; longestMs: number } {
    const nowMs = systemClock.monotonicMs();
    for (const path of this.#steady) {
      const gapMs = nowMs - (this.#lastMs.get(path) ?? -Infinity);
      if (gapMs > lateMs) this.#gap(gapMs);
    }
    const taken = { late: this.#late, count: this.#count, longestMs: this.#longestMs };
    this.#late = 0;
    this.#count = 0;
    this.#longestMs = 0;
    return taken;
  }

  #gap(ms: number): void {
    if (ms > lateMs) this.#late++;
    this.#longestMs = Math.max(this.#longestMs, ms);
  }
}

async function soak(options: SoakOptions): Promise<SoakResult> {
  const access = await loadKubeconfig(options.kubeconfig);
  const api = new HttpApiClient({ access, clock: systemClock, userAgentName: 'gantry-soak' });
  const loopDelay = kubeletMetric(access, options.nodeIp, 'gantry_event_loop_delay_seconds');
  const wanted = soakPods({ ...options, probeHost: options.nodeIp, probePort });
  const record = new ProbeRecord(new Set(steadyProbePaths(wanted)));
  const server = createServer((request, response) => {
    record.note(request.url ?? '');
    response.end('ok');
  });
  await new Promise<void>((resolve) => server.listen(probePort, options.nodeIp, resolve));
  try {
    const account = { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { namespace, name: 'default' } };
    await api.create(serviceAccounts, account, never).catch((err: unknown) => {
      if (!isConflict(err)) throw err; // a controller was quicker
    });
    const beganMs = systemClock.monotonicMs();
    await Promise.all(wanted.map((pod) => api.create(pods, pod, never)));
    const listed = async (): Promise<Pod[]> => (await api.list(pods, { namespace }, never)).items;
    await awaitUntil('every pod to run', async () => (await listed()).every(isUp), {
      timeoutMs: 300_000,
      periodMs: 1000,
    });
    const startMs = systemClock.monotonicMs() - beganMs;
    await systemClock.sleep(2 * lateMs, never); // every probe has come twice
    record.take();
    await loopDelay();
    const minutes: SoakMinute[] = [];
    let usage = await readUsage(options.agentPid);
    for (let minute = 1; minute <= options.minutes; minute++) {
      await systemClock.sleep(60_000, never);
      const next = await readUsage(options.agentPid);
      const { cpuPercent, rssBytesEnd, wakeUpsPerSecond } = usageBetween(usage, next);
      usage = next;
      const { late, count, longestMs } = record.take();
      const delaySeconds = await loopDelay();
      minutes.push({
        minute,
        rssBytes: rssBytesEnd,
        cpuPercent,
        wakeUpsPerSecond,
        loopDelayP99Ms: delaySeconds === undefined ? undefined : delaySeconds * 1000,
        lateProbes: late,
        longestGapMs: longestMs,
        probesPerSecond: count / 60,
      });
      process.stderr.write(`${JSON.stringify(minutes.at(-1))}\n`);
    }
    const restarts = (await listed())
      .flatMap(({ status }) => status?.containerStatuses ?? [])
      .reduce((sum, { restartCount }) => sum + restartCount, 0);
    return { pods: wanted.length, startMs, minutes, restarts };
  } finally {
    server.close();
    server.closeAllConnections();
    api.close();
  }
}

/** Ready, or of the kind that comes and goes and has begun. */
function isUp({ metadata, status }: Pod): boolean {
  if (metadata.labels?.['soak'] === 'restarting') return status?.phase === 'Running';
  return status?.conditions?.some((condition) => condition.type === 'Ready' && condition.status === 'True') === true;
}

if (import.meta.main) {
  // given by soak.bench.ts
  console.log(JSON.stringify(await soak(JSON.parse(process.argv[2] ?? '') as SoakOptions)));
}
