/** Whether the proxy keeps up, per IP family, as `/healthz` and `/livez` on port 10256 tell it. */
import { type Clock, rfc3339Nanos } from '../../base/clock.ts';
import type { IpFamily } from '../proxy-model.ts';

interface FamilyHealth {
  /** When a sync was first asked for that has not been served; undefined: all are. */
  pendingSinceMs: number | undefined;
  updatedMs: number | undefined;
}

export interface HealthAnswer {
  code: 200 | 503;
  body: string;
}

/** A family that has synced once is unhealthy while a request has waited for two sync periods. */
export class ProxyHealth {
  readonly #timeoutMs: number;
  readonly #clock: Clock;
  readonly #families = new Map<IpFamily, FamilyHealth>();

  constructor(syncPeriodMs: number, clock: Clock) {
    this.#timeoutMs = 2 * syncPeriodMs;
    this.#clock = clock;
  }

  queued(family: IpFamily): void {
    this.#at(family).pendingSinceMs ??= this.#clock.nowMs();
  }

  updated(family: IpFamily): void {
    const health = this.#at(family);
    health.pendingSinceMs = undefined;
    health.updatedMs = this.#clock.nowMs();
  }

  get isHealthy(): boolean {
    return [...this.#families.values()].every((health) => this.#isHealthy(health));
  }

  /** @param isNodeEligible whether load balancers may send to this node; undefined: not asked (`/livez`) */
  answer(isNodeEligible: boolean | undefined): HealthAnswer {
    const nowMs = this.#clock.nowMs();
    const isHealthy = this.isHealthy;
    const code = isHealthy && isNodeEligible !== false ? 200 : 503;
    const updates = [...this.#families.values()].map(({ updatedMs }) => updatedMs ?? 0);
    const status = Object.fromEntries(
      [...this.#families].map(([family, health]) => [
        family,
        { lastUpdated: rfc3339Nanos(health.updatedMs ?? 0), healthy: this.#isHealthy(health) },
      ]),
    );
    const body = JSON.stringify({
      lastUpdated: rfc3339Nanos(code === 200 ? nowMs : Math.max(0, ...updates)),
      currentTime: rfc3339Nanos(nowMs),
      ...(isNodeEligible === undefined ? {} : { nodeEligible: isNodeEligible }),
      healthy: isHealthy,
      ...(this.#families.size === 0 ? {} : { status }),
    });
    return { code, body };
  }

  #isHealthy({ pendingSinceMs, updatedMs }: FamilyHealth): boolean {
    if (updatedMs === undefined || pendingSinceMs === undefined) return true;
    return this.#clock.nowMs() - pendingSinceMs < this.#timeoutMs;
  }

  #at(family: IpFamily): FamilyHealth {
    const known = this.#families.get(family);
    if (known !== undefined) return known;
    const fresh: FamilyHealth = { pendingSinceMs: undefined, updatedMs: undefined };
    this.#families.set(family, fresh);
    return fresh;
  }
}
