import type { Pod } from '../../objects/generated/core-v1.ts';
import { describeError } from '../../base/errors.ts';
import { type Exchange, answerJson, answerText } from './exchange.ts';
import type { RunningPod, ServeNeed } from './serve-need.ts';

const metricsType = 'text/plain; version=0.0.4; charset=utf-8; escaping=underscores';

export async function answerMetrics(
  { response, path, signal }: Exchange,
  { metricPages }: Pick<ServeNeed, 'metricPages'>,
): Promise<void> {
  const text = (await metricPages.get(path)?.(signal)) ?? '';
  response.writeHead(200, { 'Content-Type': metricsType, 'Content-Length': Buffer.byteLength(text) });
  response.end(text);
}

/** A v1 PodList of what should run here. */
export function answerPods(exchange: Exchange, pods: readonly Pod[]): void {
  answerJson(exchange, 200, podList(pods.map(({ metadata, spec, status }) => ({ metadata, spec, status }))));
}

/** A v1 PodList of what the runtime runs: names and images only. */
export function answerRunningPods(exchange: Exchange, pods: readonly RunningPod[]): void {
  const items = pods.map(({ name, namespace, uid, containers }) => ({
    metadata: { name, namespace, uid },
    spec: { containers: containers.map(({ name: container, image }) => ({ name: container, image, resources: {} })) },
    status: {},
  }));
  answerJson(exchange, 200, podList(items));
}

const podList = (items: readonly object[]): string =>
  JSON.stringify({ kind: 'PodList', apiVersion: 'v1', metadata: {}, items });

export async function answerStatsSummary(
  exchange: Exchange,
  statsSummary: NonNullable<ServeNeed['statsSummary']>,
): Promise<void> {
  const onlyCpuAndMemory = exchange.query.get('only_cpu_and_memory') === 'true';
  let summary: unknown;
  try {
    summary = await statsSummary(onlyCpuAndMemory, exchange.signal);
  } catch (err) {
    exchange.signal.throwIfAborted();
    answerText(exchange, 500, `Internal Error: ${describeError(err)}`);
    return;
  }
  answerJson(exchange, 200, JSON.stringify(summary, undefined, 1));
}
