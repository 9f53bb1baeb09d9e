/** What network policies count. The only file of this product that imports prom-client. */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { Direction } from './network-policy-model.ts';

export interface Drops {
  direction: Direction;
  /** Undefined: packets of or to an address of this node that was nobody's yet. */
  policy: { namespace: string; name: string } | undefined;
  packets: number;
}

export class NetworkPolicyMetrics {
  readonly #registry = new Registry();
  readonly #policies = this.#gauge('policies', 'Policies that select pods of this node');
  readonly #pods = this.#gauge('isolated_pods', 'Pods of this node that any policy isolates');
  readonly #problems = this.#gauge(
    'unenforceable_policies',
    'Policies of pods here that cannot be enforced as written',
  );
  readonly #writes = new Counter({
    name: 'gantry_network_policy_writes_total',
    help: 'Transactions, by what was written',
    labelNames: ['what'],
    registers: [this.#registry],
  });
  readonly #failures = new Counter({
    name: 'gantry_network_policy_failures_total',
    help: 'Transactions and looks that nft refused',
    registers: [this.#registry],
  });
  readonly #duration = new Histogram({
    name: 'gantry_network_policy_write_duration_seconds',
    help: 'How long a transaction took',
    buckets: [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5],
    registers: [this.#registry],
  });
  readonly #dropped = new Counter({
    name: 'gantry_network_policy_dropped_packets_total',
    help: 'Packets that were kept back, counted at every policy that isolates the pod in that direction',
    labelNames: ['namespace', 'policy', 'direction'],
    registers: [this.#registry],
  });
  readonly #unknown = new Counter({
    name: 'gantry_network_policy_unknown_dropped_packets_total',
    help: 'Packets that were kept back from or to addresses of this node before their pod was known',
    labelNames: ['direction'],
    registers: [this.#registry],
  });

  holds(state: { policies: number; isolatedPods: number; problems: number }): void {
    this.#policies.set(state.policies);
    this.#pods.set(state.isolatedPods);
    this.#problems.set(state.problems);
  }

  wrote(what: 'changes' | 'whole', seconds: number): void {
    this.#writes.inc({ what });
    this.#duration.observe(seconds);
  }

  failed(): void {
    this.#failures.inc();
  }

  /** @param drops as the kernel has counted them */
  text(drops: readonly Drops[]): Promise<string> {
    this.#dropped.reset();
    this.#unknown.reset();
    for (const { direction, policy, packets } of drops) {
      if (policy === undefined) this.#unknown.inc({ direction }, packets);
      else this.#dropped.inc({ namespace: policy.namespace, policy: policy.name, direction }, packets);
    }
    return this.#registry.metrics();
  }

  #gauge(name: string, help: string): Gauge {
    return new Gauge({ name: `gantry_network_policy_${name}`, help, registers: [this.#registry] });
  }
}
