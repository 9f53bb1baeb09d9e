/**
 * Whether the container runtime and its network are ready: asked every 5 s, remembered for those who want to know.
 */
import type { Cri } from '../../adapters/cri/cri.ts';
import type { CriRuntimeStatus } from '../../adapters/cri/cri-types.ts';
import type { Clock } from '../../base/clock.ts';
import { describeError } from '../../base/errors.ts';
import type { Logger } from '../../base/logger.ts';

interface RuntimeStatusNeed {
  cri: Pick<Cri, 'status'>;
  /** Readiness changed. */
  onChange(): void;
  clock: Clock;
  log: Logger;
}

const pollPeriodMs = 5000;
/** The runtime may be silent this long before the node says so. */
const silenceMaxMs = 30_000;

export class RuntimeStatus {
  readonly #need: RuntimeStatusNeed;
  #status: CriRuntimeStatus | undefined;
  #lastAnswerMs: number | undefined;
  #lastError: string | undefined;
  #signature = '';

  constructor(need: RuntimeStatusNeed) {
    this.#need = need;
  }

  get current(): CriRuntimeStatus | undefined {
    return this.#status;
  }

  /** Why no pod can run, one text per cause; empty when the runtime is ready. */
  runtimeErrors(): string[] {
    const { clock } = this.#need;
    if (this.#lastAnswerMs === undefined || clock.monotonicMs() - this.#lastAnswerMs > silenceMaxMs) {
      return [
        this.#lastError === undefined ? 'container runtime is down' : `container runtime is down: ${this.#lastError}`,
      ];
    }
    const ready = this.#status?.conditions.find(({ type }) => type === 'RuntimeReady');
    if (ready === undefined || ready.status) return [];
    return [`container runtime not ready: ${conditionText(ready)}`];
  }

  /** Why pods cannot have an address; undefined when they can. */
  networkError(): string | undefined {
    const ready = this.#status?.conditions.find(({ type }) => type === 'NetworkReady');
    if (this.#status === undefined) return 'network state unknown';
    if (ready === undefined || ready.status) return undefined;
    return `container runtime network not ready: ${conditionText(ready)}`;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { cri, clock, log } = this.#need;
    while (!signal.aborted) {
      try {
        this.#status = await cri.status(signal);
        this.#lastAnswerMs = clock.monotonicMs();
        this.#lastError = undefined;
      } catch (err) {
        if (signal.aborted) return;
        if (this.#lastError === undefined) log.warn({ err }, 'the container runtime does not tell its status');
        this.#lastError = describeError(err);
      }
      const signature = JSON.stringify([this.runtimeErrors(), this.networkError()]);
      if (signature !== this.#signature) {
        this.#signature = signature;
        this.#need.onChange();
      }
      await clock.sleep(pollPeriodMs, signal);
    }
  }
}

function conditionText({
  type,
  status,
  reason,
  message,
}: {
  type: string;
  status: boolean;
  reason: string;
  message: string;
}): string {
  return `${type}=${status} reason:${reason} message:${message}`;
}
