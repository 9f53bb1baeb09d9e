/** The addresses that a pod shows, of all that its sandbox has. Pure. */
import { SocketAddress, isIP } from 'node:net';

/** The first of each family, in the usual spelling. @param prefersV6 the family of the node's own first address */
export function podIpsInOrder(ips: readonly string[], prefersV6: boolean): string[] {
  const v4 = ips.find((ip) => isIP(ip) === 4);
  const v6 = ips.find((ip) => isIP(ip) === 6);
  const usual = v6 === undefined ? undefined : new SocketAddress({ address: v6, family: 'ipv6' }).address;
  return (prefersV6 ? [usual, v4] : [v4, usual]).filter((ip) => ip !== undefined);
}
