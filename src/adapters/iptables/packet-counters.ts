/** Named packet counters of the kernel, which rules can add to (`-m nfacct`), through the tool `nfacct`. */
import { runCommand } from '../processes/processes.ts';

const timeoutMs = 30_000;

export class PacketCounters {
  /** Makes a counter that is not there yet; false where the tool or the kernel has none. */
  async ensure(name: string, signal: AbortSignal): Promise<boolean> {
    const isMade = await runCommand('nfacct', ['add', name], { timeoutMs, signal }).then(
      () => true,
      () => false, // also when it is there
    );
    return isMade || (await this.packets(name, signal)) !== undefined;
  }

  /** Packets counted; undefined where there is no such counter. */
  async packets(name: string, signal: AbortSignal): Promise<number | undefined> {
    const stdout = await runCommand('nfacct', ['get', name], { timeoutMs, signal }).then(
      (result) => result.stdout,
      () => '',
    );
    return parsePackets(stdout, name);
  }

  /** Removes a counter. One that rules still name, or that is not there, is left. */
  async remove(name: string, signal: AbortSignal): Promise<void> {
    await runCommand('nfacct', ['del', name], { timeoutMs, signal }).catch(() => {});
  }
}

/** `{ pkts = 00000000000000000007, bytes = 00000000000000000420 } = NAME;` */
export function parsePackets(text: string, name: string): number | undefined {
  const line = text.split('\n').find((each) => each.endsWith(` = ${name};`));
  const packets = /\bpkts = (\d+)/.exec(line ?? '')?.[1];
  return packets === undefined ? undefined : Number(packets);
}
