/**
 * The node's heartbeat: its Lease in `kube-node-lease`. Owns the last Lease that the server returned. Promises a renewal
 * every quarter of the lease's duration, through any outage, until its signal aborts; the Lease is never deleted.
 * There is none before the Node exists: the Node's uid is in it.
 */
import { type ApiClient, apiStatus } from '../../client/api-client.ts';
import { leases, nodes } from '../../client/resource-types.ts';
import { type Clock, rfc3339Micros } from '../../base/clock.ts';
import { withDeadline } from '../../base/deadline.ts';
import { describeError, isConflict, isNotFound } from '../../base/errors.ts';
import type { Logger } from '../../base/logger.ts';
import type { Lease } from '../../objects/generated/coordination-v1.ts';
import type { OwnerReference } from '../../objects/generated/meta-v1.ts';

interface NodeLeaseNeed {
  api: Pick<ApiClient, 'get' | 'create' | 'update'>;
  nodeName: string;
  durationSeconds: number;
  clock: Clock;
  log: Logger;
  /** 0 ≤ x < 1; `Math.random` by default. */
  random?: () => number;
}

const namespace = 'kube-node-lease';
const renewFraction = 0.25;
const jitter = 0.04;
const updateTries = 5;
const retryInitialMs = 200;
const retryMaxMs = 7000;
/** A request that takes longer than this is given up: the next one may get through. */
const requestTimeoutMs = 10_000;

export class NodeLease {
  readonly #need: NodeLeaseNeed;
  #latest: Lease | undefined;
  #isFailing = false;

  constructor(need: NodeLeaseNeed) {
    this.#need = need;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, durationSeconds, random = Math.random } = this.#need;
    const periodMs = durationSeconds * renewFraction * 1000;
    while (!signal.aborted) {
      await this.#renew(signal);
      await clock.sleep(periodMs * (1 + jitter * random()), signal);
    }
  }

  /** Renews what we have; where that fails, gets or makes it, as often as it takes. */
  async #renew(signal: AbortSignal): Promise<void> {
    if (this.#latest !== undefined && (await this.#update(this.#latest, signal))) return;
    const { clock, log } = this.#need;
    for (let delayMs = retryInitialMs; !signal.aborted; delayMs = Math.min(2 * delayMs, retryMaxMs)) {
      try {
        const found = await this.#getOrCreate(signal);
        // a Lease made just now is fresh; one found may be old
        if (found.isNew) return this.#succeed(found.lease);
        if (await this.#update(found.lease, signal)) return;
      } catch (err) {
        if (signal.aborted) return;
        // at a first start the Node comes a moment later
        if (isNotFound(err)) log.debug({ reason: describeError(err) }, 'there is no Node to own a lease yet');
        else this.#fail(err);
      }
      await clock.sleep(delayMs, signal);
    }
  }

  async #update(lease: Lease, signal: AbortSignal): Promise<boolean> {
    let base = lease;
    for (let attempt = 1; attempt <= updateTries && !signal.aborted; attempt++) {
      try {
        const wanted = await this.#wanted(base, signal);
        this.#succeed(await this.#call((s) => this.#need.api.update(leases, wanted, s), signal));
        return true;
      } catch (err) {
        if (signal.aborted) return false;
        this.#fail(err);
        if (isNotFound(err)) return false;
        if (isConflict(err)) {
          const fresh = await this.#get(signal).catch(() => undefined); // then the next attempt says why
          if (fresh !== undefined) base = fresh;
        }
      }
    }
    return false;
  }

  async #getOrCreate(signal: AbortSignal): Promise<{ lease: Lease; isNew: boolean }> {
    try {
      return { lease: await this.#get(signal), isNew: false };
    } catch (err) {
      if (!isNotFound(err)) throw err;
    }
    const wanted = await this.#wanted(undefined, signal);
    return { lease: await this.#call((s) => this.#need.api.create(leases, wanted, s), signal), isNew: true };
  }

  #get(signal: AbortSignal): Promise<Lease> {
    const { api, nodeName } = this.#need;
    return this.#call((s) => api.get(leases, { namespace, name: nodeName }, s), signal);
  }

  /** @throws {NotFoundError} while there is no Node to own the Lease */
  async #wanted(base: Lease | undefined, signal: AbortSignal): Promise<Lease> {
    const { api, nodeName, durationSeconds, clock } = this.#need;
    let owners: OwnerReference[] | undefined = base?.metadata.ownerReferences;
    if (owners === undefined || owners.length === 0) {
      const node = await this.#call((s) => api.get(nodes, { name: nodeName }, s), signal);
      owners = [{ apiVersion: 'v1', kind: 'Node', name: nodeName, uid: node.metadata.uid ?? '' }];
    }
    return {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      ...base,
      metadata: { ...base?.metadata, name: nodeName, namespace, ownerReferences: owners },
      spec: {
        ...base?.spec,
        holderIdentity: nodeName,
        leaseDurationSeconds: durationSeconds,
        renewTime: rfc3339Micros(clock.nowMs()),
      },
    };
  }

  #call<T>(work: (signal: AbortSignal) => Promise<T>, signal: AbortSignal): Promise<T> {
    return withDeadline('the node lease request', requestTimeoutMs, this.#need.clock, signal, work);
  }

  #succeed(lease: Lease): void {
    this.#latest = lease;
    if (this.#isFailing) this.#need.log.info('the node lease is renewed again');
    this.#isFailing = false;
  }

  /** Said once per outage: a heartbeat fails every few seconds while the server is away. */
  #fail(err: unknown): void {
    const { log } = this.#need;
    const code = apiStatus(err)?.code;
    const reason = describeError(err);
    if (this.#isFailing) log.debug({ reason, code }, 'cannot renew the node lease, will retry');
    else log.warn({ reason, code }, 'cannot renew the node lease, will retry');
    this.#isFailing = true;
  }
}
