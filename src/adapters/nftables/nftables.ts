/**
 * The nft tool. Owns the calls: one write at a time, argument vectors only, rules streamed to the standard input.
 * Promises that an input is applied whole or not at all, and tells when somebody else has written; knows no Kubernetes.
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { StringDecoder } from 'node:string_decoder';
import { ConflictError, NotFoundError } from '../../base/errors.ts';
import { Semaphore } from '../../base/semaphore.ts';
import { quoteForShell, streamCommand } from '../processes/processes.ts';
import { rulesetGeneration } from './generation.ts';
import { type TableObjects, parseNames, parseSetElements } from './parse-listing.ts';
import { type TableSink, TableTextReader } from './read-table-text.ts';

export type NftFamily = 'ip' | 'ip6';
/** Commands of the nft language, in pieces of any length. */
export type NftInput = AsyncIterable<string> | Iterable<string>;

/** Upstream's bound: in older ones maps with concatenated values are broken. */
const versionMin = [1, 0, 1] as const;
const stderrBytesMax = 64 * 1024;

export class Nftables {
  readonly #timeoutMs: number;
  /** Of those who write. */
  readonly #turn = new Semaphore(1);
  #isWriting = false;
  #generation: number | undefined;
  #foreignCommits = 0;

  constructor({ timeoutMs = 300_000 }: { timeoutMs?: number } = {}) {
    this.#timeoutMs = timeoutMs;
  }

  /**
   * The tool's version, as `1.0.6`.
   * @throws {NotFoundError} when it is not installed @throws {Error} when it is too old
   */
  async version(signal: AbortSignal): Promise<string> {
    const text = await this.#run(['--version'], [], signal);
    const version = /v(\d+(?:\.\d+)*)/.exec(text)?.[1] ?? '';
    if (isOlder(version.split('.').map(Number), versionMin)) {
      throw new Error(
        `Cannot use "nft": it is version "${version}", expected ${versionMin.join('.')} or newer; upgrade the package nftables`,
      );
    }
    return version;
  }

  /** Whether the kernel would take `input`. Nothing is changed. @throws {Error} with the tool's words when not */
  async check(input: NftInput, signal: AbortSignal): Promise<void> {
    await this.#run(['--check', '-f', '-'], input, signal);
  }

  /** Applies `input` in one transaction: all of it, or nothing when this throws. */
  async apply(input: NftInput, signal: AbortSignal): Promise<void> {
    await this.#turn.with(signal, async () => {
      this.#countForeign(0);
      this.#isWriting = true;
      let ownCommits = 0;
      try {
        await this.#run(['-f', '-'], input, signal);
        ownCommits = 1;
      } finally {
        this.#isWriting = false;
        this.#countForeign(ownCommits);
      }
    });
  }

  /**
   * How often anybody else has changed any rule set of this network namespace, from some start on. Undefined where the
   * kernel does not tell. A look costs microseconds.
   */
  foreignCommits(): number | undefined {
    if (this.#isWriting) return this.#foreignCommits;
    this.#countForeign(0);
    return this.#generation === undefined ? undefined : this.#foreignCommits;
  }

  #countForeign(ownCommits: number): void {
    const generation = rulesetGeneration();
    if (generation !== undefined && this.#generation !== undefined) {
      // a commit without effect does not count
      this.#foreignCommits += Math.max(0, generation - this.#generation - ownCommits);
    }
    this.#generation = generation;
  }

  /** Tells a table's chains, rules and elements, at the lowest priority. @throws {NotFoundError} when there is none */
  async readTable(family: NftFamily, name: string, sink: TableSink, signal: AbortSignal): Promise<void> {
    const reader = new TableTextReader(sink);
    const decoder = new StringDecoder('utf8');
    const args = ['list', 'table', family, name];
    const { exitCode, stderr } = await streamCommand('nft', args, (piece) => reader.push(decoder.write(piece)), signal)
      .done;
    if (exitCode !== 0) throw explain(args, exitCode, stderr, undefined);
  }

  /**
   * What a table consists of: empty lists when there is none. Listing a whole table costs as much as its elements, even
   * where they are not shown; listing objects by kind does not.
   */
  async objects(family: NftFamily, table: string, signal: AbortSignal): Promise<TableObjects> {
    const list = async (kind: 'chains' | 'sets' | 'maps'): Promise<string[]> =>
      parseNames(await this.#run(['--json', '--terse', 'list', kind, family], [], signal), table);
    return { chains: await list('chains'), sets: await list('sets'), maps: await list('maps') };
  }

  /** The chains among them. */
  async chainNames(family: NftFamily, table: string, signal: AbortSignal): Promise<string[]> {
    return parseNames(await this.#run(['--json', 'list', 'chains', family], [], signal), table);
  }

  /** The keys in a set: each its fields' texts. Counts for nothing less than all of them: keep it off busy paths. */
  async setElements(family: NftFamily, table: string, set: string, signal: AbortSignal): Promise<string[][]> {
    return parseSetElements(await this.#run(['--json', 'list', 'set', family, table, set], [], signal));
  }

  /** Deletes a table with all that is in it. One that is not there is deleted. */
  async deleteTable(family: NftFamily, name: string, signal: AbortSignal): Promise<boolean> {
    try {
      await this.#run(['delete', 'table', family, name], [], signal);
      return true;
    } catch (err) {
      if (err instanceof NotFoundError && !isNotInstalled(err)) return false;
      throw err;
    }
  }

  async #run(args: readonly string[], input: NftInput, signal: AbortSignal): Promise<string> {
    const child = spawn('nft', [...args], { stdio: 'pipe', signal, timeout: this.#timeoutMs });
    const ended = outcomeOf(child);
    // a tool that has found an error closes its input: its exit code says more than our broken pipe
    const written = pipeline(Readable.from(input), child.stdin).then(
      () => undefined,
      (err: unknown) => ({ err }),
    );
    const { code, stdout, stderr, error } = await ended;
    const failed = await written;
    if (code !== 0) throw explain(args, code, stderr, error);
    if (failed !== undefined) throw new Error('Cannot write all commands to `nft`', { cause: failed.err });
    return stdout;
  }
}

function isNotInstalled({ cause }: Error): boolean {
  return cause instanceof Error && 'code' in cause && cause.code === 'ENOENT';
}

/** The first line of what nft says names the error as the kernel does. */
function explain(args: readonly string[], code: number | null, stderr: string, error: Error | undefined): Error {
  if (error !== undefined && 'code' in error && error.code === 'ENOENT') {
    return new NotFoundError('Cannot run "nft": it is not installed; run `apt-get install nftables`', { cause: error });
  }
  const command = ['nft', ...args].map(quoteForShell).join(' ');
  const said = stderr.trim() || error?.message || 'no message';
  const message = `\`${command}\` ${code === null ? 'was killed' : `exited with code ${code}`}: ${said.slice(0, 4000)}`;
  const options = error === undefined ? {} : { cause: error };
  const firstLine = said.slice(0, said.indexOf('\n') < 0 ? undefined : said.indexOf('\n'));
  if (firstLine.endsWith('No such file or directory')) return new NotFoundError(message, options);
  if (firstLine.endsWith('File exists')) return new ConflictError(message, options);
  return new Error(message, options);
}

/** How a child ended. Never rejects. */
function outcomeOf(
  child: ChildProcessWithoutNullStreams,
): Promise<{ code: number | null; stdout: string; stderr: string; error: Error | undefined }> {
  const stdout: string[] = [];
  let stderr = '';
  let error: Error | undefined;
  child.stdout.setEncoding('utf8').on('data', (text: string) => stdout.push(text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(0, stderrBytesMax);
  });
  child.stdin.on('error', () => {}); // reported by the exit code
  return new Promise((resolve) => {
    const end = (code: number | null): void => resolve({ code, stdout: stdout.join(''), stderr, error });
    child.on('error', (err) => {
      error = err;
      if (child.pid === undefined) end(null);
    });
    child.on('close', end);
  });
}

function isOlder(version: readonly number[], than: readonly number[]): boolean {
  for (const [i, wanted] of than.entries()) {
    const has = version[i] ?? 0;
    if (has !== wanted) return !(has > wanted);
  }
  return false;
}
