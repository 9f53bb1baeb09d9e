import type { NftFamily } from '../../../adapters/nftables/nftables.ts';
import { type TableSink, withProtocolName } from '../../../adapters/nftables/read-table-text.ts';
import { isEndpointsMap } from '../../compute/nftables/table-layout.ts';
import { ElementSums } from './element-sums.ts';

export interface ExpectedTable {
  readonly ruleCounts: ReadonlyMap<string, number>;
  readonly sums: ElementSums;
}

export interface CheckNeed {
  chainNames(family: NftFamily, table: string, signal: AbortSignal): Promise<string[]>;
  readTable(family: NftFamily, name: string, sink: TableSink, signal: AbortSignal): Promise<void>;
}

/** Chains that are missing: a few milliseconds, whatever the number of Services. */
export async function missingChains(
  nft: CheckNeed,
  [family, table]: readonly [NftFamily, string],
  { ruleCounts }: Pick<ExpectedTable, 'ruleCounts'>,
  signal: AbortSignal,
): Promise<string[]> {
  const has = new Set(await nft.chainNames(family, table, signal));
  return [...ruleCounts.keys()].filter((chain) => !has.has(chain));
}

/**
 * Everything that differs, in words: chains with other than their number of rules, sets with other elements. Reads the
 * whole table: about a second of the tool's time for 10,000 Services.
 *
 * @param dynamicSets whose elements are the kernel's own
 */
export async function tableDifferences(
  nft: CheckNeed,
  [family, table]: readonly [NftFamily, string],
  { ruleCounts, sums }: ExpectedTable,
  dynamicSets: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<string[]> {
  const found = new Map<string, number>();
  const foundSums = new ElementSums();
  await nft.readTable(
    family,
    table,
    {
      onChain: (chain) => found.set(chain, 0),
      onRule: (chain) => found.set(chain, (found.get(chain) ?? 0) + 1),
      onElement: (set, element) => {
        if (!dynamicSets.has(set)) foundSums.take(set, isEndpointsMap(set) ? element : withProtocolName(element), 1);
      },
    },
    signal,
  );
  const chains = new Set([...ruleCounts.keys(), ...found.keys()]);
  return [
    ...[...chains].filter((chain) => found.get(chain) !== ruleCounts.get(chain)).map((chain) => `chain ${chain}`),
    ...sums.differences(foundSums).map((set) => `elements of ${set}`),
  ];
}
