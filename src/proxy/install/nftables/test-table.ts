/** A table of nftables in memory, for tests: takes our commands as strictly as the kernel does. */
import type { NftInput } from '../../../adapters/nftables/nftables.ts';
import type { TableObjects } from '../../../adapters/nftables/parse-listing.ts';
import type { TableSink } from '../../../adapters/nftables/read-table-text.ts';
import type { NftNeed } from './nftables-installer.ts';

interface Contents {
  chains: Map<string, string[]>;
  sets: Map<string, { kind: string; definition: string; elements: Map<string, string> }>;
}

export class TestTable implements NftNeed {
  #contents: Contents = { chains: new Map(), sets: new Map() };
  #commits: number | undefined = 0;
  /** Each is the text of one transaction. */
  readonly applied: string[] = [];
  /** What was looked at: `names`, `table` or `set`. */
  readonly looks: string[] = [];
  failure: Error | undefined;
  /** No transaction with this in it is taken. */
  refused: string | undefined;

  async apply(input: NftInput): Promise<void> {
    let text = '';
    for await (const piece of input) text += piece;
    if (this.failure !== undefined) throw this.failure;
    if (this.refused !== undefined && text.includes(this.refused)) throw new Error('Device or resource busy');
    const contents = structuredClone(this.#contents);
    for (const line of text.split('\n')) if (line !== '') takeCommand(contents, line);
    this.#contents = contents;
    this.applied.push(text);
  }

  /** What somebody else does. */
  async foreign(text: string): Promise<void> {
    await this.apply([text]);
    this.applied.pop();
    if (this.#commits !== undefined) this.#commits++;
  }

  /** From now on it cannot be told whether somebody else has written. */
  hideCommits(): void {
    this.#commits = undefined;
  }

  objects(): Promise<TableObjects> {
    const { chains, sets } = this.#contents;
    const ofKind = (kind: string): string[] => [...sets].filter(([, set]) => set.kind === kind).map(([name]) => name);
    return Promise.resolve({ chains: [...chains.keys()], sets: ofKind('set'), maps: ofKind('map') });
  }

  chainNames(): Promise<string[]> {
    this.looks.push('names');
    return Promise.resolve([...this.#contents.chains.keys()]);
  }

  readTable(_family: string, _table: string, sink: TableSink): Promise<void> {
    this.looks.push('table');
    for (const [set, { elements }] of this.#contents.sets) {
      for (const [key, value] of elements) sink.onElement(set, value === '' ? key : `${key} : ${value}`);
    }
    for (const [chain, rules] of this.#contents.chains) {
      sink.onChain(chain);
      for (const rule of rules) sink.onRule(chain, rule);
    }
    return Promise.resolve();
  }

  setElements(_family: string, _table: string, set: string): Promise<string[][]> {
    this.looks.push('set');
    const elements = this.#contents.sets.get(set)?.elements ?? new Map<string, string>();
    return Promise.resolve([...elements.keys()].map((key) => key.split(' . ')));
  }

  foreignCommits(): number | undefined {
    return this.#commits;
  }

  /** Everything, in order of the alphabet. */
  listing(): string[] {
    const { chains, sets } = this.#contents;
    return [
      ...[...chains].map(([name, rules]) => `${name}: ${rules.join('; ')}`),
      ...[...sets].flatMap(([name, { elements }]) => [...elements].map(([key, value]) => `${name} ${key} ${value}`)),
    ].toSorted();
  }
}

function takeCommand({ chains, sets }: Contents, line: string): void {
  const refuse = (why: string): never => {
    throw new Error(`${why}: ${line}`);
  };
  const chain = (name: string): string[] => chains.get(name) ?? refuse('no such chain');
  const [, verb, kind, name = '', rest = ''] =
    /^(\w+) (\w+) ip6? kube-proxy ?(\S+)? ?(.*)$/.exec(line) ?? refuse('not known');
  const what = `${verb} ${kind}`;
  switch (what) {
    case 'add table':
      return;
    case 'delete table':
      chains.clear();
      sets.clear();
      return;
    case 'add chain':
      if (!chains.has(name)) chains.set(name, []);
      return;
    case 'flush chain':
      chain(name).length = 0;
      return;
    case 'delete chain': {
      const isUsed = [...sets.values()].some(({ elements }) => [...elements.values()].includes(`goto ${name}`));
      if (isUsed || chain(name).length > 0) refuse('in use');
      chains.delete(name);
      return;
    }
    case 'add rule':
      for (const [, to = ''] of rest.matchAll(/(?:goto|jump) (\S+)/g)) chain(to);
      for (const [, set = ''] of rest.matchAll(/@(\S+)/g)) if (!sets.has(set)) refuse('no such set');
      chain(name).push(rest);
      return;
    case 'add set':
    case 'add map':
      if ((sets.get(name)?.definition ?? rest) !== rest) refuse('of another kind');
      if (!sets.has(name)) sets.set(name, { kind: kind ?? '', definition: rest, elements: new Map() });
      return;
    case 'flush set':
    case 'flush map':
      sets.get(name)?.elements.clear();
      return;
    case 'delete set':
      if (!sets.delete(name)) refuse('no such set');
      return;
    case 'add element':
    case 'delete element': {
      const { elements } = sets.get(name) ?? refuse('no such set');
      for (const element of rest.slice(2, -2).split(', ')) {
        const [key = '', value = ''] = element.split(' : ');
        if (verb === 'delete') {
          if (!elements.delete(key)) refuse('no such element');
          continue;
        }
        if (value.startsWith('goto ')) chain(value.slice('goto '.length));
        if (elements.has(key) && elements.get(key) !== value) refuse('another value is there');
        elements.set(key, value);
      }
      return;
    }
    default:
      refuse('not known');
  }
}
