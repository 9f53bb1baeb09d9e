import { once } from 'node:events';
import { describeError, isNotFound } from '../../base/errors.ts';
import { podContainers } from '../pod-model.ts';
import { type Exchange, answerText } from './exchange.ts';
import type { ContainerPath } from './match-route.ts';
import { parseLogRequest } from './parse-log-options.ts';
import { selectLogContainer } from './select-log-container.ts';
import type { ServeNeed } from './serve-need.ts';

type LogsNeed = Pick<ServeNeed, 'podByName' | 'cri' | 'readLog' | 'clock'>;

/** `/containerLogs/<namespace>/<pod>/<container>`: the log as it is read, piece by piece, no faster than it is taken. */
export async function answerContainerLogs(exchange: Exchange, path: ContainerPath, need: LogsNeed): Promise<void> {
  const { response, signal } = exchange;
  const parsed = parseLogRequest(exchange.query, need.clock.nowMs());
  if (parsed.kind === 'refused') {
    answerText(exchange, parsed.status, parsed.text);
    return;
  }
  const pod = need.podByName(path.namespace, path.pod);
  if (pod === undefined) {
    answerText(exchange, 404, `pod ${JSON.stringify(path.pod)} does not exist\n`);
    return;
  }
  if (!podContainers(pod).some(({ spec }) => spec.name === path.container)) {
    const where = `container ${JSON.stringify(path.container)} not found in pod ${JSON.stringify(path.pod)}`;
    answerText(exchange, 404, `${where}\n`);
    return;
  }
  const { previous, ...options } = parsed.request;
  const found = selectLogContainer(pod, path.container, previous);
  if (found.kind === 'none') {
    answerText(exchange, 400, found.text);
    return;
  }
  try {
    const { logPath } = await need.cri.containerStatus(found.containerId, signal);
    const pieces = await need.readLog(logPath, options, (s) => isRunning(need.cri, found.containerId, s), signal);
    // who follows a silent log must learn that it is there
    response.flushHeaders();
    for await (const piece of pieces) {
      if (!response.write(piece)) await once(response, 'drain', { signal });
    }
    response.end();
  } catch (err) {
    if (signal.aborted) return; // the client is gone, or we stop
    if (response.headersSent) response.end(describeError(err));
    else answerText(exchange, 400, describeError(err));
  }
}

/** A runtime that does not answer says nothing about the container: it is taken to run. One that it does not know is over. */
async function isRunning(cri: LogsNeed['cri'], containerId: string, signal: AbortSignal): Promise<boolean> {
  try {
    return (await cri.containerStatus(containerId, signal)).state === 'running';
  } catch (err) {
    return !isNotFound(err);
  }
}
