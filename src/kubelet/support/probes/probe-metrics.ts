import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { uidOf } from '../../pod-model.ts';
import type { ProbeTarget } from './next-probe-step.ts';
import type { ProbeOutcome } from './probe-outcome.ts';

const kindNames = { liveness: 'Liveness', readiness: 'Readiness', startup: 'Startup' } as const;
const results = ['successful', 'failed', 'unknown'] as const;

/** The series of `/metrics/probes`, in a registry of their own. Series of a worker that ended are taken out. */
export class ProbeMetrics {
  readonly #registry = new Registry();
  readonly #total = new Counter({
    name: 'prober_probe_total',
    help: '[BETA] Probes of containers by kind and result.',
    labelNames: ['probe_type', 'result', 'container', 'pod', 'namespace', 'pod_uid'],
    registers: [this.#registry],
  });
  readonly #duration = new Histogram({
    name: 'prober_probe_duration_seconds',
    help: '[ALPHA] How long probes took.',
    labelNames: ['probe_type', 'container', 'pod', 'namespace'],
    registers: [this.#registry],
  });

  constructor(kubeletStartedMs: number) {
    new Gauge({
      name: 'process_start_time_seconds',
      help: '[ALPHA] Start of the process, in seconds since the epoch.',
      registers: [this.#registry],
    }).set(kubeletStartedMs / 1000);
  }

  observe(target: ProbeTarget, outcome: ProbeOutcome, durationMs: number): void {
    const result = outcome.kind === 'error' ? 'unknown' : outcome.kind === 'failure' ? 'failed' : 'successful';
    const labels = labelsOf(target);
    this.#total.inc({ ...labels, result, pod_uid: uidOf(target.pod) });
    if (outcome.kind !== 'error') this.#duration.observe(labels, durationMs / 1000);
  }

  remove(target: ProbeTarget): void {
    const labels = labelsOf(target);
    for (const result of results) this.#total.remove({ ...labels, result, pod_uid: uidOf(target.pod) });
    this.#duration.remove(labels);
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }
}

function labelsOf({
  kind,
  container,
  pod,
}: ProbeTarget): Record<'probe_type' | 'container' | 'pod' | 'namespace', string> {
  return {
    probe_type: kindNames[kind],
    container: container.name,
    pod: pod.metadata.name,
    namespace: pod.metadata.namespace ?? 'default',
  };
}
