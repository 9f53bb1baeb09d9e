/** The kernel settings that serving Services needs, made once at start. */
import { describeError } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { ConntrackConfig } from './proxy-config.ts';

export interface SettingsNeed {
  get(name: string): Promise<string | undefined>;
  set(name: string, value: string): Promise<boolean>;
  moduleParameter(module: string, parameter: string): Promise<string | undefined>;
  setModuleParameter(module: string, parameter: string, value: string): Promise<boolean>;
}

const conntrackMaxLimit = 1_048_576;

/** Entries that the connection table shall hold; 0: leave it as it is. Pure. */
export function conntrackMax(
  { maxPerCore, min }: Pick<ConntrackConfig, 'maxPerCore' | 'min'>,
  cpuCount: number,
): number {
  if (maxPerCore === 0) return 0;
  const scaled = maxPerCore * cpuCount;
  // the upper limit wins even over a greater minimum, as upstream
  return scaled > conntrackMaxLimit ? conntrackMaxLimit : Math.max(scaled, min);
}

/**
 * Sets what is configured. In a container or a lab node some settings belong to the machine and may not be changed
 * from here: that is one log line with all of them, and no reason not to serve.
 */
export async function applyConntrackSettings(
  config: ConntrackConfig,
  cpuCount: number,
  settings: SettingsNeed,
  log: Logger,
): Promise<void> {
  const refused: string[] = [];
  const attempt = async (change: () => Promise<unknown>): Promise<void> => {
    try {
      await change();
    } catch (err) {
      refused.push(describeError(err));
    }
  };
  const seconds = (ms: number): string => String(Math.floor(ms / 1000));
  const max = conntrackMax(config, cpuCount);
  if (max > 0) {
    await attempt(() => settings.set('net/netfilter/nf_conntrack_max', String(max)));
    const buckets = Number(await settings.moduleParameter('nf_conntrack', 'hashsize').catch(() => undefined));
    if (buckets > 0 && buckets < max / 4) {
      await attempt(() => settings.setModuleParameter('nf_conntrack', 'hashsize', String(Math.floor(max / 4))));
    }
  }
  const timeouts = {
    nf_conntrack_tcp_timeout_established: config.tcpEstablishedTimeoutMs,
    nf_conntrack_tcp_timeout_close_wait: config.tcpCloseWaitTimeoutMs,
    nf_conntrack_udp_timeout: config.udpTimeoutMs,
    nf_conntrack_udp_timeout_stream: config.udpStreamTimeoutMs,
  };
  for (const [name, ms] of Object.entries(timeouts)) {
    if (ms > 0) await attempt(() => settings.set(`net/netfilter/${name}`, seconds(ms)));
  }
  if (config.tcpBeLiberal) await attempt(() => settings.set('net/netfilter/nf_conntrack_tcp_be_liberal', '1'));
  if (refused.length > 0) {
    log.warn({ refused }, 'some conntrack settings stay as they are; set them on the machine, or configure them as 0');
  }
}

/** Lets NodePorts answer on 127.0.0.1: packets with such a source may then be routed to pods. */
export async function allowLocalhostNodePorts(settings: SettingsNeed, log: Logger): Promise<void> {
  try {
    await settings.set('net/ipv4/conf/all/route_localnet', '1');
  } catch (err) {
    log.warn(
      { reason: describeError(err) },
      'NodePorts will not answer on 127.0.0.1; allow it, or configure localhostNodePorts: false',
    );
  }
}

/** Pods behind one bridge reach each other through a Service only when bridged packets pass iptables. */
export async function checkBridgeNetfilter(settings: SettingsNeed, isIpv6: boolean, log: Logger): Promise<void> {
  const name = `net/bridge/bridge-nf-call-${isIpv6 ? 'ip6tables' : 'iptables'}`;
  const value = await settings.get(name).catch(() => undefined);
  if (value === '1') return;
  log.warn(
    { setting: name, value: value ?? 'missing' },
    'a pod may not reach a pod of its own bridge through a Service; run `modprobe br_netfilter` and set it to 1',
  );
}
