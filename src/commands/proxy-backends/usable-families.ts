/** The IP families that the iptables tools serve on this node. */
import { Iptables } from '../../adapters/iptables/iptables.ts';
import type { Sysctl } from '../../adapters/sysctl/sysctl.ts';
import type { IpFamily } from '../../proxy/proxy-model.ts';
import { isIpv6On } from './proxy-backend.ts';

/** @throws {Error} that names the tool or the table that is missing when there is none */
export async function usableFamilies(settings: Sysctl, signal: AbortSignal): Promise<Map<IpFamily, Iptables>> {
  const families = new Map<IpFamily, Iptables>();
  const ipv4 = new Iptables({ family: 'IPv4' });
  if (await ipv4.isUsable(signal)) families.set('IPv4', ipv4);
  const ipv6 = new Iptables({ family: 'IPv6' });
  if ((await isIpv6On(settings)) && (await ipv6.isUsable(signal))) families.set('IPv6', ipv6);
  if (families.size > 0) return families;
  await ipv4.version(signal); // names a tool that is missing or too old
  await ipv4.ruleCount('nat', 'POSTROUTING', signal);
  throw new Error('Cannot serve Services: iptables has no table "nat" here; is the process root, with CAP_NET_ADMIN?');
}
