/** Changes as commands of the nft language. Pure. */
import { sharedChainRules } from '../../compute/nftables/shared-chains.ts';
import {
  type LayoutContext,
  baseChains,
  familyWords,
  setDefinitions,
  staticRules,
  tableName,
  topChains,
} from '../../compute/nftables/table-layout.ts';
import { disjointRanges } from '../../compute/nftables/source-ranges.ts';
import type { IpFamily } from '../../proxy-model.ts';
import { ElementSums } from './element-sums.ts';
import type { Change } from './installed-state.ts';

export const tableComment = 'rules for kube-proxy';

/** Commands, and what is there after them: how many rules in each chain, and sums over the elements of each set. */
export class TransactionText {
  readonly #table: string;
  readonly #context: LayoutContext;
  readonly ruleCounts = new Map<string, number>();
  readonly sums = new ElementSums();

  constructor(context: LayoutContext) {
    this.#table = `${familyWords(context.family).table} ${tableName}`;
    this.#context = context;
  }

  /** Everything that is there whatever the Services, empty. What of the table stays is only what the kernel has learnt. */
  setUp({ isReplaced, existing }: { isReplaced: boolean; existing: readonly string[] }): string {
    const lines: string[] = [];
    const table = this.#table;
    const addTable = `add table ${table} { comment "${tableComment}" ; }`;
    lines.push(addTable);
    if (isReplaced) lines.push(`delete table ${table}`, addTable);
    for (const [chain, definition] of Object.entries(baseChains)) {
      lines.push(`add chain ${table} ${chain} { ${definition} }`, `flush chain ${table} ${chain}`);
    }
    for (const chain of topChains) lines.push(`add chain ${table} ${chain}`, `flush chain ${table} ${chain}`);
    const definitions = setDefinitions(this.#context);
    if (!isReplaced) {
      for (const name of existing) if (!definitions.has(name)) lines.push(`delete set ${table} ${name}`);
    }
    for (const [name, { kind, definition, isDynamic }] of definitions) {
      lines.push(`add ${kind} ${table} ${name} { ${definition} }`);
      if (isDynamic !== true) lines.push(`flush ${kind} ${table} ${name}`);
    }
    for (const chain of [...Object.keys(baseChains), ...topChains]) this.ruleCounts.set(chain, 0);
    for (const [chain, rule] of staticRules(this.#context)) {
      this.ruleCounts.set(chain, (this.ruleCounts.get(chain) ?? 0) + 1);
      lines.push(`add rule ${table} ${chain} ${rule}`);
    }
    const elements = [
      ...(this.#context.nodePortIps ?? []).map((ip) => `nodeport-ips ${ip}`),
      ...disjointRanges(this.#context.serviceCidrs).map((cidr) => `service-cidrs ${cidr}`),
    ];
    const elementText = this.elements(
      'add',
      elements.map((element) => [element, '']),
    );
    return `${lines.join('\n')}\n${elementText}`;
  }

  change({ removed, added, chains, newSharedChains, goneChains }: Change): string {
    const lines: string[] = [];
    for (const name of newSharedChains) this.#chain(lines, name, sharedChainRules(name, this.#context) ?? []);
    // of its own chains one may lead to another: first they all are there, then they get their rules
    for (const name of chains.keys()) lines.push(`add chain ${this.#table} ${name}`);
    for (const [name, rules] of chains) this.#chain(lines, name, rules);
    const pieces = [
      lines.map((line) => `${line}\n`).join(''),
      this.elements('delete', removed),
      this.elements('add', added),
      ...goneChains.map((name) => this.flushChain(name)),
    ];
    return pieces.join('');
  }

  /** A chain in use cannot be deleted in the transaction that ends its use: it is emptied, and deleted later. */
  flushChain(name: string): string {
    this.ruleCounts.set(name, 0);
    return `flush chain ${this.#table} ${name}\n`;
  }

  /** One command per set: the tool looks a set up once per command. */
  elements(verb: 'add' | 'delete', elements: Iterable<readonly [element: string, value: string]>): string {
    const bySet = new Map<string, string[]>();
    for (const [element, value] of elements) {
      const space = element.indexOf(' ');
      const set = element.slice(0, space);
      const key = element.slice(space + 1);
      let list = bySet.get(set);
      if (list === undefined) bySet.set(set, (list = []));
      const text = value === '' ? key : `${key} : ${value}`;
      this.sums.take(set, text, verb === 'add' ? 1 : -1);
      list.push(verb === 'add' ? text : key);
    }
    let text = '';
    for (const [set, list] of bySet) text += `${verb} element ${this.#table} ${set} { ${list.join(', ')} }\n`;
    return text;
  }

  #chain(lines: string[], name: string, rules: readonly string[]): void {
    this.ruleCounts.set(name, rules.length);
    lines.push(`add chain ${this.#table} ${name}`, `flush chain ${this.#table} ${name}`);
    for (const rule of rules) lines.push(`add rule ${this.#table} ${name} ${rule}`);
  }
}

export function deleteChains(family: IpFamily, names: readonly string[]): string {
  return names.map((name) => `delete chain ${familyWords(family).table} ${tableName} ${name}\n`).join('');
}
