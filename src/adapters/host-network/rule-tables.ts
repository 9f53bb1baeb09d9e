/** Whole tables of `nft`: applied in one transaction, and read back as text to see whether they still are the same. */
import type { CommandPrefix } from './host-network.ts';
import { CommandError, runCommand } from '../processes/processes.ts';

const timeoutMs = 30_000;

/** All of it or nothing. @throws {CommandError} with what nft says */
export async function applyRules(text: string, signal: AbortSignal): Promise<void> {
  await runCommand('nft', ['-f', '-'], { input: text, timeoutMs, signal });
}

/** As nft prints it; undefined when there is no such table. */
export async function readTable(
  name: string,
  signal: AbortSignal,
  prefix: CommandPrefix = [],
  options: readonly string[] = [],
): Promise<string | undefined> {
  const [file, ...args] = [...prefix, 'nft', ...options, 'list', 'table', 'inet', name];
  try {
    return (await runCommand(file, args, { timeoutMs, signal })).stdout;
  } catch (err) {
    const isNone = err instanceof CommandError && (err.isMissing || err.stderr.includes('No such file or directory'));
    if (isNone) return undefined; // without the tool nobody has made one, either
    throw err;
  }
}

/** Without the elements of its sets: costs little, whatever they hold. */
export function readTableTersely(name: string, signal: AbortSignal): Promise<string | undefined> {
  return readTable(name, signal, [], ['--terse']);
}

/** A table's named counters as nft takes them: `packets 1 bytes 60`. Empty when there is no such table. */
export async function readCounters(name: string, signal: AbortSignal): Promise<Map<string, string>> {
  const counters = new Map<string, string>();
  let printed: string;
  try {
    printed = (await runCommand('nft', ['list', 'counters', 'table', 'inet', name], { timeoutMs, signal })).stdout;
  } catch (err) {
    if (err instanceof CommandError && err.stderr.includes('No such file or directory')) return counters;
    throw err;
  }
  for (const [, counter = '', count = ''] of printed.matchAll(/counter (\S+) \{\s+(packets \d+ bytes \d+)/g)) {
    counters.set(counter, count);
  }
  return counters;
}
