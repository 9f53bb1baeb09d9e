/** The ipset tool: sets as text, out of the kernel and into it. Knows no Kubernetes. */
import { NotFoundError } from '../../base/errors.ts';
import { Semaphore } from '../../base/semaphore.ts';
import { CommandError, runCommand } from '../processes/processes.ts';

const majorMin = 6;
const timeoutMs = 300_000;

export class Ipset {
  readonly #turn = new Semaphore(1);

  /**
   * The tool's version, as `7.17`.
   * @throws {NotFoundError} when it is not installed @throws {Error} when it is too old
   */
  async version(signal: AbortSignal): Promise<string> {
    return supportedVersion(await this.#run(['version'], '', signal));
  }

  /** Every set with its entries, whoever made it. */
  async save(signal: AbortSignal): Promise<string> {
    return this.#run(['save'], '', signal);
  }

  /** Runs commands in order; the first that fails ends it, and those before it stand. */
  async restore(lines: readonly string[], signal: AbortSignal): Promise<void> {
    if (lines.length > 0) await this.#run(['restore'], `${lines.join('\n')}\n`, signal);
  }

  async #run(args: readonly string[], input: string, signal: AbortSignal): Promise<string> {
    try {
      return await this.#turn.with(signal, async () => {
        const { stdout } = await runCommand('ipset', args, { input, timeoutMs, signal });
        return stdout;
      });
    } catch (err) {
      if (!(err instanceof CommandError) || !err.isMissing) throw err;
      throw new NotFoundError('Cannot run "ipset": it is not installed; run `apt-get install ipset`', { cause: err });
    }
  }
}

/** The version in what the tool prints of itself. @throws {Error} when it is too old */
export function supportedVersion(printed: string): string {
  const version = /v(\d+(?:\.\d+)*)/.exec(printed)?.[1] ?? '';
  if (Number(version.split('.')[0]) >= majorMin) return version;
  throw new Error(
    `Cannot use "ipset": it is version "${version}", expected ${majorMin}.0 or newer; upgrade the package ipset`,
  );
}
