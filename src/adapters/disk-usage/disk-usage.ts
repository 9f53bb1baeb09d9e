/**
 * How much directories hold: as `du` counts, without what is mounted inside, and files of several names once.
 *
 * A child process of the lowest priority walks all of them, one after the other; this process only adds up its lines.
 * So a million files hold up neither the event loop nor one of its threads, and a file system that does not answer
 * holds only the child: it is killed, and where even that does not help it is left alone, and its directory with it
 * until it ends. Needs `find` of the GNU findutils.
 */
import { lstat } from 'node:fs/promises';
import type { Clock } from '../../base/clock.ts';
import { errnoOf } from '../../base/errors.ts';
import { type StreamedCommand, streamCommand } from '../processes/processes.ts';
import { type DirectoryUsage, type Inode, UsageParser, findFormat, inodeOf } from './usage-parser.ts';

export type { DirectoryUsage } from './usage-parser.ts';

export interface DiskUsageOptions {
  clock: Clock;
  /** A walk that finds nothing more for so long is abandoned. */
  stuckMs?: number;
  /** And so is one that takes longer than this for one directory. */
  longMs?: number;
  /** Another program than `find`. */
  program?: string;
}

export interface Measured {
  /** Of what there was. */
  usages: ReadonlyMap<string, DirectoryUsage>;
  /** Why the others could not be measured. */
  failures: ReadonlyMap<string, Error>;
}

interface Start {
  path: string;
  device: number;
  inode: Inode;
}

interface Found {
  usages: Map<string, DirectoryUsage>;
  failures: Map<string, Error>;
}

interface Abandoned {
  kind: 'stuck' | 'long';
  what: string;
}

/** Starting points of one child: their paths must fit into its arguments. */
const startsMax = 500;

export class DiskUsage {
  readonly #clock: Clock;
  readonly #stuckMs: number;
  readonly #longMs: number;
  readonly #program: string;
  /** Children that were killed and have not ended, by the path that they are stuck in. */
  readonly #stuck = new Map<string, StreamedCommand>();

  constructor({ clock, stuckMs = 30_000, longMs = 300_000, program = 'find' }: DiskUsageOptions) {
    this.#clock = clock;
    this.#stuckMs = stuckMs;
    this.#longMs = longMs;
    this.#program = program;
  }

  /** @param paths absolute; a file is measured, too. @throws when nothing can be measured at all */
  async measure(paths: readonly string[], signal: AbortSignal): Promise<Measured> {
    const usages = new Map<string, DirectoryUsage>();
    const failures = new Map<string, Error>();
    const pending: Start[] = [];
    for (const path of new Set(paths)) {
      if (this.#stuck.get(path)?.isRunning() === true) {
        failures.set(path, new Error(`Cannot measure "${path}": an earlier attempt is still stuck in it`));
        continue;
      }
      this.#stuck.delete(path);
      try {
        const { dev, ino } = await lstat(path, { bigint: true });
        pending.push({ path, device: Number(dev), inode: inodeOf(ino) });
      } catch (err) {
        if (errnoOf(err) !== 'ENOENT') failures.set(path, new Error(`Cannot measure "${path}"`, { cause: err }));
      }
    }
    for (let at = 0; at < pending.length; at += startsMax) {
      await this.#walk(pending.slice(at, at + startsMax), { usages, failures }, signal);
    }
    return { usages, failures };
  }

  async #walk(starts: readonly Start[], found: Found, signal: AbortSignal): Promise<void> {
    let rest = starts;
    while (rest.length > 0) {
      signal.throwIfAborted();
      const { done, failure, child } = await this.#walkOnce(rest, found, signal);
      if (failure === undefined) return;
      const [guilty, ...others] = rest.slice(done);
      if (guilty === undefined) return;
      // what `find` had not printed yet is lost: which of several it hangs in must be found out
      if (failure.kind === 'stuck' && others.length > 0) {
        const size = Math.ceil((others.length + 1) / 8);
        const open = rest.slice(done);
        for (let at = 0; at < open.length; at += size) await this.#walk(open.slice(at, at + size), found, signal);
        return;
      }
      found.failures.set(guilty.path, new Error(`Cannot measure "${guilty.path}": ${failure.what}`));
      if (child.isRunning()) this.#stuck.set(guilty.path, child);
      rest = others;
    }
  }

  /** @returns how many starting points it is done with; with a failure, what went wrong with the next one */
  async #walkOnce(
    starts: readonly Start[],
    { usages }: Found,
    signal: AbortSignal,
  ): Promise<{ done: number; failure: Abandoned | undefined; child: StreamedCommand }> {
    const late = new AbortController();
    let abandoned: Abandoned | undefined;
    const abandon = (kind: Abandoned['kind'], what: string) => (): void => {
      abandoned = { kind, what };
      late.abort(new Error(what));
    };
    let at = -1;
    let cancelLong = (): void => {};
    const begin = (): void => {
      cancelLong();
      cancelLong = this.#clock.after(this.#longMs, abandon('long', `it took longer than ${this.#longMs / 1000}s`));
    };
    const finish = (): void => {
      const path = starts[at]?.path;
      if (path !== undefined) usages.set(path, parser.usage);
    };
    const parser = new UsageParser((device, inode) => {
      finish();
      // one that has gone since prints nothing
      do at++;
      while (at < starts.length && (starts[at]?.inode !== inode || starts[at]?.device !== device));
      begin();
    });
    let cancelStuck = (): void => {};
    const goOn = (): void => {
      cancelStuck();
      cancelStuck = this.#clock.after(this.#stuckMs, abandon('stuck', `nothing came for ${this.#stuckMs / 1000}s`));
    };
    const args = [...starts.map(({ path }) => path), '-xdev', '-printf', findFormat];
    const onOutput = (piece: Buffer): void => {
      goOn();
      parser.read(piece);
    };
    const child = streamCommand(this.#program, args, onOutput, AbortSignal.any([signal, late.signal]));
    begin();
    goOn();
    try {
      const { exitCode, stderr } = await child.done;
      // files that go while it walks are no failure of the walk, but a program that knows nothing of `-printf` is
      if (exitCode !== 0 && /unrecognized|unknown|invalid|usage/i.test(stderr)) {
        throw new Error(`Cannot measure directories: \`${this.#program}\` is not GNU find: ${stderr.trim()}`);
      }
      finish();
      return { done: starts.length, failure: undefined, child };
    } catch (err) {
      if (abandoned === undefined) throw err;
      return { done: Math.max(at, 0), failure: abandoned, child };
    } finally {
      cancelLong();
      cancelStuck();
    }
  }
}
