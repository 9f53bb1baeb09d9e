/** What the maps of nftables mode say becomes of packets to a frontend: a few look-ups, whatever the number of Services. */
import { endpointsMap, nodePortEndpointsMap } from '../compute/nftables/table-layout.ts';
import { endpointAddress } from '../proxy-model.ts';
import type { Frontend, Treatment } from './frontends.ts';

export interface NftLookUp {
  /** The value of a key in a map of the table; undefined when it is not there. */
  element(map: string, key: string): Promise<string | undefined>;
  /** Rules of a chain, as printed; undefined when there is no such chain. */
  chain(name: string): Promise<string | undefined>;
}

export async function installedNftables(frontend: Frontend, nft: NftLookUp): Promise<Treatment> {
  const { kind, ip, port, protocol } = frontend;
  const isNodePort = kind === 'node port';
  const key = isNodePort ? `${protocol} . ${port}` : `${ip} . ${protocol} . ${port}`;
  const refusal = await nft.element(isNodePort ? 'no-endpoint-nodeports' : 'no-endpoint-services', key);
  if (refusal !== undefined) return { kind: refusal === 'drop' ? 'drop' : 'reject' };
  const verdict = await nft.element(isNodePort ? 'service-nodeports' : 'service-ips', key);
  const chain = /^goto (\S+)$/.exec(verdict ?? '')?.[1];
  if (chain === undefined) return { kind: 'missing' };
  const to = chain.startsWith('sticky-') ? await ofStickyChain(chain, nft) : await ofMap(chain, frontend, nft);
  return to.length > 0 ? { kind: 'endpoints', to } : { kind: 'missing' };
}

/** The chain's name ends with how many endpoints it draws from. */
async function ofMap(chain: string, { kind, ip, port, protocol }: Frontend, nft: NftLookUp): Promise<string[]> {
  const count = Number(/-(\d+)$/.exec(chain)?.[1] ?? 0);
  const map = kind === 'node port' ? nodePortEndpointsMap(protocol) : endpointsMap(protocol);
  const key = kind === 'node port' ? String(port) : `${ip} . ${port}`;
  const to: string[] = [];
  for (let i = 0; i < count; i++) {
    const value = await nft.element(map, `${key} . ${i}`);
    const [address, number] = value?.split(' . ') ?? [];
    if (address !== undefined && number !== undefined) to.push(endpointAddress({ ip: address, port: Number(number) }));
  }
  return to;
}

async function ofStickyChain(chain: string, nft: NftLookUp, depth = 0): Promise<string[]> {
  const rules = (await nft.chain(chain)) ?? '';
  const to = [...rules.matchAll(/dnat to (\S+)/g)].map((match) => match[1] ?? '');
  if (to.length > 0 || depth > 0) return [...new Set(to)];
  // the last jump is for packets from elsewhere
  const next = [...rules.matchAll(/goto (sticky-\S+)/g)].at(-1)?.[1];
  return next === undefined ? [] : ofStickyChain(next, nft, depth + 1);
}

/** The value that `nft get element` printed for a key. Pure. */
export function elementValue(text: string): string | undefined {
  return /elements = \{[^}]*? : ([^}]+?)\s*\}/.exec(text)?.[1];
}
