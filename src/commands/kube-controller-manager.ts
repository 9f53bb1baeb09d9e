/** `gantry kube-controller-manager`: flags → controllers, until the process is asked to stop. */
import { readFile } from 'node:fs/promises';
import { Command } from 'commander';
import { systemClock } from '../base/clock.ts';
import { ConfigError } from '../base/errors.ts';
import { ControllerManager, type ControllerManagerOptions } from '../controllers/controller-manager.ts';
import { removeDirectory } from '../controllers/volume-binding/remove-directory.ts';
import { type ProcessOptions, addProcessFlags, booleanFlag, runProcess, wholeNumber } from './control-plane-process.ts';

interface Flags extends ProcessOptions {
  controllers: string;
  rootCaFile?: string;
  serviceAccountPrivateKeyFile?: string;
  allocateNodeCidrs: boolean;
  clusterCidr: string;
  serviceClusterIpRange: string;
  nodeCidrMaskSize: number;
  nodeCidrMaskSizeIpv4: number;
  nodeCidrMaskSizeIpv6: number;
  nodeCidrDelay: number;
  nodeMonitorPeriod: number;
  nodeMonitorGracePeriod: number;
  nodeStartupGracePeriod: number;
  terminatedPodGcThreshold: number;
  pvclaimbinderSyncPeriod: number;
  disableForceDetachOnTimeout: boolean;
}

export async function run(args: readonly string[]): Promise<void> {
  const command = addProcessFlags(new Command('kube-controller-manager'), { qps: 20, burst: 30 })
    .description('runs the controllers of a cluster')
    .allowExcessArguments(false)
    .option('--controllers <names>', 'comma-separated names, "-name" to leave one out, "*" for all', '*')
    .option('--root-ca-file <file>', 'CA certificate to publish in every namespace')
    .option('--service-account-private-key-file <file>', 'taken for compatibility: tokens are issued by the API server')
    .addOption(booleanFlag('--allocate-node-cidrs', 'give every node a block of pod addresses', false))
    .option('--cluster-cidr <cidrs>', 'where these blocks come from: one, or one of each family', '')
    .option('--service-cluster-ip-range <cidrs>', 'addresses of Services, which nodes must not get', '')
    .option('--node-cidr-mask-size <n>', 'prefix length of a node’s block', wholeNumber, 0)
    .option('--node-cidr-mask-size-ipv4 <n>', 'the same for IPv4', wholeNumber, 0)
    .option('--node-cidr-mask-size-ipv6 <n>', 'the same for IPv6', wholeNumber, 0)
    .option('--node-cidr-delay <duration>', 'so long somebody else may give a new node its block', durationMs, 0)
    .option('--node-monitor-period <duration>', 'how often nodes are looked at', durationMs, 5000)
    .option('--node-monitor-grace-period <duration>', 'silence after which a node is lost', durationMs, 50_000)
    .option('--node-startup-grace-period <duration>', 'the same for a node that never reported', durationMs, 60_000)
    .option('--terminated-pod-gc-threshold <n>', 'finished pods kept at most; 0 keeps all', wholeNumber, 12_500)
    .option('--pvclaimbinder-sync-period <duration>', 'how often waiting claims are looked at', durationMs, 15_000)
    .addOption(
      booleanFlag('--disable-force-detach-on-timeout', 'a lost node keeps the volumes that it may still use', false),
    );
  const flags = command.parse([...args], { from: 'user' }).opts<Flags>();
  const options = await managerOptions(flags);
  await runProcess('kube-controller-manager', flags, (client, log, signal) =>
    new ControllerManager(client, options, systemClock, log, () =>
      client.withLimit(flags.kubeApiQps, flags.kubeApiBurst),
    ).run(signal),
  );
}

async function managerOptions(flags: Flags): Promise<ControllerManagerOptions> {
  const clusterCidrs = split(flags.clusterCidr);
  if (flags.allocateNodeCidrs && clusterCidrs.length === 0) {
    throw new ConfigError('Cannot start', ['--allocate-node-cidrs needs --cluster-cidr']);
  }
  const size = flags.nodeCidrMaskSize;
  return {
    controllers: split(flags.controllers),
    nodeLifecycle: {
      periodMs: flags.nodeMonitorPeriod,
      monitorMs: flags.nodeMonitorGracePeriod,
      startupMs: flags.nodeStartupGracePeriod,
    },
    nodeIpam: flags.allocateNodeCidrs
      ? {
          clusterCidrs,
          maskSizeIpv4: flags.nodeCidrMaskSizeIpv4 || size || 24,
          maskSizeIpv6: flags.nodeCidrMaskSizeIpv6 || size || 64,
          reservedCidrs: split(flags.serviceClusterIpRange),
          delayMs: flags.nodeCidrDelay,
        }
      : undefined,
    rootCaPem: flags.rootCaFile === undefined ? undefined : await readFile(flags.rootCaFile, 'utf8'),
    terminatedPodThreshold: flags.terminatedPodGcThreshold,
    ...(flags.disableForceDetachOnTimeout ? { attachDetach: { forceAfterMs: undefined } } : {}),
    volumeBinding: { periodMs: flags.pvclaimbinderSyncPeriod, removeDirectory },
  };
}

function split(text: string): string[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
}

/** Go's durations: `40s`, `1m30s`, `500ms`. */
function durationMs(text: string): number {
  const units: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)];
  if (parts.length === 0 || parts.map(([whole]) => whole).join('') !== text) {
    throw new RangeError(`Cannot use "${text}" as a duration: expected one like 40s or 1m30s`);
  }
  return parts.reduce((sum, [, amount, unit]) => sum + Number(amount) * (units[unit ?? ''] ?? 0), 0);
}
