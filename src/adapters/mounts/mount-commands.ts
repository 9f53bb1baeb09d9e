/**
 * Mounts of file systems that others serve, through the machine's own `mount` and `umount`: they know the helpers
 * (`mount.nfs`), and what never answers hangs a child process, not one of our threads.
 *
 * A caller that has waited long enough abandons the promise. The child may hang on; as long as it does, who asks for the
 * same again gets the same child, so that no more than one hangs for one place.
 */
import { CommandError, runCommand } from '../processes/processes.ts';

export interface FileSystemMount {
  /** `nfs`, `ext4` …; empty for a bind. */
  type: string;
  source: string;
  target: string;
  /** As after `-o`, in this order. */
  options: readonly string[];
}

const englishOnly = { LC_ALL: 'C' };
const forcedAfterMs = 60_000;

export class MountCommands {
  readonly #children = new Map<string, Promise<void>>();

  async mount(wanted: FileSystemMount, signal: AbortSignal): Promise<void> {
    await this.#once(`mount ${wanted.target}`, () => this.#run('mount', mountArguments(wanted), signal));
  }

  /**
   * A bind that carries options takes two calls: the kernel looks at them only when the bind is there.
   * @param kept options that the bind has and must not lose, asked when it is there
   * @param isThere the bind is there, and its options may not be: somebody died between the two
   */
  async bind(
    { source, target, options }: Omit<FileSystemMount, 'type'>,
    { kept, isThere }: { kept: () => Promise<readonly string[]>; isThere: boolean },
    signal: AbortSignal,
  ): Promise<void> {
    const early = options.includes('_netdev') ? ['_netdev'] : [];
    await this.#once(`mount ${target}`, async () => {
      const bind = { type: '', source, target, options: ['bind', ...early] };
      if (!isThere) await this.#run('mount', mountArguments(bind), signal);
      if (options.length === 0) return;
      const late = [...options, ...stillKept(options, await kept())];
      const remount = { type: '', source, target, options: ['bind', 'remount', ...late] };
      await this.#run('mount', mountArguments(remount), signal);
    });
  }

  /**
   * Takes off one mount. Success when nothing is mounted there.
   * @param isForced whether a file server that does not answer is given up after a minute
   */
  async unmount(target: string, { isForced }: { isForced: boolean }, signal: AbortSignal): Promise<void> {
    await this.#once(`umount ${target}`, async () => {
      try {
        await runCommand('umount', [target], {
          env: englishOnly,
          signal,
          ...(isForced ? { timeoutMs: forcedAfterMs } : {}),
        });
      } catch (err) {
        if (saysNotMounted(err)) return;
        if (!isForced || !(err instanceof CommandError) || err.exitCode !== undefined) throw unmountError(target, err);
        await runCommand('umount', ['-f', target], { env: englishOnly, signal }).catch((failure: unknown) => {
          if (!saysNotMounted(failure)) throw unmountError(target, failure);
        });
      }
    });
  }

  async #run(command: string, args: readonly string[], signal: AbortSignal): Promise<void> {
    try {
      await runCommand(command, args, { env: englishOnly, signal });
    } catch (err) {
      if (!(err instanceof CommandError)) throw err;
      throw mountError(command, args, err);
    }
  }

  async #once(what: string, work: () => Promise<void>): Promise<void> {
    const known = this.#children.get(what);
    if (known !== undefined) return await known;
    const child = work().finally(() => this.#children.delete(what));
    this.#children.set(what, child);
    await child;
  }
}

/** What the user says of access times counts. */
function stillKept(options: readonly string[], kept: readonly string[]): string[] {
  const saysTimes = options.some((option) => /^(no|rel|strict)?atime$/.test(option));
  return kept.filter((option) => !options.includes(option) && !(saysTimes && /^(no|rel)atime$/.test(option)));
}

/** As for `mount`. No option and no path is taken for a flag: both follow one. */
export function mountArguments({ type, source, target, options }: FileSystemMount): string[] {
  return [
    ...(type === '' ? [] : ['-t', type]),
    ...(options.length === 0 ? [] : ['-o', options.join(',')]),
    '--',
    source,
    target,
  ];
}

/** In upstream's words, over several lines. */
function mountError(command: string, args: readonly string[], err: CommandError): Error {
  const status = err.exitCode === undefined ? 'signal: killed' : `exit status ${err.exitCode}`;
  const output = `${err.stdout}${err.stderr}`;
  const shown = args.filter((arg) => arg !== '--').join(' ');
  return new Error(
    `mount failed: ${err.isMissing ? `exec: "${command}": executable file not found in $PATH` : status}\nMounting command: ${command}\nMounting arguments: ${shown}\nOutput: ${output}\n`,
  );
}

function unmountError(target: string, err: unknown): Error {
  if (!(err instanceof CommandError)) return new Error(`unmount failed: ${target}`, { cause: err });
  const status = err.exitCode === undefined ? 'signal: killed' : `exit status ${err.exitCode}`;
  return new Error(`unmount failed: ${status}\nUnmounting arguments: ${target}\nOutput: ${err.stdout}${err.stderr}\n`);
}

const saysNotMounted = (err: unknown): boolean =>
  err instanceof CommandError && /not mounted|no mount point specified|mountpoint not found/.test(err.stderr);
