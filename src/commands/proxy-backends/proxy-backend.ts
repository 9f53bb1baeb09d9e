/** What `kube-proxy` asks of a mode: to be put together for this node, and to be taken away without a trace. */
import { networkInterfaces } from 'node:os';
import type { Sysctl } from '../../adapters/sysctl/sysctl.ts';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import type { OwnNode } from '../../proxy/collect/own-node.ts';
import type { Installer } from '../../proxy/install/installer.ts';
import type { BackendMetrics } from '../../proxy/metrics.ts';
import type { ProxyConfig } from '../../proxy/proxy-config.ts';
import type { IpFamily } from '../../proxy/proxy-model.ts';

export interface BackendNeed {
  config: ProxyConfig;
  node: OwnNode;
  settings: Sysctl;
  metrics: BackendMetrics;
  clock: Clock;
  log: Logger;
}

export interface ProxyBackend {
  /**
   * Readies the kernel and builds an installer for each IP family that this node can serve.
   * @throws {Error} that names the tool or the kernel module that is missing
   */
  build(need: BackendNeed, signal: AbortSignal): Promise<ReadonlyMap<IpFamily, Installer>>;
  /**
   * Removes all that the mode has put into the kernel, from whichever version of it. Where the mode could never have
   * run (no tool, no module) there is nothing to do.
   * @throws {Error} that names what could not be removed
   */
  cleanUp(log: Logger, signal: AbortSignal): Promise<void>;
}

/** The machine's addresses of a family, as they are now. */
export function interfaceIps(family: IpFamily): string[] {
  return Object.values(networkInterfaces()).flatMap((addresses) =>
    (addresses ?? []).filter((address) => address.family === family).map(({ address }) => address),
  );
}

/** Without IPv6 in the kernel the setting is missing. */
export async function isIpv6On(settings: Sysctl): Promise<boolean> {
  return (await settings.get('net/ipv6/conf/all/disable_ipv6').catch(() => undefined)) === '0';
}
