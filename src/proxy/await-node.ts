/** What of its own Node object the proxy waits for, and what it ends for. */
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import type { OwnNode } from './collect/own-node.ts';
import { familyOfIp } from './compute/ip-ranges.ts';
import type { ProxyConfig } from './proxy-config.ts';
import type { IpFamily } from './proxy-model.ts';

type NodeView = Pick<OwnNode, 'ips' | 'podCidrs' | 'exists' | 'onChange'>;
type NodeConfig = Pick<ProxyConfig, 'nodePortAddresses' | 'localDetection'>;

export interface AwaitNodeNeed {
  name: string;
  config: NodeConfig;
  node: NodeView;
  clock: Clock;
  log: Logger;
}

const addressesWaitMs = 30_000;
const podCidrsWaitMs = 5 * 60_000;
const pollMs = 200;

/**
 * Waits for what the first rules cannot do without: addresses where NodePorts answer on those alone, and pod CIDRs where
 * they tell local traffic. Everything else is taken over when it comes.
 * @throws {Error} when there are no pod CIDRs in time
 */
export async function awaitNode({ name, config, node, clock, log }: AwaitNodeNeed, signal: AbortSignal): Promise<void> {
  const startMs = clock.monotonicMs();
  const until = async (isThere: () => boolean, waitMs: number): Promise<boolean> => {
    while (!isThere() && !signal.aborted && clock.monotonicMs() - startMs < waitMs) await clock.sleep(pollMs, signal);
    return isThere() || signal.aborted;
  };
  const isPrimaryOnly = config.nodePortAddresses[0] === 'primary';
  if (isPrimaryOnly && !(await until(() => node.ips.length > 0, addressesWaitMs))) {
    log.warn({ node: name }, 'the Node object has no addresses yet, NodePorts answer on all until it has');
  }
  if (config.localDetection.mode !== 'NodeCIDR') return;
  if (await until(() => node.podCidrs.length > 0, addressesWaitMs + podCidrsWaitMs)) return;
  throw new Error(
    node.exists
      ? `timeout waiting for PodCIDR allocation on node "${name}"`
      : `timeout waiting for node "${name}" to exist`,
  );
}

/** Ends with an error when the rules no longer fit the node, or never will; else with `signal`. */
export function guardNode(
  { config, node }: Pick<AwaitNodeNeed, 'config' | 'node'>,
  families: readonly IpFamily[],
  signal: AbortSignal,
): Promise<void> {
  let podCidrs = node.podCidrs.join();
  return new Promise((resolve, reject) => {
    const look = (): void => {
      const [primary = ''] = node.ips;
      const family = familyOfIp(primary);
      if (family !== undefined && !families.includes(family)) {
        reject(new Error(`no support for primary IP family "${family}"`));
      }
      const now = node.podCidrs.join();
      if (config.localDetection.mode === 'NodeCIDR' && podCidrs !== '' && now !== podCidrs) {
        reject(new Error(`the node's podCIDRs have changed from ${podCidrs} to ${now}: a new start goes by them`));
      }
      podCidrs = now;
    };
    node.onChange(look);
    look();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
