/**
 * The cluster's name service: READ THIS FIRST. Puts the rooms together: what the API says (`collect`) is what names
 * are (`answer`); others are asked for the rest (`forward`); `serve` has the doors and `wire` the packets.
 *
 * It answers as soon as it listens, but takes part in the Service only when it is ready: until everything has been listed
 * once, it says that it does not know. Asked to stop it goes on answering for a while, until nobody sends to it any more.
 */
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import { aborted, runTogether } from '../base/run-together.ts';
import { gantryVersion } from '../base/version.ts';
import type { ApiClient } from '../client/api-client.ts';
import { ClusterCollector } from './collect/cluster-collector.ts';
import { RecordStore } from './collect/record-store.ts';
import { Forwarder } from './forward/forwarder.ts';
import { DnsMetrics } from './metrics.ts';
import type { DnsConfig, ListenAddress } from './parse-dns-config.ts';
import { Resolver } from './resolver.ts';
import { answerHealth, answerMetrics, answerReady, serveHttpDoor } from './serve/http-doors.ts';
import { serveTcp } from './serve/tcp-server.ts';
import { serveUdp } from './serve/udp-server.ts';

export type Door = 'udp' | 'tcp' | 'health' | 'ready' | 'metrics';

export interface ClusterDnsNeed {
  client: Pick<ApiClient, 'list' | 'watch'>;
  /** This machine's addresses, without loopback. */
  ownAddresses: readonly string[];
  /** Where one listens who listens everywhere: `::` where the kernel has IPv6. */
  anyHost: string;
  random: () => number;
  onListening?: ((door: Door, port: number) => void) | undefined;
  clock: Clock;
  log: Logger;
}

export class ClusterDns {
  readonly #config: DnsConfig;
  readonly #need: ClusterDnsNeed;
  readonly #collector: ClusterCollector;
  readonly #metrics: DnsMetrics;
  readonly #forwarder: Forwarder;
  readonly #resolver: Resolver;
  #isLeaving = false;
  #hasSynced = false;

  constructor(config: DnsConfig, need: ClusterDnsNeed) {
    const { client, ownAddresses, random, clock, log } = need;
    const { zone, forward, listen } = config;
    this.#config = config;
    this.#need = need;
    const records = new RecordStore(clock);
    this.#metrics = new DnsMetrics(`dns://${listen.host}:${listen.port}`, zone.domain, gantryVersion);
    this.#collector = new ClusterCollector({
      client,
      store: records,
      needsPods: zone.podMode === 'verified',
      clock,
      log: log.child({ room: 'collect' }),
    });
    this.#forwarder = new Forwarder(forward, {
      clock,
      random,
      observe: this.#metrics,
      log: log.child({ room: 'forward' }),
    });
    this.#resolver = new Resolver(
      { ...zone, ownAddresses },
      {
        records,
        isReady: () => this.#isSynced(),
        forwarder: this.#forwarder,
        clock,
        observe: this.#metrics,
      },
    );
  }

  /** Serves until `signal` aborts, and a while longer. */
  async run(signal: AbortSignal): Promise<void> {
    const { health, ready, metrics, forward, zone } = this.#config;
    const { clock, log } = this.#need;
    const upstreams = forward.upstreams.map(({ host, port }) => `${host}:${port}`);
    log.info({ domain: zone.domain, pods: zone.podMode, upstreams }, 'cluster-dns starts');
    if (upstreams.length === 0) log.warn('there are no other name servers: only names of the cluster are answered');
    const never = new AbortController();
    await runTogether(never.signal, [
      (inner) => this.#untilStopped(signal, inner),
      (inner) => this.#collector.run(inner),
      (inner) => this.#forwarder.run(inner),
      (inner) => this.#serveDns(inner),
      (inner) => this.#serve('health', health, answerHealth(), inner),
      (inner) =>
        this.#serve(
          'ready',
          ready,
          answerReady(() => this.#lacks()),
          inner,
        ),
      (inner) => this.#serve('metrics', metrics, answerMetrics(this.#metrics), inner),
    ]);
    log.info({ uptimeSeconds: Math.round(clock.monotonicMs() / 1000) }, 'cluster-dns ends');
  }

  /** Ends, and with it everything else, when it has been asked to and the time for those who still ask is over. */
  async #untilStopped(signal: AbortSignal, inner: AbortSignal): Promise<void> {
    const { clock, log } = this.#need;
    await aborted(AbortSignal.any([signal, inner]));
    if (inner.aborted) return;
    this.#isLeaving = true;
    log.info({ lameduckMs: this.#config.lameduckMs }, 'asked to stop: goes on answering for a while');
    await clock.sleep(this.#config.lameduckMs, inner);
  }

  /** Asked for each question. What was listed once stays. */
  #isSynced(): boolean {
    this.#hasSynced ||= this.#collector.lacking.length === 0;
    return this.#hasSynced;
  }

  #lacks(): string {
    if (this.#isLeaving) return 'stopping';
    const { lacking } = this.#collector;
    return lacking.length === 0 ? '' : `kubernetes: ${lacking.join(', ')} not listed yet`;
  }

  async #serveDns(signal: AbortSignal): Promise<void> {
    const { listen } = this.#config;
    const { clock, log, anyHost, onListening } = this.#need;
    const host = listen.host === '' ? anyHost : listen.host;
    const resolve = this.#resolver.resolve.bind(this.#resolver);
    const common = { host, port: listen.port, resolve, log: log.child({ room: 'serve' }) };
    await runTogether(signal, [
      (inner) => serveUdp({ ...common, onListening: (port) => onListening?.('udp', port) }, inner),
      (inner) => serveTcp({ ...common, clock, onListening: (port) => onListening?.('tcp', port) }, inner),
    ]);
  }

  async #serve(
    name: Exclude<Door, 'udp' | 'tcp'>,
    address: ListenAddress | undefined,
    answer: ReturnType<typeof answerHealth>,
    signal: AbortSignal,
  ): Promise<void> {
    if (address === undefined) return aborted(signal);
    const { anyHost, onListening } = this.#need;
    const host = address.host === '' ? anyHost : address.host;
    await serveHttpDoor(
      { name, host, port: address.port, answer, onListening: (port) => onListening?.(name, port) },
      signal,
    );
  }
}
