/** What `nft --json list …` prints, in our words. Pure. */

export interface TableObjects {
  readonly chains: readonly string[];
  readonly sets: readonly string[];
  readonly maps: readonly string[];
}

/** Of the chains, sets or maps of a whole family the names of those in one table. */
export function parseNames(json: string, table: string): string[] {
  return parseListing(json)
    .map((entry) => entry['chain'] ?? entry['set'] ?? entry['map'])
    .filter((object) => text(field(object, 'table')) === table)
    .map((object) => text(field(object, 'name')));
}

/** Keys of a set's elements, each as the texts of its fields. */
export function parseSetElements(json: string): string[][] {
  const set = parseListing(json).find((entry) => 'set' in entry)?.['set'];
  const elements = field(set, 'elem');
  return Array.isArray(elements) ? elements.map(keyOf) : [];
}

/** @throws {Error} when it is written in a form of JSON that we do not know */
function parseListing(json: string): ReadonlyArray<Record<string, unknown>> {
  const { nftables = [] } = JSON.parse(json) as { nftables?: ReadonlyArray<Record<string, unknown>> }; // its version:
  const metainfo = nftables.find((entry) => 'metainfo' in entry)?.['metainfo'];
  const version = field(metainfo, 'json_schema_version');
  if (version !== 1) {
    throw new Error(`Cannot read the listing of nft: its form has version "${String(version)}", expected 1`);
  }
  return nftables;
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
