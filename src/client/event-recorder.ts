/**
 * Writes events about objects, without ever making its caller wait.
 *
 * Owns: the queue of events to write (bounded, the newest are dropped when it is full) and the correlation.
 * Needs: a client that can create and patch events. Events go out while `run` lives.
 */
import { randomUUID } from 'node:crypto';
import { type Clock, rfc3339Seconds } from '../base/clock.ts';
import { describeError, isNotFound, isUnavailable } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { Event } from '../objects/generated/core-v1.ts';
import { type ApiClient, type KubeObject, type ResourceType, apiStatus } from './api-client.ts';
import { EventCorrelator } from './event-correlator.ts';
import { events } from './resource-types.ts';
import { TokenBucket } from './token-bucket.ts';

export type EventType = 'Normal' | 'Warning';

/** What an event is about. */
export interface EventTarget {
  apiVersion: string;
  kind: string;
  namespace?: string | undefined;
  name: string;
  uid?: string | undefined;
  resourceVersion?: string | undefined;
  /** e.g. `spec.containers{web}` */
  fieldPath?: string | undefined;
}

/** What rooms that report events ask for. */
export interface EventSink {
  record(target: EventTarget, type: EventType, reason: string, message: string): void;
}

export interface EventRecorderOptions {
  client: Pick<ApiClient, 'create' | 'patch'>;
  /** `source.component`, e.g. `kubelet`. */
  component: string;
  /** `source.host`: the node's name, for node agents. */
  host?: string | undefined;
  /** `reportingInstance`; default the host, or nothing. */
  instance?: string | undefined;
  /** Events per second in the long run (`eventRecordQPS`); 0 or undefined is no limit. */
  qps?: number | undefined;
  burst?: number | undefined;
  /** After a silence the first event waits for so long: what is to be done goes before what is to be told. Default 0. */
  holdMs?: number | undefined;
  clock: Clock;
  log: Logger;
}

const queueMax = 1000;
const triesMax = 12;
const retryMs = 10_000;

export class EventRecorder implements EventSink {
  readonly #options: EventRecorderOptions;
  readonly #correlator = new EventCorrelator();
  readonly #queue: Event[] = [];
  readonly #limit: TokenBucket | undefined;
  #wake: () => void = () => {};
  #sequence = 0n;

  constructor(options: EventRecorderOptions) {
    const { qps = 0, burst = 2 * qps, clock } = options;
    this.#options = options;
    this.#limit = qps > 0 ? new TokenBucket({ qps, burst: Math.max(1, burst), clock }) : undefined;
  }

  record(target: EventTarget, type: EventType, reason: string, message: string): void {
    const { component, host, instance = host, clock, log } = this.#options;
    if (this.#queue.length >= queueMax) {
      log.warn({ reason, object: target.name }, 'event queue is full, dropping an event');
      return;
    }
    const nowMs = clock.nowMs();
    const now = rfc3339Seconds(nowMs);
    const namespace = target.namespace === undefined || target.namespace === '' ? 'default' : target.namespace;
    this.#queue.push({
      metadata: { name: this.#eventName(target.name, nowMs), namespace },
      involvedObject: { ...target },
      type,
      reason,
      message,
      source: { component, ...(host === undefined ? {} : { host }) },
      firstTimestamp: now,
      lastTimestamp: now,
      count: 1,
      reportingComponent: component,
      reportingInstance: instance ?? '',
    });
    this.#wake();
  }

  /** Writes what is queued, in order, until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const onAbort = (): void => this.#wake();
    signal.addEventListener('abort', onAbort, { once: true });
    while (!signal.aborted) {
      const event = this.#queue.shift();
      if (event === undefined) {
        await new Promise<void>((resolve) => (this.#wake = resolve));
        const { holdMs = 0, clock } = this.#options;
        if (holdMs > 0) await clock.sleep(holdMs, signal);
        continue;
      }
      await this.#write(event, signal);
    }
    signal.removeEventListener('abort', onAbort);
  }

  async #write(event: Event, signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#options;
    const correlated = this.#correlator.correlate(event, clock.nowMs());
    if (correlated.kind === 'drop') return;
    await this.#limit?.take(signal);
    for (let tries = 1; !signal.aborted; tries++) {
      try {
        const stored = await this.#send(correlated, signal);
        this.#correlator.observe(stored, correlated.cacheKey);
        return;
      } catch (err) {
        if (signal.aborted) return;
        // only a server that is away is asked again: one that has answered, or a request that nobody can make, stays so
        if (apiStatus(err) !== undefined || !isUnavailable(err) || tries >= triesMax) {
          log.warn({ reason: event.reason, err: describeError(err) }, 'event was not written, dropping it');
          return;
        }
        await clock.sleep(tries === 1 ? retryMs * Math.random() : retryMs, signal);
      }
    }
  }

  async #send(correlated: Exclude<ReturnType<EventCorrelator['correlate']>, { kind: 'drop' }>, signal: AbortSignal) {
    const { client } = this.#options;
    const { event } = correlated;
    if (correlated.kind === 'patch') {
      try {
        return await client.patch(events, event.metadata, 'strategic', correlated.patch, signal);
      } catch (err) {
        if (!isNotFound(err)) throw err; // the earlier event has expired: write a new one
      }
    }
    return client.create(events, event, signal);
  }

  #eventName(objectName: string, nowMs: number): string {
    this.#sequence = (this.#sequence + 1n) % 1_000_000n;
    const name = `${objectName}.${(BigInt(Math.floor(nowMs)) * 1_000_000n + this.#sequence).toString(16)}`;
    const isName = name.length <= 253 && /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(name);
    return isName ? name : randomUUID();
  }
}

/** The event target for an object that we have. */
export function eventTarget<T extends KubeObject>(type: ResourceType<T>, { metadata }: T): EventTarget {
  const { namespace, name, uid, resourceVersion } = metadata;
  return {
    apiVersion: type.prefix.replace(/^\/(?:apis|api)\//, ''),
    kind: type.kind,
    name,
    ...(namespace === undefined ? {} : { namespace }),
    ...(uid === undefined ? {} : { uid }),
    ...(resourceVersion === undefined ? {} : { resourceVersion }),
  };
}
