import { isIP } from 'node:net';
import type { NodeAddress } from '../../objects/generated/core-v1.ts';

/**
 * The node's address for its pods, and the first one of the other family: the API takes one of each family, however
 * many a cloud's controller has found. A node without internal addresses is known by its external ones. Pure.
 *
 * @param otherwise while the node shows none
 */
export function hostIpsOf(addresses: readonly NodeAddress[], otherwise: readonly string[]): string[] {
  const ofType = (wanted: string): string[] =>
    addresses.filter(({ type, address }) => type === wanted && isIP(address) !== 0).map(({ address }) => address);
  const told = [...ofType('InternalIP'), ...ofType('ExternalIP')];
  const all = told.length > 0 ? told : otherwise;
  const [first] = all;
  if (first === undefined) return [];
  const other = all.find((ip) => isIP(ip) !== isIP(first));
  return other === undefined ? [first] : [first, other];
}
