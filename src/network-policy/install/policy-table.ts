/**
 * Keeps our table in the kernel as it is wanted.
 *
 * Owns: what the kernel was told last. Promises: every change is one transaction, so that no packet meets half of it;
 * after a failure, and where somebody else has touched the table, it is written anew, counters going on as they stood.
 */
import { applyRules, readCounters, readTable, readTableTersely } from '../../adapters/host-network/rule-tables.ts';
import { type NftObjects, removeTable, tableName } from '../compute/nft-objects.ts';

const trialName = `${tableName}-trial`;

export class PolicyTable {
  /** Whether the kernel has all but what the objects' journal says. */
  #isWhole = false;
  #hasTable = false;
  #isFirst = true;
  /** How nft prints the table, while nothing has changed since. */
  #printed: string | undefined;

  /** @returns what was written */
  async keep(objects: NftObjects, signal: AbortSignal): Promise<'nothing' | 'changes' | 'whole'> {
    if (this.#isWhole && !objects.isChanged) return 'nothing';
    let counts: ReadonlyMap<string, string> | undefined;
    if (!this.#isWhole) {
      this.#hasTable = (await readTableTersely(tableName, signal)) !== undefined;
      const isFirst = this.#isFirst;
      this.#isFirst = false;
      if (this.#hasTable && isFirst && objects.size > 0 && (await this.#adopt(objects, signal))) return 'nothing';
      if (this.#hasTable) counts = await readCounters(tableName, signal);
    }
    // what changes while nft runs, before or after, is either written or counts from here
    const isFull = !this.#isWhole || !this.#hasTable || objects.size === 0;
    const isNothing = objects.size === 0 && !this.#hasTable;
    const commands = isNothing ? '' : isFull ? objects.whole(counts) : objects.changes();
    const willHaveTable = objects.size > 0;
    objects.commit();
    this.#isWhole = false;
    this.#printed = undefined;
    if (commands !== '') await applyRules(commands, signal);
    this.#isWhole = true;
    this.#hasTable = willHaveTable;
    return commands === '' ? 'nothing' : isFull ? 'whole' : 'changes';
  }

  /**
   * Whether an agent before us has left what is wanted: nothing has to be written then. What nft would make of our table
   * is seen at a table that does nothing. What changes meanwhile counts from here.
   */
  async #adopt(objects: NftObjects, signal: AbortSignal): Promise<boolean> {
    const commands = objects.whole().replaceAll(`inet ${tableName}`, `inet ${trialName}`);
    objects.commit();
    await applyRules(
      commands.replace(/^(add table .*)\n(delete .*)\n(add table .*)\n/, '$1\n$2\n$3 { flags dormant ; }\n'),
      signal,
    );
    const trial = await readTable(trialName, signal, [], ['--stateless']);
    await applyRules(removeTable(trialName), signal);
    const printed = await readTable(tableName, signal, [], ['--stateless']);
    if (printed === undefined || inOrder(printed) !== inOrder(trial ?? '')) return false;
    this.#printed = printed;
    this.#isWhole = true;
    return true;
  }

  /** The kernel tells nobody that rules are gone. @returns what is different from what it was told; undefined: nothing */
  async look(objects: NftObjects, signal: AbortSignal): Promise<string | undefined> {
    if (!this.#isWhole || objects.isChanged) return undefined; // it is about to be written
    const isEmpty = objects.size === 0;
    const printed = isEmpty
      ? await readTableTersely(tableName, signal)
      : await readTable(tableName, signal, [], ['--stateless']);
    if (objects.isChanged) return undefined; // meanwhile: what was read is not what is wanted
    const difference = isEmpty
      ? printed === undefined
        ? undefined
        : 'there is a table'
      : (missingFrom(printed ?? '', objects) ?? differenceOf(this.#printed, printed));
    if (difference === undefined) this.#printed = printed;
    else this.#isWhole = false;
    return difference;
  }
}

/** A listing without what differs from table to table: its name, and in which order its objects were made. */
function inOrder(printed: string): string {
  const lines = printed.split('\n').filter((line) => line !== '\tflags dormant' && line !== '');
  const blocks = lines
    .slice(1)
    .join('\n')
    .split(/\n(?=\t\w)/);
  return blocks
    .map((block) => block.replace(/\n\}$/, ''))
    .toSorted()
    .join('\n');
}

/** The first object of which a listing has not all: a chain's rules, a set's elements. */
function missingFrom(printed: string, objects: NftObjects): string | undefined {
  const counts = new Map<string, number>();
  let current = '';
  for (const line of printed.split('\n')) {
    const head = /^\t(\w+) (\S+) \{/.exec(line);
    if (head !== null) {
      current = `${head[1]} ${head[2]}`;
      counts.set(current, 0);
    } else if (line.startsWith('\t\t') && !/^\t\t(?:type|flags) /.test(line)) {
      // elements are parted by commas, several to a line
      const count = current.startsWith('chain ') ? 1 : line.split(',').filter((part) => part.trim() !== '').length;
      counts.set(current, (counts.get(current) ?? 0) + count);
    }
  }
  for (const name of objects.names()) {
    const object = objects.get(name);
    if (object === undefined) continue;
    const word = `${object.kind === 'set' && object.isMap === true ? 'map' : object.kind} ${name}`;
    const count = counts.get(word);
    if (count === undefined) return `there is no ${word}`;
    if (object.kind === 'chain' && count !== object.rules.length) return `${word} has other rules`;
    if (object.kind === 'set' && count !== object.elements.size) return `${word} has other elements`;
  }
  return undefined;
}

function differenceOf(before: string | undefined, now: string | undefined): string | undefined {
  if (before === undefined || before === now) return undefined;
  const lines = new Set(before.split('\n'));
  return (now ?? '').split('\n').find((line) => !lines.has(line)) ?? 'lines are missing';
}

/** @returns whether there was one */
export async function removePolicyTable(signal: AbortSignal): Promise<boolean> {
  let isThere = false;
  for (const name of [tableName, trialName]) {
    if ((await readTableTersely(name, signal)) === undefined) continue;
    await applyRules(removeTable(name), signal);
    isThere = true;
  }
  return isThere;
}
