import { type Clock, rfc3339Micros } from '../base/clock.ts';
import { describeError, isUnavailable } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { ApiClient, ResourceType } from '../client/api-client.ts';
import type { ObjectReference } from '../objects/generated/core-v1.ts';
import type { Event } from '../objects/generated/events-v1.ts';

const eventsV1: ResourceType<Event> = {
  prefix: '/apis/events.k8s.io/v1',
  plural: 'events',
  kind: 'Event',
  namespaced: true,
};

export interface ProxyEvent {
  regarding: ObjectReference;
  type: 'Normal' | 'Warning';
  reason: string;
  action: string;
  note: string;
}

export interface ProxyEventsNeed {
  client: Pick<ApiClient, 'create'>;
  nodeName: string;
  clock: Clock;
  log: Logger;
}

/** How often and how long an event is tried that must not get lost because the API server is away at start. */
const triesMax = 12;
const retryMs = 10_000;

/** Events in upstream's form. An event that cannot be stored is a log line and nothing more. */
export class ProxyEvents {
  readonly #need: ProxyEventsNeed;
  #count = 0n;

  constructor(need: ProxyEventsNeed) {
    this.#need = need;
  }

  get nodeReference(): ObjectReference {
    return { apiVersion: 'v1', kind: 'Node', name: this.#need.nodeName };
  }

  /** As `report`, and tried again while the API server is away. */
  async reportSurely(event: ProxyEvent, signal: AbortSignal): Promise<void> {
    for (let tries = 1; tries <= triesMax && !signal.aborted; tries++) {
      if (await this.report(event, signal)) return;
      await this.#need.clock.sleep(retryMs, signal);
    }
  }

  /** Returns whether there is nothing to try again: it is stored, or the server does not want it. */
  async report({ regarding, type, reason, action, note }: ProxyEvent, signal: AbortSignal): Promise<boolean> {
    const { client, nodeName, clock, log } = this.#need;
    const nowMs = clock.nowMs();
    const namespace = regarding.namespace ?? 'default';
    const event: Event = {
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      metadata: { namespace, name: `${regarding.name ?? nodeName}.${this.#nanos(nowMs).toString(16)}` },
      eventTime: rfc3339Micros(nowMs),
      reportingController: 'kube-proxy',
      reportingInstance: `kube-proxy-${nodeName}`,
      regarding,
      type,
      reason,
      action,
      note,
    };
    try {
      await client.create(eventsV1, event, signal);
      return true;
    } catch (err) {
      if (!signal.aborted) log.debug({ reason: describeError(err), event: reason }, 'cannot store an event');
      return !isUnavailable(err);
    }
  }

  /** Two events of one millisecond have two names. */
  #nanos(nowMs: number): bigint {
    return BigInt(Math.floor(nowMs)) * 1_000_000n + (this.#count++ % 1_000_000n);
  }
}
