/** The ipvsadm tool: the kernel's virtual servers as text, out of it and into it. Knows no Kubernetes. */
import { NotFoundError } from '../../base/errors.ts';
import { Semaphore } from '../../base/semaphore.ts';
import { CommandError, runCommand } from '../processes/processes.ts';

const timeoutMs = 300_000;

/** Seconds; 0 leaves the kernel's value. */
export interface IpvsTimeouts {
  tcp: number;
  tcpFin: number;
  udp: number;
}

export class Ipvs {
  readonly #turn = new Semaphore(1);

  /** Every virtual server, whoever made it, in the words that `restore` takes. */
  async save(signal: AbortSignal): Promise<string> {
    return this.#run(['--save', '--numeric'], '', signal);
  }

  /** Every virtual server with the connections of its real servers, as a table. */
  async list(signal: AbortSignal): Promise<string> {
    return this.#run(['--list', '--numeric'], '', signal);
  }

  /** Runs every line, also those after one that fails. @throws {Error} with the reasons of those that failed */
  async restore(lines: readonly string[], signal: AbortSignal): Promise<void> {
    if (lines.length > 0) await this.#run(['--restore'], `${lines.join('\n')}\n`, signal);
  }

  /** Removes every virtual server. */
  async clear(signal: AbortSignal): Promise<void> {
    await this.#run(['--clear'], '', signal);
  }

  async setTimeouts({ tcp, tcpFin, udp }: IpvsTimeouts, signal: AbortSignal): Promise<void> {
    await this.#run(['--set', String(tcp), String(tcpFin), String(udp)], '', signal);
  }

  async #run(args: readonly string[], input: string, signal: AbortSignal): Promise<string> {
    try {
      return await this.#turn.with(signal, async () => {
        const { stdout, stderr } = await runCommand('ipvsadm', args, { input, timeoutMs, signal });
        // its exit code tells of the last line only
        if (stderr.trim() !== '') throw new Error(`\`ipvsadm ${args.join(' ')}\`: ${stderr.trim().slice(0, 4000)}`);
        return stdout;
      });
    } catch (err) {
      if (!(err instanceof CommandError) || !err.isMissing) throw err;
      throw new NotFoundError('Cannot run "ipvsadm": it is not installed; run `apt-get install ipvsadm`', {
        cause: err,
      });
    }
  }
}
