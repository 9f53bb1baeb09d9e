/**
 * Static pods from a URL: asked for every period, taken when the answer has changed. An answer that cannot be used is
 * named once; what ran from the last good one goes on until the URL says otherwise.
 */
import type { Clock } from '../../base/clock.ts';
import { withDeadline } from '../../base/deadline.ts';
import { describeError } from '../../base/errors.ts';
import type { Logger } from '../../base/logger.ts';
import type { Pod } from '../../objects/generated/core-v1.ts';
import type { HttpAnswer } from './http-get.ts';
import { parseStaticPods } from './static-pod.ts';

interface HttpSourceNeed {
  url: string;
  nodeName: string;
  periodMs: number;
  get(url: string, signal: AbortSignal): Promise<HttpAnswer>;
  onPods(pods: readonly Pod[]): void;
  clock: Clock;
  log: Logger;
}

const requestTimeoutMs = 10_000;

export class HttpSource {
  readonly #need: HttpSourceNeed;
  #lastBody: string | undefined;
  #reported: string | undefined;

  constructor(need: HttpSourceNeed) {
    this.#need = need;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, periodMs } = this.#need;
    while (!signal.aborted) {
      const problem = await this.#look(signal);
      if (signal.aborted) return;
      this.#report(problem);
      await clock.sleep(periodMs, signal);
    }
  }

  /** @returns what is wrong */
  async #look(signal: AbortSignal): Promise<string | undefined> {
    const { url, nodeName, get, onPods, clock } = this.#need;
    let answer: HttpAnswer;
    try {
      answer = await withDeadline(`GET ${url}`, requestTimeoutMs, clock, signal, (s) => get(url, s));
    } catch (err) {
      return describeError(err);
    }
    const { status, body } = answer;
    if (status !== 200) return `the server answered with status ${status}`;
    if (body === '') {
      this.#lastBody = undefined;
      onPods([]); // the source has spoken, if without a word
      return `zero-length data received from ${url}`;
    }
    if (body === this.#lastBody) return this.#reported;
    this.#lastBody = body;
    const parsed = parseStaticPods(body, url, nodeName);
    if (parsed.kind === 'rejected') return parsed.problems.join('; ');
    onPods(parsed.pods);
    return undefined;
  }

  #report(problem: string | undefined): void {
    const { log, url } = this.#need;
    if (problem !== undefined && problem !== this.#reported) {
      log.error({ url, problem }, 'cannot use the static pods of a URL, will ask again');
    }
    this.#reported = problem;
  }
}
