/** What `/metrics` says of the kubelet itself, under upstream's names. The library is loaded with the first scrape. */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Registry } from 'prom-client';
import type { ObservedPod } from './pod-model.ts';

interface KubeletMetricsNeed {
  nodeName: string;
  /** What the runtime has. */
  pods(): readonly ObservedPod[];
}

export class KubeletMetrics {
  readonly #need: KubeletMetricsNeed;
  #registry: Promise<Registry> | undefined;

  constructor(need: KubeletMetricsNeed) {
    this.#need = need;
  }

  async text(): Promise<string> {
    this.#registry ??= this.#makeRegistry();
    return (await this.#registry).metrics();
  }

  async #makeRegistry(): Promise<Registry> {
    const { Registry, Gauge, collectDefaultMetrics } = await import('prom-client');
    const registry = new Registry();
    const { nodeName, pods } = this.#need;
    collectDefaultMetrics({ register: registry });
    const delay = monitorEventLoopDelay({ resolution: 20 });
    delay.enable();
    const registers = [registry];
    new Gauge({
      name: 'kubelet_node_name',
      help: "The node's name. The count is always 1.",
      labelNames: ['node'],
      registers,
    }).set({ node: nodeName }, 1);
    new Gauge({
      name: 'kubelet_running_pods',
      help: 'Number of pods that have a running pod sandbox',
      registers,
      collect() {
        this.set(pods().filter(({ sandboxes }) => sandboxes.some(({ isReady }) => isReady)).length);
      },
    });
    new Gauge({
      name: 'kubelet_running_containers',
      help: 'Number of containers currently running',
      labelNames: ['container_state'],
      registers,
      collect() {
        const counts = new Map<string, number>();
        for (const { containers } of pods()) {
          for (const { state } of containers) counts.set(state, (counts.get(state) ?? 0) + 1);
        }
        this.reset();
        for (const [state, count] of counts) this.set({ container_state: state }, count);
      },
    });
    new Gauge({
      name: 'gantry_event_loop_delay_seconds',
      help: 'Delay of the event loop since the last scrape, 99th percentile',
      labelNames: ['quantile'],
      registers,
      collect() {
        this.set({ quantile: '0.99' }, delay.percentile(99) / 1e9);
        delay.reset();
      },
    });
    return registry;
  }
}
