/** What mode ipvs sets in the kernel at start. Pure. */
import type { IpvsConfig } from '../../proxy-config.ts';

/** The server that is added and deleted again to see whether the kernel has the scheduler: on an address of no one. */
const probeAddress = '198.51.100.0:20000';

/** Settings below `/proc/sys`, in order. @param release of the kernel: `6.1.0-56-amd64` */
export function ipvsSettings(release: string, { strictArp }: Pick<IpvsConfig, 'strictArp'>): Array<[string, string]> {
  return [
    ['net/ipv4/vs/conntrack', '1'],
    // a port used again goes to a live server: these kernels would hold it up for a second, older ones lack the setting
    ...(isReuseSlow(release) ? [['net/ipv4/vs/conn_reuse_mode', '0'] as [string, string]] : []),
    ['net/ipv4/vs/expire_nodest_conn', '1'],
    ['net/ipv4/vs/expire_quiescent_template', '1'],
    ['net/ipv4/ip_forward', '1'],
    ...(strictArp
      ? ([
          ['net/ipv4/conf/all/arp_ignore', '1'],
          ['net/ipv4/conf/all/arp_announce', '2'],
        ] as Array<[string, string]>)
      : []),
  ];
}

/** From 4.1 on, before 5.9. */
function isReuseSlow(release: string): boolean {
  const [major = 0, minor = 0] = release.split(/[.-]/).map(Number);
  return (major > 4 || (major === 4 && minor >= 1)) && (major < 5 || (major === 5 && minor < 9));
}

/** Undefined: nothing is to be set. */
export function ipvsTimeouts(config: IpvsConfig): { tcp: number; tcpFin: number; udp: number } | undefined {
  const { tcpTimeoutMs, tcpFinTimeoutMs, udpTimeoutMs } = config;
  if (tcpTimeoutMs <= 0 && tcpFinTimeoutMs <= 0 && udpTimeoutMs <= 0) return undefined;
  const [tcp = 0, tcpFin = 0, udp = 0] = [tcpTimeoutMs, tcpFinTimeoutMs, udpTimeoutMs].map((ms) =>
    Math.max(0, Math.floor(ms / 1000)),
  );
  return { tcp, tcpFin, udp };
}

/** Lines for `ipvsadm --restore` that fail when the kernel lacks the scheduler, and change nothing. */
export function schedulerProbe(scheduler: string): string[] {
  return [`-A -t ${probeAddress} -s ${scheduler}`, `-D -t ${probeAddress}`];
}
