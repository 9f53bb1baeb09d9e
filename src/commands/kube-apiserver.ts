/** `kube-apiserver`: flags as upstream names them → a server on etcd until a signal. */
import { Command } from 'commander';
import { Etcd } from '../adapters/etcd/etcd.ts';
import { startApiServer } from '../apiserver/apiserver.ts';
import type { PortRange } from '../apiserver/resources/service-allocator.ts';
import { EtcdStorage } from '../apiserver/storage/etcd-storage.ts';
import { systemClock } from '../base/clock.ts';
import { ConfigError } from '../base/errors.ts';
import { createLogger } from '../base/logger.ts';
import { stopSignal } from '../base/stop-signal.ts';
import { gantryVersion } from '../base/version.ts';

interface Flags {
  etcdServers: string;
  etcdCafile?: string;
  etcdCertfile?: string;
  etcdKeyfile?: string;
  etcdPrefix: string;
  bindAddress: string;
  advertiseAddress: string;
  securePort: string;
  tlsCertFile: string;
  tlsPrivateKeyFile: string;
  clientCaFile: string;
  serviceAccountKeyFile: string[];
  serviceAccountSigningKeyFile?: string;
  serviceAccountIssuer: string[];
  apiAudiences?: string;
  serviceClusterIpRange: string;
  serviceNodePortRange: string;
  kubeletClientCertificate?: string;
  kubeletClientKey?: string;
  kubeletCertificateAuthority?: string;
  runtimeConfig?: string;
  v: string;
}

const repeated = (value: string, before: string[] = []): string[] => [...before, value];

export function apiServerFlags(): Command {
  return new Command('kube-apiserver')
    .description('the API server of a lab cluster')
    .version(gantryVersion)
    .requiredOption('--etcd-servers <urls>', 'etcd members, comma separated')
    .option('--etcd-cafile <file>', 'authority of the etcd members')
    .option('--etcd-certfile <file>', 'client certificate for etcd')
    .option('--etcd-keyfile <file>', 'its key')
    .option('--etcd-prefix <prefix>', 'above all keys in etcd', '/registry')
    .option('--bind-address <ip>', 'address to listen on', '0.0.0.0')
    .requiredOption('--advertise-address <ip>', 'address at which the cluster reaches this server')
    .option('--secure-port <port>', 'HTTPS port; 0 takes a free one', '6443')
    .requiredOption('--tls-cert-file <file>', 'serving certificate')
    .requiredOption('--tls-private-key-file <file>', 'its key')
    .requiredOption('--client-ca-file <file>', 'authority of client certificates')
    .option('--service-account-key-file <file>', 'public key of service account tokens; may be repeated', repeated, [])
    .option('--service-account-signing-key-file <file>', 'private key that signs service account tokens')
    .requiredOption('--service-account-issuer <url>', 'issuer of service account tokens; may be repeated', repeated)
    .option('--api-audiences <names>', 'audiences of the API, comma separated; the issuers by default')
    .option(
      '--service-cluster-ip-range <cidrs>',
      'addresses of Services: one range, or one of each family',
      '10.96.0.0/16',
    )
    .option('--service-node-port-range <range>', 'ports of Services on the nodes', '30000-32767')
    .option('--kubelet-client-certificate <file>', 'client certificate for kubelets')
    .option('--kubelet-client-key <file>', 'its key')
    .option('--kubelet-certificate-authority <file>', 'authority of kubelets; without it they are not checked')
    .option('--runtime-config <versions>', 'groups and versions that are off by default, e.g. group/v1beta1=true')
    .option('--v <level>', 'verbosity of the log', '0');
}

/** @throws {ConfigError} */
export function parsePortRange(text: string): PortRange {
  const match = /^(\d+)-(\d+)$/.exec(text);
  const first = Number(match?.[1]);
  const last = Number(match?.[2]);
  if (match === null || first < 1 || last > 65_535 || first > last) {
    throw new ConfigError('--service-node-port-range', [`expected a range like 30000-32767: "${text}"`]);
  }
  return { first, last };
}

/** Versions that can be switched on, by name. */
const optionalVersions = ['certificates.k8s.io/v1beta1'];

/** `certificates.k8s.io/v1beta1=true`, comma separated; `=true` may be left out. @throws {ConfigError} */
export function parseRuntimeConfig(text: string): Set<string> {
  const enabled = new Set<string>();
  for (const part of text.split(',').filter((one) => one !== '')) {
    const [version = '', value = 'true'] = part.split('=');
    if (!optionalVersions.includes(version) || !['true', 'false'].includes(value)) {
      const known = optionalVersions.map((one) => `${one}=true`).join(', ');
      throw new ConfigError('--runtime-config', [`"${part}" is not one of ${known}`]);
    }
    if (value === 'true') enabled.add(version);
    else enabled.delete(version);
  }
  return enabled;
}

export async function run(args: readonly string[]): Promise<void> {
  const flags = apiServerFlags()
    .parse([...args], { from: 'user' })
    .opts<Flags>();
  const log = createLogger({ name: 'kube-apiserver', verbosity: Number(flags.v) });
  const signal = stopSignal();
  const etcd = new Etcd({
    endpoints: flags.etcdServers.split(','),
    caFile: flags.etcdCafile,
    certFile: flags.etcdCertfile,
    keyFile: flags.etcdKeyfile,
  });
  try {
    const server = await startApiServer(
      {
        storage: new EtcdStorage(etcd, systemClock),
        etcdPrefix: flags.etcdPrefix,
        enabledVersions: parseRuntimeConfig(flags.runtimeConfig ?? ''),
        bindAddress: flags.bindAddress,
        securePort: Number(flags.securePort),
        advertiseAddress: flags.advertiseAddress,
        tlsCertFile: flags.tlsCertFile,
        tlsPrivateKeyFile: flags.tlsPrivateKeyFile,
        clientCaFile: flags.clientCaFile,
        serviceAccountKeyFiles: flags.serviceAccountKeyFile,
        serviceAccountSigningKeyFile: flags.serviceAccountSigningKeyFile,
        serviceAccountIssuers: flags.serviceAccountIssuer,
        apiAudiences: flags.apiAudiences?.split(',') ?? [],
        serviceClusterIpRange: flags.serviceClusterIpRange,
        serviceNodePortRange: parsePortRange(flags.serviceNodePortRange),
        kubeletClientCertificate: flags.kubeletClientCertificate,
        kubeletClientKey: flags.kubeletClientKey,
        kubeletCertificateAuthority: flags.kubeletCertificateAuthority,
        clock: systemClock,
        log,
      },
      signal,
    );
    await server.done;
  } finally {
    etcd.close();
  }
}
