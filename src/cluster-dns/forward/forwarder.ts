/**
 * Names that are not the cluster's: asked of other servers, one after another, and kept as long as they say.
 *
 * Owns the servers' state and the cache. Equal questions at the same time are asked once. A server that did not answer
 * twice is not asked until it answers a question that we ask it for that purpose.
 */
import type { Clock } from '../../base/clock.ts';
import { withDeadline } from '../../base/deadline.ts';
import { describeError } from '../../base/errors.ts';
import type { Logger } from '../../base/logger.ts';
import { runTogether } from '../../base/run-together.ts';
import { rcodes, recordTypes } from '../dns-model.ts';
import { type Asked, type ForeignAnswer, askFor, askedKey } from '../wire/pass-on.ts';
import { AnswerCache, type CacheLimits, countedAs } from './answer-cache.ts';
import { type ForwardPolicy, orderUpstreams } from './order-upstreams.ts';
import { Upstream, type UpstreamAddress } from './upstream.ts';

export interface ForwardConfig {
  upstreams: readonly UpstreamAddress[];
  policy: ForwardPolicy;
  cache: CacheLimits;
  /** For one server; the next gets its turn then. */
  tryTimeoutMs: number;
  /** For a whole question. */
  timeoutMs: number;
  concurrentMax: number;
}

export interface ForwardNeed {
  clock: Clock;
  random: () => number;
  observe: ForwardObserver;
  log: Logger;
}

/** What is counted. */
export interface ForwardObserver {
  cacheRequest(hit: 'success' | 'denial' | undefined): void;
  cacheSize(counts: Readonly<{ success: number; denial: number }>, evicted: number): void;
  asked(upstream: string, rcode: number, durationMs: number): void;
  healthcheckFailed(upstream: string): void;
  allUnhealthy(): void;
  rejected(): void;
}

export type Forwarded =
  | { kind: 'answer'; answer: ForeignAnswer; ageSeconds: number }
  /** No server has answered. */
  | { kind: 'failed' }
  /** There is no server to ask, or there are too many questions. */
  | { kind: 'refused' };

/**
 * Asked of every server at the start. A name that nobody has, except a server of our kind, which then knows that its
 * questions come back. The same question tells whether a server is well again.
 */
export const loopCheck = { name: 'loop-check.gantry.invalid', type: recordTypes.HINFO } as const;
/** What our kind answers. Servers that have an answer to everything have another one. */
export const loopData = { cpu: 'gantry', os: 'cluster-dns' } as const;

const failuresMax = 2;
const probePeriodMs = 500;
const loopPeriodMs = 30_000;

interface State {
  upstream: Upstream;
  failures: number;
  isHealthy: boolean;
  isLooping: boolean;
  /** To be asked whether it is well. */
  wake: (() => void) | undefined;
}

export class Forwarder {
  readonly #config: ForwardConfig;
  readonly #need: ForwardNeed;
  readonly #states: readonly State[];
  readonly #cache: AnswerCache;
  readonly #underWay = new Map<string, Promise<Forwarded>>();
  readonly #stop = new AbortController();
  #turn = 0;

  constructor(config: ForwardConfig, need: ForwardNeed) {
    this.#config = config;
    this.#need = need;
    this.#cache = new AnswerCache(config.cache);
    this.#states = config.upstreams.map((address) => ({
      upstream: new Upstream(address, need.clock, config.tryTimeoutMs),
      failures: 0,
      isHealthy: true,
      isLooping: false,
      wake: undefined,
    }));
  }

  /** From the cache, when it is there: the common case, without waiting. */
  cached(asked: Asked): Forwarded | undefined {
    const kept = this.#cache.get(askedKey(asked), this.#need.clock.monotonicMs());
    this.#need.observe.cacheRequest(kept === undefined ? undefined : countedAs(kept.answer));
    return kept === undefined ? undefined : { kind: 'answer', ...kept };
  }

  /** Never rejects. */
  ask(asked: Asked): Promise<Forwarded> {
    const key = askedKey(asked);
    const underWay = this.#underWay.get(key);
    if (underWay !== undefined) return underWay;
    if (this.#states.length === 0) return Promise.resolve({ kind: 'refused' });
    if (this.#underWay.size >= this.#config.concurrentMax) {
      this.#need.observe.rejected();
      return Promise.resolve({ kind: 'refused' });
    }
    const answer = this.#askAndKeep(asked, key).finally(() => this.#underWay.delete(key));
    this.#underWay.set(key, answer);
    return answer;
  }

  /** Looks after the servers' health until `signal` aborts; then no more is asked. */
  async run(signal: AbortSignal): Promise<void> {
    try {
      await runTogether(signal, [
        ...this.#states.map((state) => (inner: AbortSignal) => this.#watchOver(state, inner)),
        (inner) => new Promise<void>((resolve) => inner.addEventListener('abort', () => resolve(), { once: true })),
      ]);
    } finally {
      this.#stop.abort(new Error('the forwarder stops'));
      for (const { upstream } of this.#states) upstream.close();
    }
  }

  async #askAndKeep(asked: Asked, key: string): Promise<Forwarded> {
    const { clock, observe, log } = this.#need;
    try {
      const answer = await withDeadline(
        'Asking other name servers',
        this.#config.timeoutMs,
        clock,
        this.#stop.signal,
        (signal) => this.#askInTurn(asked, signal),
      );
      if (answer === undefined) return { kind: 'failed' };
      const evicted = this.#cache.put(key, answer, clock.monotonicMs());
      observe.cacheSize(this.#cache.counts, evicted);
      return { kind: 'answer', answer, ageSeconds: 0 };
    } catch (err) {
      log.debug({ name: asked.name, reason: describeError(err) }, 'no name server answers');
      return { kind: 'failed' };
    }
  }

  /** The first answer that is no failure, else the last failure; undefined when nobody answers. */
  async #askInTurn(asked: Asked, signal: AbortSignal): Promise<ForeignAnswer | undefined> {
    const { random, observe } = this.#need;
    const states = orderUpstreams(this.#states, this.#config.policy, this.#turn++, random);
    if (states.length === 0 || !states.some(({ isHealthy }) => isHealthy)) observe.allUnhealthy();
    let last: ForeignAnswer | undefined;
    for (const state of states) {
      const answer = await this.#askOne(state, asked, signal);
      signal.throwIfAborted();
      last = answer ?? last;
      if (answer !== undefined && answer.kind !== 'failure') return answer;
    }
    return last;
  }

  async #askOne(state: State, asked: Asked, signal: AbortSignal): Promise<ForeignAnswer | undefined> {
    const { clock, observe, log } = this.#need;
    const { upstream } = state;
    const startMs = clock.monotonicMs();
    try {
      const answer = await upstream.ask(asked, signal);
      observe.asked(upstream.name, answer.rcode, clock.monotonicMs() - startMs);
      if (!state.isHealthy) log.info({ upstream: upstream.name }, 'name server answers again');
      state.failures = 0;
      state.isHealthy = true;
      return answer;
    } catch (err) {
      if (signal.aborted) return undefined; // its time was cut short by others
      observe.asked(upstream.name, rcodes.SERVFAIL, clock.monotonicMs() - startMs);
      state.failures++;
      if (state.failures >= failuresMax && state.isHealthy) {
        state.isHealthy = false;
        log.warn({ upstream: upstream.name, reason: describeError(err) }, 'name server does not answer');
        state.wake?.();
      }
      return undefined;
    }
  }

  async #watchOver(state: State, signal: AbortSignal): Promise<void> {
    const { clock, observe, log } = this.#need;
    const { upstream } = state;
    for (;;) {
      const wasLooping = state.isLooping;
      const answer = await this.#askOne(state, askFor(loopCheck.name, loopCheck.type), signal);
      if (signal.aborted) return;
      if (answer === undefined) observe.healthcheckFailed(upstream.name);
      else state.isLooping = answer.kind === 'success' && answer.packet.includes(loopData.os);
      if (state.isLooping && !wasLooping) {
        log.error({ upstream: upstream.name }, 'questions to this name server come back to us: it is not asked');
      }
      if (wasLooping && !state.isLooping) log.info({ upstream: upstream.name }, 'name server does not loop any more');
      if (state.isLooping) await clock.sleep(loopPeriodMs, signal);
      else if (!state.isHealthy) await clock.sleep(probePeriodMs, signal);
      else await this.#untilUnhealthy(state, signal);
      if (signal.aborted) return;
    }
  }

  #untilUnhealthy(state: State, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        signal.removeEventListener('abort', done);
        state.wake = undefined;
        resolve();
      };
      state.wake = done;
      if (signal.aborted) done();
      else signal.addEventListener('abort', done, { once: true });
    });
  }
}
