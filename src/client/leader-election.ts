/**
 * One of several processes works at a time: it holds a Lease and renews it.
 *
 * Promises: `whenLeading` runs only while we hold the lease; its signal aborts before anybody else can hold it.
 * Whether a foreign lease is still held is judged by how long we have not seen it change, never by its timestamps.
 */
import { type Clock, rfc3339Micros } from '../base/clock.ts';
import { describeError, isNotFound } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import { runTogether } from '../base/run-together.ts';
import type { Lease, LeaseSpec } from '../objects/generated/coordination-v1.ts';
import type { ApiClient } from './api-client.ts';
import { type EventSink, eventTarget } from './event-recorder.ts';
import { leases } from './resource-types.ts';

export interface LeaderElectionOptions {
  client: Pick<ApiClient, 'get' | 'create' | 'update'>;
  /** e.g. `kube-scheduler`, in `kube-system`. */
  name: string;
  namespace?: string;
  /** Ours alone: `<hostname>_<uuid>`. */
  identity: string;
  leaseDurationMs?: number;
  renewDeadlineMs?: number;
  retryPeriodMs?: number;
  events: EventSink;
  clock: Clock;
  log: Logger;
}

/** The lease as we last saw it change. */
export interface ObservedLease {
  spec: LeaseSpec;
  sinceMs: number;
}

/** Pure: the spec to write to take or keep the lease, or undefined while another holds it. */
export function nextLeaseSpec(
  observed: ObservedLease | undefined,
  identity: string,
  leaseDurationMs: number,
  nowMs: number,
  now: string,
): LeaseSpec | undefined {
  const spec = observed?.spec;
  const holder = spec?.holderIdentity ?? '';
  const isOurs = holder === identity;
  const isHeld = holder !== '' && observed !== undefined && nowMs < observed.sinceMs + leaseDurationMs;
  if (!isOurs && isHeld) return undefined;
  const transitions = spec?.leaseTransitions ?? 0;
  return {
    holderIdentity: identity,
    leaseDurationSeconds: Math.round(leaseDurationMs / 1000),
    acquireTime: isOurs ? (spec?.acquireTime ?? now) : now,
    renewTime: now,
    leaseTransitions: isOurs || observed === undefined ? transitions : transitions + 1,
  };
}

export class LeaderElection {
  readonly #options: Required<LeaderElectionOptions>;
  #observed: ObservedLease | undefined;
  #lease: Lease | undefined;

  constructor(options: LeaderElectionOptions) {
    this.#options = {
      namespace: 'kube-system',
      leaseDurationMs: 15_000,
      renewDeadlineMs: 10_000,
      retryPeriodMs: 2000,
      ...options,
    };
  }

  /**
   * Waits for the lease, then works while it can be renewed.
   * @throws {Error} when the lease is lost: the process should end
   */
  async run(whenLeading: (signal: AbortSignal) => Promise<void>, signal: AbortSignal): Promise<void> {
    const { clock, identity, name, log, retryPeriodMs } = this.#options;
    while (!signal.aborted && !(await this.#tryHold(signal))) {
      await clock.sleep(retryPeriodMs * (1 + Math.random() * 1.2), signal);
    }
    if (signal.aborted) return;
    log.info({ lease: name, identity }, 'became leader');
    this.#event('became leader');
    await runTogether(signal, [whenLeading, (inner) => this.#keep(inner)]);
  }

  async #keep(signal: AbortSignal): Promise<void> {
    const { clock, name, renewDeadlineMs, retryPeriodMs } = this.#options;
    let renewedMs = clock.monotonicMs();
    for (;;) {
      await clock.sleep(retryPeriodMs, signal);
      if (signal.aborted) return;
      const startMs = clock.monotonicMs();
      const attempt = new AbortController();
      const late = clock.sleep(renewedMs + renewDeadlineMs - startMs, AbortSignal.any([signal, attempt.signal]));
      const isHeld = await Promise.race([
        this.#tryHold(AbortSignal.any([signal, attempt.signal])),
        late.then(() => false),
      ]);
      attempt.abort();
      if (isHeld) renewedMs = startMs;
      else if (!signal.aborted && clock.monotonicMs() - renewedMs >= renewDeadlineMs) {
        this.#event('stopped leading');
        throw new Error(`Cannot renew the lease "${name}": no success for ${renewDeadlineMs / 1000}s`);
      }
    }
  }

  /** One attempt to take or renew the lease. Does not reject. */
  async #tryHold(signal: AbortSignal): Promise<boolean> {
    const { clock, identity, leaseDurationMs, log, name } = this.#options;
    try {
      if (this.#lease?.spec.holderIdentity !== identity) await this.#observe(signal);
      const spec = nextLeaseSpec(
        this.#observed,
        identity,
        leaseDurationMs,
        clock.monotonicMs(),
        rfc3339Micros(clock.nowMs()),
      );
      if (spec === undefined) return false;
      const { client, namespace } = this.#options;
      const stored =
        this.#lease === undefined
          ? await client.create(leases, { metadata: { name, namespace }, spec }, signal)
          : await client.update(leases, { ...this.#lease, spec }, signal);
      this.#see(stored);
      return true;
    } catch (err) {
      this.#lease = undefined; // read it again before the next attempt
      if (!signal.aborted) log.warn({ lease: name, reason: describeError(err) }, 'cannot take or renew lease');
      return false;
    }
  }

  async #observe(signal: AbortSignal): Promise<void> {
    const { client, name, namespace } = this.#options;
    try {
      this.#see(await client.get(leases, { namespace, name }, signal));
    } catch (err) {
      if (!isNotFound(err)) throw err;
      this.#lease = undefined;
      this.#observed = undefined;
    }
  }

  #see(lease: Lease): void {
    this.#lease = lease;
    const isSame = JSON.stringify(this.#observed?.spec) === JSON.stringify(lease.spec);
    if (!isSame) this.#observed = { spec: lease.spec, sinceMs: this.#options.clock.monotonicMs() };
  }

  #event(what: string): void {
    const { events, identity, name, namespace } = this.#options;
    const lease = this.#lease ?? { metadata: { name, namespace }, spec: {} };
    events.record(eventTarget(leases, lease), 'Normal', 'LeaderElection', `${identity} ${what}`);
  }
}
