import { Iptables } from '../../adapters/iptables/iptables.ts';
import type { IpFamily } from '../pod-network-model.ts';

/**
 * Whether iptables drops what is forwarded unless a rule accepts it, as Docker leaves a machine. Such a chain is not ours
 * to change, and accepting elsewhere does not help: what one chain drops is dropped.
 */
export async function dropsForwarded(family: IpFamily, signal: AbortSignal): Promise<boolean> {
  try {
    let isDropped = false;
    const onLine = (line: string): void => {
      if (line.startsWith(':FORWARD DROP')) isDropped = true;
    };
    await new Iptables({ family }).save('filter', onLine, signal);
    return isDropped;
  } catch (err) {
    if (signal.aborted) throw err;
    return false; // without the tool, or the right to ask, nobody knows: it is a hint only
  }
}
