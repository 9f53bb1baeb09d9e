/** What `nft --json list …` prints, in our words. Pure. */

export interface ListedTable {
  readonly comment: string;
  readonly chains: readonly string[];
  /** Sets and maps. */
  readonly sets: readonly string[];
  /** How many rules each chain has. */
  readonly ruleCounts: ReadonlyMap<string, number>;
}

interface Listing {
  readonly nftables?: ReadonlyArray<Record<string, unknown>>;
}

/** @throws {Error} when it is written in a form of JSON that we do not know */
function parseListing(json: string): ReadonlyArray<Record<string, unknown>> {
  const { nftables = [] } = JSON.parse(json) as Listing; // checked by its version just below
  const metainfo = nftables.find((entry) => 'metainfo' in entry)?.['metainfo'];
  const version = field(metainfo, 'json_schema_version');
  if (version !== 1)
    throw new Error(`Cannot read the listing of nft: its form has version "${String(version)}", expected 1`);
  return nftables;
}

export function parseTable(json: string): ListedTable {
  let comment = '';
  const chains: string[] = [];
  const sets: string[] = [];
  const ruleCounts = new Map<string, number>();
  for (const entry of parseListing(json)) {
    if ('table' in entry) comment = text(field(entry['table'], 'comment'));
    else if ('chain' in entry) chains.push(text(field(entry['chain'], 'name')));
    else if ('set' in entry) sets.push(text(field(entry['set'], 'name')));
    else if ('map' in entry) sets.push(text(field(entry['map'], 'name')));
    else if ('rule' in entry) {
      const chain = text(field(entry['rule'], 'chain'));
      ruleCounts.set(chain, (ruleCounts.get(chain) ?? 0) + 1);
    }
  }
  return { comment, chains, sets, ruleCounts };
}

/** Keys of a set's elements, each as the texts of its fields. */
export function parseSetElements(json: string): string[][] {
  const set = parseListing(json).find((entry) => 'set' in entry)?.['set'];
  const elements = field(set, 'elem');
  return Array.isArray(elements) ? elements.map(keyOf) : [];
}

/** An element with a timeout or a comment is wrapped once more. */
function keyOf(element: unknown): string[] {
  const key = field(field(element, 'elem'), 'val') ?? element;
  const fields = field(key, 'concat');
  return Array.isArray(fields) ? fields.map(text) : [text(key)];
}

function field(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}

function text(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : '';
}
