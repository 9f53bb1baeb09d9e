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
): Promise<string | undefined> {
  const [file, ...args] = [...prefix, 'nft', 'list', 'table', 'inet', name];
  try {
    return (await runCommand(file, args, { timeoutMs, signal })).stdout;
  } catch (err) {
    const isNone = err instanceof CommandError && (err.isMissing || err.stderr.includes('No such file or directory'));
    if (isNone) return undefined; // without the tool nobody has made one, either
    throw err;
  }
}
