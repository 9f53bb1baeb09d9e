/** Mode `iptables`. */
import { Iptables } from '../../adapters/iptables/iptables.ts';
import { PacketCounters } from '../../adapters/iptables/packet-counters.ts';
import { describeError } from '../../base/errors.ts';
import type { Logger } from '../../base/logger.ts';
import { localhostCounter } from '../../proxy/compute/iptables/service-rules.ts';
import { invalidCounter, masqueradeMark } from '../../proxy/compute/iptables/static-rules.ts';
import { localTraffic } from '../../proxy/compute/local-traffic.ts';
import { nodePortAddresses } from '../../proxy/compute/node-port-addresses.ts';
import type { Installer } from '../../proxy/install/installer.ts';
import { cleanUpIptables } from '../../proxy/install/iptables/clean-up.ts';
import { IptablesInstaller } from '../../proxy/install/iptables/iptables-installer.ts';
import { allowLocalhostNodePorts, checkBridgeNetfilter } from '../../proxy/kernel-settings.ts';
import type { IpFamily } from '../../proxy/proxy-model.ts';
import { type BackendNeed, type ProxyBackend, interfaceIps } from './proxy-backend.ts';
import { usableFamilies } from './usable-families.ts';

export const iptablesBackend: ProxyBackend = { build, cleanUp };

async function build({ config, node, settings, metrics, clock, log }: BackendNeed, signal: AbortSignal) {
  const counters = new PacketCounters();
  metrics.readAtScrape('iptables_ct_state_invalid_dropped_packets_total', () =>
    counters.packets(invalidCounter, signal),
  );
  metrics.readAtScrape('iptables_localhost_nodeports_accepted_packets_total', () =>
    counters.packets(localhostCounter, signal),
  );
  const families = await usableFamilies(settings, signal);
  const isLiberal = await settings.get('net/netfilter/nf_conntrack_tcp_be_liberal').catch(() => undefined);
  const installers = new Map<IpFamily, Installer>();
  for (const [family, iptables] of families) {
    const addresses = () => nodePortAddresses(config.nodePortAddresses, node.ips, family);
    await checkBridgeNetfilter(settings, family === 'IPv6', log);
    if (family === 'IPv4' && config.localhostNodePorts && addresses().containsIpv4Loopback) {
      await allowLocalhostNodePorts(settings, log);
    }
    installers.set(
      family,
      new IptablesInstaller(
        {
          family,
          masqueradeMark: masqueradeMark(config.masqueradeBit),
          masqueradeAll: config.masqueradeAll,
          localhostNodePorts: config.localhostNodePorts,
          dropsInvalid: isLiberal === undefined || isLiberal === '0',
          nodePortAddresses: addresses,
          localTraffic: () => localTraffic(config.localDetection, node.podCidrs, family),
          syncPeriodMs: config.syncPeriodMs,
        },
        {
          iptables,
          ensureCounter: (name, inner) => counters.ensure(name, inner),
          interfaceIps: () => interfaceIps(family),
          clock,
          log: log.child({ room: 'install' }),
        },
      ),
    );
  }
  return installers;
}

async function cleanUp(log: Logger, signal: AbortSignal): Promise<void> {
  const failures: string[] = [];
  for (const family of ['IPv4', 'IPv6'] as const) {
    const iptables = new Iptables({ family });
    try {
      if (!(await iptables.isUsable(signal))) continue;
      const removed = await cleanUpIptables(iptables, signal);
      log.info({ family, ...removed }, 'kube-proxy rules removed');
    } catch (err) {
      failures.push(`${family}: ${describeError(err)}`);
    }
  }
  const counters = new PacketCounters();
  for (const name of [invalidCounter, localhostCounter]) await counters.remove(name, signal);
  if (failures.length > 0) throw new Error(failures.join('; '));
}
