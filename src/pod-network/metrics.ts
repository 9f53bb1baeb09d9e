/** What the pod network counts of its own work. The only file of the pod network that imports prom-client. */
import { Counter, Gauge, Registry } from 'prom-client';

/** What is made, and made again when somebody takes it away. */
export type Part = 'conflist' | 'masquerade' | 'routes' | 'settings';

export class PodNetworkMetrics {
  readonly #registry = new Registry();
  readonly #routes = this.#gauge('routes', "Routes to other nodes' pods that are wanted");
  readonly #problems = this.#gauge('problems', 'What keeps pods from being reached, now', ['part']);
  readonly #foreign = this.#gauge('foreign_config', 'Whether the CNI configuration that comes first is not ours');
  readonly #writes = this.#counter('writes_total', 'Changes made to the node, by part');
  readonly #failures = this.#counter('failures_total', 'Changes that could not be made, by part');

  looked(state: { routes: number; isForeign: boolean; problems: ReadonlyMap<Part, number> }): void {
    this.#routes.set(state.routes);
    this.#foreign.set(state.isForeign ? 1 : 0);
    for (const [part, count] of state.problems) this.#problems.set({ part }, count);
  }

  wrote(part: Part, count = 1): void {
    this.#writes.inc({ part }, count);
  }

  failed(part: Part): void {
    this.#failures.inc({ part });
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }

  #gauge(name: string, help: string, labelNames: string[] = []): Gauge {
    return new Gauge({ name: `gantry_pod_network_${name}`, help, labelNames, registers: [this.#registry] });
  }

  #counter(name: string, help: string): Counter {
    return new Counter({
      name: `gantry_pod_network_${name}`,
      help,
      labelNames: ['part'],
      registers: [this.#registry],
    });
  }
}
