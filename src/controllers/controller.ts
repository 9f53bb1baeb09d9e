/**
 * What all controllers share: how they are made and how they live.
 *
 * A controller asks for its informers in its constructor and reconciles keys in `run`. It reads from informers, writes
 * through the client, and is told by a conflict that it has read something old: then the key is tried again.
 */
import { Backoff } from '../base/backoff.ts';
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import { WorkQueue } from '../base/work-queue.ts';
import type { ApiClient } from '../client/api-client.ts';
import type { EventSink } from '../client/event-recorder.ts';
import type { SharedInformers } from '../client/shared-informers.ts';

export interface ControllerContext {
  client: ApiClient;
  /** For discovery and informers of its own: without the controller's rate limit. */
  watchClient: Pick<ApiClient, 'list' | 'watch' | 'raw'>;
  informers: Pick<SharedInformers, 'of'>;
  /** Events with this `source.component`. */
  eventsOf: (component: string) => EventSink;
  clock: Clock;
  log: Logger;
}

export interface Controller {
  /** Reconciles until `signal` aborts; resolves when everything it started has stopped. */
  run(signal: AbortSignal): Promise<void>;
}

/** Something whose first list must be there before anybody decides anything. */
export interface Syncable {
  whenSynced(signal: AbortSignal): Promise<void>;
}

/** The queue of a controller, with the retry delays that upstream's controllers have. */
export function reconcileQueue(
  { clock, log }: Pick<ControllerContext, 'clock' | 'log'>,
  controller: string,
  workersMax = 5,
): WorkQueue {
  return new WorkQueue({
    workersMax,
    backoff: new Backoff({ initialMs: 5, maxMs: 1_000_000 }),
    clock,
    log: log.child({ controller }),
  });
}

/** Waits for the informers, then handles keys until `signal` aborts. */
export async function runQueue(
  queue: WorkQueue,
  informers: readonly Syncable[],
  handle: (key: string, signal: AbortSignal) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  await Promise.all(informers.map((informer) => informer.whenSynced(signal)));
  await queue.run(handle, signal);
}
