/** What `/metrics` says of the kubelet itself, under upstream's names. The library is loaded with the first scrape. */
import type { Registry } from 'prom-client';
import type { ObservedPod } from './pod-model.ts';
import type { ProcessMeter } from './process-figures.ts';

interface KubeletMetricsNeed {
  nodeName: string;
  /** What the runtime has. */
  pods(): readonly ObservedPod[];
  /** How many pods wait for one step for too long. */
  fencedPods(): number;
  meter: Pick<ProcessMeter, 'figures' | 'resetDelay'>;
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
    const { nodeName, pods, fencedPods, meter } = this.#need;
    collectDefaultMetrics({ register: registry });
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
        this.set({ quantile: '0.99' }, meter.figures().eventLoopDelayP99Ms / 1000);
        meter.resetDelay();
      },
    });
    new Gauge({
      name: 'gantry_wake_ups_per_second',
      help: 'Turns of the event loop per second since the last look',
      registers,
      collect() {
        this.set(meter.figures().wakeUpsPerSecond);
      },
    });
    new Gauge({
      name: 'gantry_fenced_pods',
      help: 'Number of pods whose lane waits for one step for longer than such a step takes',
      registers,
      collect() {
        this.set(fencedPods());
      },
    });
    return registry;
  }
}
