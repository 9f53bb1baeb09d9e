/**
 * What our table shall hold, and how it differs from what the kernel was told last.
 *
 * Owns: the wanted objects, and for whatever was touched since the last commit how it was then.
 * Promises: `changes()` costs what was touched, not what there is; `whole()` replaces the table, whatever is in it. Both
 * are one transaction.
 */
export const tableName = 'gantry-network-policy';

export type NftField = 'ip saddr' | 'ip daddr' | 'ip6 saddr' | 'ip6 daddr' | 'meta l4proto' | 'th dport';

export type NftMatch =
  | { readonly kind: 'in-set'; readonly fields: readonly NftField[]; readonly set: string }
  /** `tcp . 80`, `udp . 1000-2000`. */
  | { readonly kind: 'ports'; readonly ports: readonly string[] }
  | { readonly kind: 'text'; readonly text: string };

export type NftVerdict =
  | { readonly kind: 'accept' | 'drop' }
  | { readonly kind: 'goto' | 'jump'; readonly chain: string }
  | { readonly kind: 'map'; readonly field: NftField; readonly map: string }
  | { readonly kind: 'count'; readonly counter: string };

export interface NftRule {
  readonly matches: readonly NftMatch[];
  readonly verdict: NftVerdict;
}

export interface NftChain {
  readonly kind: 'chain';
  /** Type, hook and priority of a base chain. */
  readonly hook?: string;
  readonly rules: readonly NftRule[];
}

/** A map's elements have verdicts, a set's are `undefined`. */
export interface NftSet {
  readonly kind: 'set';
  readonly type: string;
  readonly flags?: string;
  readonly isMap?: boolean;
  readonly elements: Map<string, NftVerdict | undefined>;
}

export type NftObject = NftChain | NftSet | { readonly kind: 'counter' };

/** nft reads lines of any length, but they are built in memory. */
const elementsPerLine = 500;
const absent: unique symbol = Symbol('absent');
type Before = NftVerdict | undefined | typeof absent;

export class NftObjects {
  readonly #objects = new Map<string, NftObject>();
  /** Objects that came, went or were replaced: as they were. */
  readonly #replaced = new Map<string, NftObject | undefined>();
  /** Elements of sets that are not in `#replaced`: as they were. */
  readonly #elements = new Map<string, Map<string, Before>>();

  get size(): number {
    return this.#objects.size;
  }

  get isChanged(): boolean {
    return this.#replaced.size > 0 || this.#elements.size > 0;
  }

  get(name: string): NftObject | undefined {
    return this.#objects.get(name);
  }

  names(): string[] {
    return [...this.#objects.keys()];
  }

  put(name: string, object: NftObject): void {
    this.#remember(name);
    this.#objects.set(name, object);
  }

  remove(name: string): void {
    if (!this.#objects.has(name)) return;
    this.#remember(name);
    this.#objects.delete(name);
  }

  /** Puts an element into a set or map that there is. */
  putElement(setName: string, element: string, verdict?: NftVerdict): void {
    const { elements } = this.#set(setName);
    this.#rememberElement(setName, elements, element);
    elements.set(element, verdict);
  }

  removeElement(setName: string, element: string): void {
    const { elements } = this.#set(setName);
    if (!elements.has(element)) return;
    this.#rememberElement(setName, elements, element);
    elements.delete(element);
  }

  /** The kernel has it: differences count from here. */
  commit(): void {
    this.#replaced.clear();
    this.#elements.clear();
  }

  /** The table, new from the start. @param counts what counters shall start with: `packets 1 bytes 60` */
  whole(counts: ReadonlyMap<string, string> = new Map()): string {
    const lines = [`add table inet ${tableName}`, `delete table inet ${tableName}`];
    if (this.#objects.size === 0) return text(lines);
    lines.push(`add table inet ${tableName}`);
    for (const [name, object] of this.#objects) lines.push(declare(name, object, counts.get(name)));
    const all = [...this.#objects];
    for (const [name, object] of all) if (object.kind === 'chain') lines.push(...rulesOf(name, object));
    for (const [name, object] of all) if (object.kind === 'set') lines.push(...add(name, [...object.elements]));
    return text(lines);
  }

  /** What has to be done since the last commit. */
  changes(): string {
    const declared: string[] = [];
    const elements: string[] = [];
    const mapElements: string[] = [];
    const chains: string[] = [];
    const flushed: string[] = [];
    const deleted: string[] = [];
    for (const [name, before] of this.#replaced) {
      const now = this.#objects.get(name);
      if (now === undefined) {
        if (before === undefined) continue;
        if (before.kind === 'chain') flushed.push(`flush chain inet ${tableName} ${name}`);
        // chains first: they hold on to sets and counters
        if (before.kind === 'chain') deleted.unshift(`delete chain inet ${tableName} ${name}`);
        else deleted.push(`delete ${wordOf(before)} inet ${tableName} ${name}`);
        continue;
      }
      if (before === undefined) declared.push(declare(name, now));
      if (now.kind === 'set') {
        const old = before?.kind === 'set' ? before.elements : new Map<string, NftVerdict | undefined>();
        const touched = new Map<string, Before>();
        for (const [key] of [...old, ...now.elements]) touched.set(key, old.has(key) ? old.get(key) : absent);
        (now.isMap === true ? mapElements : elements).push(...elementChanges(name, touched, now));
      } else if (now.kind === 'chain') {
        if (before !== undefined) chains.push(`flush chain inet ${tableName} ${name}`);
        chains.push(...rulesOf(name, now));
      }
    }
    for (const [name, touched] of this.#elements) {
      const now = this.#objects.get(name);
      if (now?.kind !== 'set' || this.#replaced.has(name)) continue;
      (now.isMap === true ? mapElements : elements).push(...elementChanges(name, touched, now));
    }
    return text([...declared, ...elements, ...chains, ...mapElements, ...flushed, ...deleted]);
  }

  #set(name: string): NftSet {
    const object = this.#objects.get(name);
    if (object?.kind !== 'set') throw new Error(`Cannot change elements of "${name}": there is no such set`);
    return object;
  }

  #remember(name: string): void {
    if (this.#replaced.has(name)) return;
    const object = this.#objects.get(name);
    const touched = this.#elements.get(name);
    this.#elements.delete(name);
    if (object?.kind !== 'set') {
      this.#replaced.set(name, object);
      return;
    }
    const elements = new Map(object.elements);
    for (const [key, before] of touched ?? []) {
      if (before === absent) elements.delete(key);
      else elements.set(key, before);
    }
    this.#replaced.set(name, { ...object, elements });
  }

  #rememberElement(name: string, elements: ReadonlyMap<string, NftVerdict | undefined>, element: string): void {
    if (this.#replaced.has(name)) return;
    const touched = this.#elements.get(name) ?? new Map<string, Before>();
    this.#elements.set(name, touched);
    if (!touched.has(element)) touched.set(element, elements.has(element) ? elements.get(element) : absent);
  }
}

/** A transaction that leaves nothing of ours, whether there was a table or not. */
export function removeTable(name = tableName): string {
  return text([`add table inet ${name}`, `delete table inet ${name}`]);
}

function text(lines: readonly string[]): string {
  return lines.length === 0 ? '' : `${lines.join('\n')}\n`;
}

function wordOf(object: NftObject): string {
  return object.kind === 'set' && object.isMap === true ? 'map' : object.kind;
}

function declare(name: string, object: NftObject, count?: string): string {
  const head = `add ${wordOf(object)} inet ${tableName} ${name}`;
  switch (object.kind) {
    case 'counter':
      return count === undefined ? head : `${head} { ${count} ; }`;
    case 'chain':
      return object.hook === undefined ? head : `${head} { ${object.hook} ; policy accept ; }`;
    case 'set': {
      const type = object.isMap === true ? `${object.type} : verdict` : object.type;
      return `${head} { type ${type} ; ${object.flags === undefined ? '' : `flags ${object.flags} ; `}}`;
    }
  }
}

function rulesOf(name: string, { rules }: NftChain): string[] {
  return rules.map((rule) => `add rule inet ${tableName} ${name} ${formatRule(rule)}`);
}

export function formatRule({ matches, verdict }: NftRule): string {
  return [...matches.map(formatMatch), formatVerdict(verdict)].join(' ');
}

function formatMatch(match: NftMatch): string {
  switch (match.kind) {
    case 'in-set':
      return `${match.fields.join(' . ')} @${match.set}`;
    case 'ports':
      return `meta l4proto . th dport { ${match.ports.join(', ')} }`;
    case 'text':
      return match.text;
  }
}

function formatVerdict(verdict: NftVerdict): string {
  switch (verdict.kind) {
    case 'accept':
    case 'drop':
      return verdict.kind;
    case 'goto':
    case 'jump':
      return `${verdict.kind} ${verdict.chain}`;
    case 'map':
      return `${verdict.field} vmap @${verdict.map}`;
    case 'count':
      return `counter name ${verdict.counter}`;
  }
}

function elementChanges(name: string, touched: ReadonlyMap<string, Before>, now: NftSet): string[] {
  const gone: Array<[string, undefined]> = [];
  const come: Array<[string, NftVerdict | undefined]> = [];
  for (const [key, before] of touched) {
    const isThere = now.elements.has(key);
    const verdict = now.elements.get(key);
    const isSame = isThere === (before !== absent) && (!isThere || JSON.stringify(before) === JSON.stringify(verdict));
    if (isSame) continue;
    if (before !== absent) gone.push([key, undefined]);
    if (isThere) come.push([key, verdict]);
  }
  return [...lines('delete', name, gone), ...add(name, come)];
}

function add(name: string, elements: ReadonlyArray<[string, NftVerdict | undefined]>): string[] {
  return lines('add', name, elements);
}

function lines(
  word: 'add' | 'delete',
  name: string,
  elements: ReadonlyArray<[string, NftVerdict | undefined]>,
): string[] {
  const result: string[] = [];
  for (let i = 0; i < elements.length; i += elementsPerLine) {
    const part = elements
      .slice(i, i + elementsPerLine)
      .map(([key, verdict]) => (verdict === undefined ? key : `${key} : ${formatVerdict(verdict)}`));
    result.push(`${word} element inet ${tableName} ${name} { ${part.join(', ')} }`);
  }
  return result;
}
