/** What `ipvsadm --save --numeric` says becomes of packets to a frontend. Pure. */
import { endpointAddress } from '../proxy-model.ts';
import type { Frontend, Treatment } from './frontends.ts';

/**
 * @param nodeIps addresses that NodePorts have virtual servers on
 * @returns `reject` for a virtual server without real ones: the kernel answers that nothing is there
 */
export function installedIpvs(saved: string, frontend: Frontend, nodeIps: readonly string[]): Treatment {
  const flag = { tcp: '-t', udp: '-u', sctp: '--sctp-service' }[frontend.protocol];
  const ips = frontend.kind === 'node port' ? nodeIps : [frontend.ip];
  const lines = saved.split('\n');
  for (const ip of ips) {
    const server = `${flag} ${endpointAddress({ ip, port: frontend.port })} `;
    if (!lines.some((line) => line.startsWith(`-A ${server}`))) continue;
    const to = lines
      .filter((line) => line.startsWith(`-a ${server}`) && !/ -w 0\b/.test(line))
      .map((line) => / -r (\S+)/.exec(line)?.[1] ?? '');
    return to.length > 0 ? { kind: 'endpoints', to } : { kind: 'reject' };
  }
  return { kind: 'missing' };
}
