/** The proxy's metrics under upstream's names. The only file of the proxy that imports prom-client. */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { SyncReport } from './install/installer.ts';
import type { IpFamily } from './proxy-model.ts';

const syncBuckets = Array.from({ length: 15 }, (_, i) => 0.001 * 2 ** i);
const programmingBuckets = [
  0.25,
  0.5,
  ...Array.from({ length: 59 }, (_, i) => i + 1),
  ...Array.from({ length: 12 }, (_, i) => 60 + 5 * i),
  ...Array.from({ length: 7 }, (_, i) => 120 + 30 * i),
];

export class ProxyMetrics {
  readonly #registry = new Registry();
  readonly #syncSeconds = this.#histogram('sync_proxy_rules_duration_seconds', 'Time of one sync', syncBuckets);
  readonly #fullSeconds = this.#histogram(
    'sync_full_proxy_rules_duration_seconds',
    'Time of one full sync',
    syncBuckets,
  );
  readonly #partialSeconds = this.#histogram(
    'sync_partial_proxy_rules_duration_seconds',
    'Time of one sync of changes only',
    syncBuckets,
  );
  readonly #programmingSeconds = this.#histogram(
    'network_programming_duration_seconds',
    'Time from the change of a Service or its pods to the rules for it',
    programmingBuckets,
  );
  readonly #lastSync = this.#gauge('sync_proxy_rules_last_timestamp_seconds', 'When the last sync succeeded');
  readonly #lastQueued = this.#gauge(
    'sync_proxy_rules_last_queued_timestamp_seconds',
    'When a sync was last asked for',
  );
  readonly #endpointsPending = this.#gauge(
    'sync_proxy_rules_endpoint_changes_pending',
    'Endpoint changes not yet synced',
  );
  readonly #servicesPending = this.#gauge('sync_proxy_rules_service_changes_pending', 'Service changes not yet synced');
  readonly #endpointsTotal = this.#counter('sync_proxy_rules_endpoint_changes_total', 'Endpoint changes');
  readonly #servicesTotal = this.#counter('sync_proxy_rules_service_changes_total', 'Service changes');
  readonly #restoreFailures = this.#counter(
    'sync_proxy_rules_iptables_restore_failures_total',
    'Failed calls of iptables-restore',
  );
  readonly #partialFailures = this.#counter(
    'sync_proxy_rules_iptables_partial_restore_failures_total',
    'Failed calls of iptables-restore with changes only',
  );
  readonly #rulesTotal = this.#gauge('sync_proxy_rules_iptables_total', 'Rules in place', ['table']);
  readonly #rulesLast = this.#gauge('sync_proxy_rules_iptables_last', 'Rules that the last sync wrote', ['table']);
  readonly #noLocal = this.#gauge(
    'sync_proxy_rules_no_local_endpoints_total',
    'Service ports with a Local policy and no endpoint on this node',
    ['traffic_policy'],
  );
  readonly #healthz = this.#answers('proxy_healthz_total', 'Answers of /healthz by code');
  readonly #livez = this.#answers('proxy_livez_total', 'Answers of /livez by code');

  changed(family: IpFamily, kind: 'service' | 'endpoint', nowMs: number): void {
    (kind === 'service' ? this.#servicesTotal : this.#endpointsTotal).inc({ ip_family: family });
    this.#lastQueued.set({ ip_family: family }, nowMs / 1000);
  }

  pending(
    family: IpFamily,
    { serviceChanges, endpointChanges }: { serviceChanges: number; endpointChanges: number },
  ): void {
    this.#servicesPending.set({ ip_family: family }, serviceChanges);
    this.#endpointsPending.set({ ip_family: family }, endpointChanges);
  }

  synced(family: IpFamily, { isFull, rules, lacksLocal }: SyncReport, durationMs: number, nowMs: number): void {
    const labels = { ip_family: family };
    this.#syncSeconds.observe(labels, durationMs / 1000);
    (isFull ? this.#fullSeconds : this.#partialSeconds).observe(labels, durationMs / 1000);
    this.#lastSync.set(labels, nowMs / 1000);
    for (const [table, { total, written }] of rules) {
      this.#rulesTotal.set({ ...labels, table }, total);
      this.#rulesLast.set({ ...labels, table }, written);
    }
    this.#noLocal.set({ ...labels, traffic_policy: 'internal' }, lacksLocal.internal);
    this.#noLocal.set({ ...labels, traffic_policy: 'external' }, lacksLocal.external);
  }

  programmed(family: IpFamily, durationMs: number): void {
    this.#programmingSeconds.observe({ ip_family: family }, durationMs / 1000);
  }

  failed(family: IpFamily, isPartial: boolean): void {
    this.#restoreFailures.inc({ ip_family: family });
    if (isPartial) this.#partialFailures.inc({ ip_family: family });
  }

  answered(path: 'healthz' | 'livez', code: number): void {
    (path === 'healthz' ? this.#healthz : this.#livez).inc({ code: String(code) });
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }

  #histogram(name: string, help: string, buckets: number[]): Histogram {
    return new Histogram({
      name: `kubeproxy_${name}`,
      help,
      buckets,
      labelNames: ['ip_family'],
      registers: [this.#registry],
    });
  }

  #gauge(name: string, help: string, more: string[] = []): Gauge {
    return new Gauge({
      name: `kubeproxy_${name}`,
      help,
      labelNames: ['ip_family', ...more],
      registers: [this.#registry],
    });
  }

  #counter(name: string, help: string): Counter {
    return new Counter({ name: `kubeproxy_${name}`, help, labelNames: ['ip_family'], registers: [this.#registry] });
  }

  #answers(name: string, help: string): Counter {
    return new Counter({ name: `kubeproxy_${name}`, help, labelNames: ['code'], registers: [this.#registry] });
  }
}
