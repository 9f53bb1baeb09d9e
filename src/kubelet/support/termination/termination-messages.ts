/**
 * The last words of ended containers: from the file they could write, or the end of their log when they failed and the
 * pod asks for that. Owns what was read, by container id, while the pod is here.
 */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import type { Logger } from '../../../base/logger.ts';
import { describeError } from '../../../base/errors.ts';
import type { Pod } from '../../../objects/generated/core-v1.ts';
import { type ObservedContainer, type ObservedPod, podContainers } from '../../pod-model.ts';

interface TerminationMessagesNeed {
  /** The last lines of a container log, without time stamps. */
  tailLog(path: string, lines: number, bytes: number, signal: AbortSignal): Promise<string>;
  log: Logger;
}

const fileBytesMax = 4096;
const logBytesMax = 2048;
const logLinesMax = 80;
/** Of all containers of a pod together. */
const podBytesMax = 12_288;

export class TerminationMessages {
  readonly #need: TerminationMessagesNeed;
  readonly #texts = new Map<string, Map<string, string>>();

  constructor(need: TerminationMessagesNeed) {
    this.#need = need;
  }

  get(podUid: string, containerId: string): string | undefined {
    return this.#texts.get(podUid)?.get(containerId);
  }

  /** Reads the messages of containers that have ended since the last look. */
  async read(pod: Pod, { uid, containers }: ObservedPod, signal: AbortSignal): Promise<void> {
    const known = this.#texts.get(uid) ?? new Map<string, string>();
    const ended = containers.filter(({ state }) => state === 'exited');
    for (const id of known.keys()) if (!ended.some((container) => container.id === id)) known.delete(id);
    const bytesMax = Math.floor(podBytesMax / Math.max(1, podContainers(pod).length));
    for (const container of ended) {
      if (known.has(container.id)) continue;
      known.set(container.id, cut(await this.#message(container, signal), bytesMax));
    }
    if (known.size > 0) this.#texts.set(uid, known);
    else this.#texts.delete(uid);
  }

  forget(podUid: string): void {
    this.#texts.delete(podUid);
  }

  async #message(container: ObservedContainer, signal: AbortSignal): Promise<string> {
    const { annotations, mounts, exitCode, reason, logPath, message } = container;
    const path = annotations['io.kubernetes.container.terminationMessagePath'];
    const file = mounts.find(({ containerPath }) => containerPath === path)?.hostPath;
    let text = file === undefined ? '' : await this.#tailFile(file);
    const wantsLog = annotations['io.kubernetes.container.terminationMessagePolicy'] === 'FallbackToLogsOnError';
    if (text === '' && wantsLog && exitCode !== 0 && reason !== 'ContainerCannotRun' && logPath !== '') {
      try {
        text = await this.#need.tailLog(logPath, logLinesMax, logBytesMax, signal);
      } catch (err) {
        text = `Error on reading termination message from logs: ${describeError(err)}`;
      }
    }
    if (message === '') return text;
    return text === '' ? message : `${message}: ${text}`;
  }

  async #tailFile(path: string): Promise<string> {
    try {
      // A container writes here: what it may have put in the file's place is neither followed nor waited for.
      const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
      try {
        const stat = await file.stat();
        if (!stat.isFile()) throw new Error('it is no regular file');
        const { size } = stat;
        const length = Math.min(size, fileBytesMax);
        const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, size - length);
        return buffer.subarray(0, bytesRead).toString('utf8');
      } finally {
        await file.close();
      }
    } catch (err) {
      if ((err as NodeJS.ErrnoException).code === 'ENOENT') return '';
      this.#need.log.warn({ err, path }, 'cannot read a termination message');
      return `Error on reading termination log ${path}: ${describeError(err)}`;
    }
  }
}

/** The last bytes of a stream, whatever its length: no more than they and one piece are held at a time. */
export async function keepEnd(pieces: AsyncIterable<Buffer>, bytesMax: number): Promise<string> {
  let end = Buffer.alloc(0);
  for await (const piece of pieces) end = Buffer.concat([end, piece]).subarray(-bytesMax);
  return end.toString('utf8');
}

function cut(text: string, bytesMax: number): string {
  const bytes = Buffer.from(text);
  return bytes.length <= bytesMax ? text : bytes.subarray(0, bytesMax).toString('utf8');
}
