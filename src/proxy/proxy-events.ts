import { type Clock, rfc3339Micros } from '../base/clock.ts';
import { describeError } from '../base/errors.ts';
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

/** Events in upstream's form. An event that cannot be stored is a log line and nothing more. */
export class ProxyEvents {
  readonly #need: ProxyEventsNeed;

  constructor(need: ProxyEventsNeed) {
    this.#need = need;
  }

  get nodeReference(): ObjectReference {
    return { apiVersion: 'v1', kind: 'Node', name: this.#need.nodeName };
  }

  async report({ regarding, type, reason, action, note }: ProxyEvent, signal: AbortSignal): Promise<void> {
    const { client, nodeName, clock, log } = this.#need;
    const nowMs = clock.nowMs();
    const namespace = regarding.namespace ?? 'default';
    const event: Event = {
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      metadata: { namespace, name: `${regarding.name ?? nodeName}.${(nowMs * 1e6).toString(16)}` },
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
    } catch (err) {
      if (!signal.aborted) log.debug({ reason: describeError(err), event: reason }, 'cannot store an event');
    }
  }
}
