/** The proxy's metrics under upstream's names. The only file of the proxy that imports prom-client. */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { gantryVersion, kubernetesVersion } from '../base/version.ts';
import type { SyncReport } from './install/installer.ts';
import type { ProxyMode } from './proxy-config.ts';
import type { IpFamily } from './proxy-model.ts';

const syncBuckets = Array.from({ length: 15 }, (_, i) => 0.001 * 2 ** i);
const programmingBuckets = [
  0.25,
  0.5,
  ...Array.from({ length: 59 }, (_, i) => i + 1),
  ...Array.from({ length: 12 }, (_, i) => 60 + 5 * i),
  ...Array.from({ length: 7 }, (_, i) => 120 + 30 * i),
];

const byFamily = ['ip_family'];

/** What any client library of the metrics' format tells of its process. */
function addProcessMetrics(registry: Registry): void {
  const startedSeconds = Math.round(performance.timeOrigin) / 1000;
  const gauges: Array<[name: string, help: string, read: () => number]> = [
    ['process_resident_memory_bytes', 'Resident memory', () => process.memoryUsage.rss()],
    ['process_start_time_seconds', 'When the process started', () => startedSeconds],
  ];
  for (const [name, help, read] of gauges) {
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        this.set(read());
      },
    });
  }
  new Counter({
    name: 'process_cpu_seconds_total',
    help: 'Processor time of user and system',
    registers: [registry],
    collect() {
      const { user, system } = process.cpuUsage();
      this.reset();
      this.inc((user + system) / 1e6);
    },
  });
}

/** What back ends tell beside the report of a sync. */
export interface BackendMetrics {
  /** Mode ipvs: `iptables-restore` failed. Mode iptables need not say so: its failed syncs are counted as that. */
  iptablesRestoreFailed(family: IpFamily): void;
  /** Mode nftables: what is stale could not be removed. Failed syncs are counted as such. */
  nftablesCleanupFailed(family: IpFamily): void;
  /** A figure that the kernel keeps, read at each scrape; undefined: it cannot be told. One per name: the last wins. */
  readAtScrape(name: ScrapedCounter, read: () => Promise<number | undefined>): void;
}

export type ScrapedCounter =
  | 'iptables_ct_state_invalid_dropped_packets_total'
  | 'iptables_localhost_nodeports_accepted_packets_total';

/** What the reconciliation of connections tells. */
export interface FlowMetrics {
  flowsReconciled(family: IpFamily, durationMs: number, staleFlows: number, deletedEntries: number): void;
}

const scrapedHelp: Record<ScrapedCounter, string> = {
  iptables_ct_state_invalid_dropped_packets_total: 'Packets dropped since connection tracking called them invalid',
  iptables_localhost_nodeports_accepted_packets_total: 'Packets of NodePorts that were accepted on 127.0.0.1',
};

/** Owns the figures of one proxy: those that upstream registers for the mode, under upstream's names. */
export class ProxyMetrics implements BackendMetrics, FlowMetrics {
  readonly #registry = new Registry();
  readonly #sliRegistry = new Registry();
  readonly #mode: ProxyMode;
  readonly #seconds = this.#histogram('sync_proxy_rules_duration_seconds', 'Time of one sync', syncBuckets);
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
  readonly #noLocal = this.#gauge(
    'sync_proxy_rules_no_local_endpoints_total',
    'Service ports with a Local policy and no endpoint on this node',
    ['traffic_policy', 'ip_family'],
  );
  readonly #healthz = this.#counter('proxy_healthz_total', 'Answers of /healthz by code', ['code']);
  readonly #livez = this.#counter('proxy_livez_total', 'Answers of /livez by code', ['code']);
  readonly #flowSeconds = this.#histogram(
    'conntrack_reconciler_sync_duration_seconds',
    'Time of one reconciliation of connections',
    syncBuckets,
  );
  readonly #flowsDeleted = this.#counter(
    'conntrack_reconciler_deleted_entries_total',
    'Connections ended since their endpoint is gone',
  );
  /** Not upstream's: some of these are gone by themselves before they are deleted. */
  readonly #flowsStale = this.#counter(
    'conntrack_reconciler_stale_entries_total',
    'Connections seen that still went to an endpoint that is gone',
  );
  readonly #check = new Gauge({
    name: 'kubernetes_healthcheck',
    help: 'The last answer of a health check',
    labelNames: ['name', 'type'],
    registers: [this.#sliRegistry],
  });
  readonly #checks = new Counter({
    name: 'kubernetes_healthchecks_total',
    help: 'Answers of health checks',
    labelNames: ['name', 'type', 'status'],
    registers: [this.#sliRegistry],
  });
  readonly #fullSeconds: Histogram | undefined;
  readonly #partialSeconds: Histogram | undefined;
  readonly #restoreFailures: Counter | undefined;
  readonly #partialFailures: Counter | undefined;
  readonly #rulesTotal: Gauge | undefined;
  readonly #rulesLast: Gauge | undefined;
  readonly #nftSyncFailures: Counter | undefined;
  readonly #nftCleanupFailures: Counter | undefined;

  constructor(mode: ProxyMode) {
    this.#mode = mode;
    new Gauge({
      name: 'kubernetes_build_info',
      help: 'The version, as labels',
      labelNames: ['major', 'minor', 'git_version'],
      registers: [this.#registry],
    }).set({ major: kubernetesVersion.major, minor: kubernetesVersion.minor, git_version: gantryVersion }, 1);
    addProcessMetrics(this.#registry);
    if (mode !== 'ipvs') {
      const [full, partial] = ['sync_full_proxy_rules_duration_seconds', 'sync_partial_proxy_rules_duration_seconds'];
      this.#fullSeconds = this.#histogram(full, 'Time of one full sync', syncBuckets);
      this.#partialSeconds = this.#histogram(partial, 'Time of one sync of changes only', syncBuckets);
    }
    if (mode !== 'nftables') {
      this.#restoreFailures = this.#counter(
        'sync_proxy_rules_iptables_restore_failures_total',
        'Failed calls of iptables-restore',
      );
    }
    if (mode === 'iptables') {
      this.#partialFailures = this.#counter(
        'sync_proxy_rules_iptables_partial_restore_failures_total',
        'Failed calls of iptables-restore with changes only',
      );
      const labels = ['table', 'ip_family'];
      this.#rulesTotal = this.#gauge('sync_proxy_rules_iptables_total', 'Rules in place', labels);
      this.#rulesLast = this.#gauge('sync_proxy_rules_iptables_last', 'Rules that the last sync wrote', labels);
    }
    if (mode === 'nftables') {
      const [sync, cleanup] = ['sync', 'cleanup'].map((what) => `sync_proxy_rules_nftables_${what}_failures_total`);
      this.#nftSyncFailures = this.#counter(sync ?? '', 'Failed syncs');
      this.#nftCleanupFailures = this.#counter(cleanup ?? '', 'Failed removals of what is stale');
    }
  }

  changed(family: IpFamily, kind: 'service' | 'endpoint'): void {
    (kind === 'service' ? this.#servicesTotal : this.#endpointsTotal).inc({ ip_family: family });
  }

  queued(family: IpFamily, nowMs: number): void {
    this.#lastQueued.set({ ip_family: family }, nowMs / 1000);
  }

  pending(
    family: IpFamily,
    { serviceChanges, endpointChanges }: { serviceChanges: number; endpointChanges: number },
  ): void {
    this.#servicesPending.set({ ip_family: family }, serviceChanges);
    this.#endpointsPending.set({ ip_family: family }, endpointChanges);
  }

  /** A sync has ended, well or not. */
  took(family: IpFamily, isFull: boolean, durationMs: number): void {
    const labels = { ip_family: family };
    this.#seconds.observe(labels, durationMs / 1000);
    (isFull ? this.#fullSeconds : this.#partialSeconds)?.observe(labels, durationMs / 1000);
  }

  synced(family: IpFamily, { rules, lacksLocal }: SyncReport, nowMs: number): void {
    const labels = { ip_family: family };
    this.#lastSync.set(labels, nowMs / 1000);
    for (const [table, { total, written }] of rules) {
      this.#rulesTotal?.set({ ...labels, table }, total);
      this.#rulesLast?.set({ ...labels, table }, written);
    }
    this.#noLocal.set({ ...labels, traffic_policy: 'internal' }, lacksLocal.internal);
    this.#noLocal.set({ ...labels, traffic_policy: 'external' }, lacksLocal.external);
  }

  programmed(family: IpFamily, durationMs: number): void {
    this.#programmingSeconds.observe({ ip_family: family }, durationMs / 1000);
  }

  /** A sync has failed. In mode ipvs that may have many reasons: the back end names those that are counted. */
  failed(family: IpFamily, isPartial: boolean): void {
    if (this.#mode === 'iptables') this.iptablesRestoreFailed(family);
    if (isPartial) this.#partialFailures?.inc({ ip_family: family });
    this.#nftSyncFailures?.inc({ ip_family: family });
  }

  iptablesRestoreFailed(family: IpFamily): void {
    this.#restoreFailures?.inc({ ip_family: family });
  }

  nftablesCleanupFailed(family: IpFamily): void {
    this.#nftCleanupFailures?.inc({ ip_family: family });
  }

  flowsReconciled(family: IpFamily, durationMs: number, staleFlows: number, deletedEntries: number): void {
    this.#flowSeconds.observe({ ip_family: family }, durationMs / 1000);
    this.#flowsStale.inc({ ip_family: family }, staleFlows);
    this.#flowsDeleted.inc({ ip_family: family }, deletedEntries);
  }

  readAtScrape(name: ScrapedCounter, read: () => Promise<number | undefined>): void {
    this.#registry.removeSingleMetric(`kubeproxy_${name}`);
    new Counter({
      name: `kubeproxy_${name}`,
      help: scrapedHelp[name],
      registers: [this.#registry],
      async collect() {
        const value = await read();
        if (value === undefined) return;
        this.reset();
        this.inc(value);
      },
    });
  }

  answered(path: 'healthz' | 'livez', code: number): void {
    (path === 'healthz' ? this.#healthz : this.#livez).inc({ code: String(code) });
  }

  /** `/healthz` of the metrics server was asked, which is the one check that upstream has there. */
  pinged(): void {
    this.#check.set({ name: 'ping', type: 'healthz' }, 1);
    this.#checks.inc({ name: 'ping', type: 'healthz', status: 'success' });
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }

  sliText(): Promise<string> {
    return this.#sliRegistry.metrics();
  }

  #histogram(name: string, help: string, buckets: number[]): Histogram {
    const registers = [this.#registry];
    return new Histogram({ name: `kubeproxy_${name}`, help, buckets, labelNames: byFamily, registers });
  }

  #gauge(name: string, help: string, labelNames: string[] = byFamily): Gauge {
    return new Gauge({ name: `kubeproxy_${name}`, help, labelNames, registers: [this.#registry] });
  }

  #counter(name: string, help: string, labelNames: string[] = byFamily): Counter {
    return new Counter({ name: `kubeproxy_${name}`, help, labelNames, registers: [this.#registry] });
  }
}
