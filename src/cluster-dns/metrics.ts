/**
 * What the name service counts, under CoreDNS's names: that is what dashboards and alerts of clusters ask for. The only
 * file of the name service that imports prom-client.
 */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { rcodes, recordTypes } from './dns-model.ts';
import type { ForwardObserver } from './forward/forwarder.ts';
import type { AnsweredQuery, ResolverObserver } from './resolver.ts';

const secondsBuckets = Array.from({ length: 16 }, (_, i) => 0.00025 * 2 ** i);
const bytesBuckets = [0, 100, 200, 300, 400, 511, 1023, 2047, 4095, 8291, 16_000, 32_000, 48_000, 64_000];

/** Types by which queries are counted; of others there may be any number. */
const typeNames = new Map<number, string>([
  ...Object.entries(recordTypes).map(([name, number]): [number, string] => [number, name]),
  [15, 'MX'],
  [35, 'NAPTR'],
  [43, 'DS'],
  [46, 'RRSIG'],
  [47, 'NSEC'],
  [48, 'DNSKEY'],
  [64, 'SVCB'],
  [65, 'HTTPS'],
]);
const rcodeNames = new Map<number, string>(Object.entries(rcodes).map(([name, number]) => [number, name]));

export class DnsMetrics implements ResolverObserver, ForwardObserver {
  readonly #registry = new Registry();
  readonly #server: string;
  readonly #zones: { cluster: string; other: string };
  readonly #requests = this.#counter('dns_requests_total', 'Queries', ['zone', 'proto', 'family', 'type']);
  readonly #dnssec = this.#counter('dns_do_requests_total', 'Queries that want DNSSEC', ['zone']);
  readonly #seconds = this.#histogram('dns_request_duration_seconds', 'Time to answer', secondsBuckets, ['zone']);
  readonly #queryBytes = this.#histogram('dns_request_size_bytes', 'Size of queries', bytesBuckets, ['zone', 'proto']);
  readonly #answerBytes = this.#histogram('dns_response_size_bytes', 'Size of answers', bytesBuckets, [
    'zone',
    'proto',
  ]);
  readonly #responses = this.#counter('dns_responses_total', 'Answers', ['zone', 'rcode', 'plugin']);
  readonly #cacheRequests = this.#counter('cache_requests_total', 'Looks into the cache', ['zones']);
  readonly #cacheHits = this.#counter('cache_hits_total', 'Answers from the cache', ['type', 'zones']);
  readonly #cacheMisses = this.#counter('cache_misses_total', 'Answers that the cache did not have', ['zones']);
  readonly #cacheEntries = this.#gauge('cache_entries', 'Answers in the cache', ['type', 'zones']);
  readonly #cacheEvictions = this.#counter('cache_evictions_total', 'Answers that had to go for others', ['zones']);
  readonly #askSeconds = this.#histogram('proxy_request_duration_seconds', 'Time of other servers', secondsBuckets, [
    'proxy_name',
    'to',
    'rcode',
  ]);
  readonly #healthFailures = this.#counter('proxy_healthcheck_failures_total', 'Failed looks at other servers', [
    'proxy_name',
    'to',
  ]);
  readonly #allBroken = this.#counter('forward_healthcheck_broken_total', 'Queries while no other server was well', []);
  readonly #rejects = this.#counter(
    'forward_max_concurrent_rejects_total',
    'Queries refused since too many were under way',
    [],
  );

  /** @param server as CoreDNS names it: `dns://:53` */
  constructor(server: string, domain: string, version: string) {
    this.#server = server;
    this.#zones = { cluster: `${domain}.`, other: '.' };
    const info = new Gauge({
      name: 'coredns_build_info',
      help: 'What runs here',
      labelNames: ['version', 'revision', 'goversion'],
      registers: [this.#registry],
    });
    info.set({ version: `gantry-${version}`, revision: '', goversion: '' }, 1);
  }

  answered(seen: AnsweredQuery): void {
    const { transport: proto, family, rcode } = seen;
    const zone = this.#zones[seen.zone];
    const server = this.#server;
    const type = seen.type === undefined ? 'other' : (typeNames.get(seen.type) ?? 'other');
    this.#requests.inc({ server, zone, view: '', proto, family, type });
    if (seen.isDnssecOk) this.#dnssec.inc({ server, zone, view: '' });
    this.#seconds.observe({ server, zone, view: '' }, seen.durationMs / 1000);
    this.#queryBytes.observe({ server, zone, view: '', proto }, seen.queryBytes);
    this.#answerBytes.observe({ server, zone, view: '', proto }, seen.answerBytes);
    const plugin = seen.zone === 'cluster' ? 'kubernetes' : 'forward';
    this.#responses.inc({ server, zone, view: '', rcode: rcodeName(rcode), plugin });
  }

  cacheRequest(hit: 'success' | 'denial' | undefined): void {
    const labels = { server: this.#server, zones: '.', view: '' };
    this.#cacheRequests.inc(labels);
    if (hit === undefined) this.#cacheMisses.inc(labels);
    else this.#cacheHits.inc({ ...labels, type: hit });
  }

  cacheSize(counts: Readonly<{ success: number; denial: number }>, evicted: number): void {
    const labels = { server: this.#server, zones: '.', view: '' };
    this.#cacheEntries.set({ ...labels, type: 'success' }, counts.success);
    this.#cacheEntries.set({ ...labels, type: 'denial' }, counts.denial);
    if (evicted > 0) this.#cacheEvictions.inc(labels, evicted);
  }

  asked(to: string, rcode: number, durationMs: number): void {
    this.#askSeconds.observe({ proxy_name: 'forward', to, rcode: rcodeName(rcode) }, durationMs / 1000);
  }

  healthcheckFailed(to: string): void {
    this.#healthFailures.inc({ proxy_name: 'forward', to });
  }

  allUnhealthy(): void {
    this.#allBroken.inc();
  }

  rejected(): void {
    this.#rejects.inc();
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }

  #counter(name: string, help: string, labels: readonly string[]): Counter {
    return new Counter({
      name: `coredns_${name}`,
      help,
      labelNames: labelsOf(name, labels),
      registers: [this.#registry],
    });
  }

  #gauge(name: string, help: string, labels: readonly string[]): Gauge {
    return new Gauge({
      name: `coredns_${name}`,
      help,
      labelNames: labelsOf(name, labels),
      registers: [this.#registry],
    });
  }

  #histogram(name: string, help: string, buckets: number[], labels: readonly string[]): Histogram {
    const labelNames = labelsOf(name, labels);
    return new Histogram({ name: `coredns_${name}`, help, buckets, labelNames, registers: [this.#registry] });
  }
}

function labelsOf(name: string, labels: readonly string[]): string[] {
  return /^(dns|cache)_/.test(name) ? ['server', 'view', ...labels] : [...labels];
}

function rcodeName(rcode: number): string {
  return rcodeNames.get(rcode) ?? String(rcode);
}
