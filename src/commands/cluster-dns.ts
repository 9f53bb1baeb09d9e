/** `gantry cluster-dns`: flags → typed config → name service → run until a signal. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { Command } from 'commander';
import { systemClock } from '../base/clock.ts';
import { describeError } from '../base/errors.ts';
import { createLogger } from '../base/logger.ts';
import { runTogether } from '../base/run-together.ts';
import { stopSignal } from '../base/stop-signal.ts';
import { HttpApiClient } from '../client/http-api-client.ts';
import { inClusterAccess } from '../client/in-cluster.ts';
import { loadKubeconfig } from '../client/kubeconfig.ts';
import { ClusterDns } from '../cluster-dns/cluster-dns.ts';
import { type DnsFlags, defaultFlags, parseDnsConfig } from '../cluster-dns/parse-dns-config.ts';
import { staySmall } from './stay-small.ts';

interface Flags extends DnsFlags {
  kubeconfig?: string;
  resolvConf: string;
  v: string;
}

export async function run(args: readonly string[]): Promise<void> {
  const flags = readFlags(args);
  const signal = stopSignal();
  const log = createLogger({ name: 'cluster-dns', verbosity: Number(flags.v) });
  let resolvConf = '';
  try {
    if (flags.resolvConf !== '') resolvConf = await readFile(flags.resolvConf, 'utf8');
  } catch (err) {
    log.warn({ file: flags.resolvConf, reason: describeError(err) }, 'cannot read which name servers there are');
  }
  const config = parseDnsConfig(flags, resolvConf);
  const client = new HttpApiClient({
    access: flags.kubeconfig === undefined ? inClusterAccess(process.env) : await loadKubeconfig(flags.kubeconfig),
    clock: systemClock,
    userAgentName: 'cluster-dns',
  });
  const dns = new ClusterDns(config, {
    client,
    ownAddresses: ownAddresses(),
    anyHost: existsSync('/proc/net/if_inet6') ? '::' : '0.0.0.0',
    random: Math.random,
    clock: systemClock,
    log,
    onListening: (door, port) => log.info({ door, port }, 'listening'),
  });
  await runTogether(signal, [(inner) => dns.run(inner), (inner) => staySmall({ clock: systemClock, log }, inner)]);
  client.close();
}

function ownAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((addresses = []) =>
    addresses
      .filter(({ internal, address }) => !internal && !address.startsWith('fe80:'))
      .map(({ address }) => address),
  );
}

function readFlags(args: readonly string[]): Flags {
  const program = new Command('cluster-dns')
    .description("Answers for the cluster's names, and asks other name servers for the rest.")
    .option('--kubeconfig <file>', "credentials for the API server (those of the pod's service account)")
    .option('--cluster-domain <domain>', 'the zone of the cluster', defaultFlags.clusterDomain)
    .option('--ttl <seconds>', "how long the cluster's names may be kept by others", defaultFlags.ttl)
    .option('--pods <mode>', 'names of pods: disabled, insecure or verified', defaultFlags.pods)
    .option('--listen <address>', 'where queries come, UDP and TCP', defaultFlags.listen)
    .option('--health-address <address>', '/health; empty: none', defaultFlags.healthAddress)
    .option('--ready-address <address>', '/ready; empty: none', defaultFlags.readyAddress)
    .option('--metrics-address <address>', '/metrics; empty: none', defaultFlags.metricsAddress)
    .option(
      '--upstream <address>',
      'a name server for other names; may be given several times (those of --resolv-conf)',
      (address: string, former: readonly string[]) => [...former, address],
      [...defaultFlags.upstream],
    )
    .option('--resolv-conf <file>', 'where other name servers are named; empty: nowhere', '/etc/resolv.conf')
    .option('--forward-policy <policy>', 'random, round_robin or sequential', defaultFlags.forwardPolicy)
    .option('--cache-ttl <seconds>', 'how long answers of others are kept at most; 0: not', defaultFlags.cacheTtl)
    .option('--cache-size <n>', 'how many answers of others are kept at most', defaultFlags.cacheSize)
    .option('--lameduck <duration>', 'how long to go on answering when asked to stop', defaultFlags.lameduck)
    .option('-v, --v <level>', 'log verbosity', '0')
    .allowExcessArguments(false);
  program.parse([...args], { from: 'user' });
  return program.opts<Flags>();
}
