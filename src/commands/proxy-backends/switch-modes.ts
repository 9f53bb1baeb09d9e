/** What modes leave behind in the kernel, and what a new mode takes away of it before it starts. */
import { access } from 'node:fs/promises';
import { Iptables } from '../../adapters/iptables/iptables.ts';
import { describeError } from '../../base/errors.ts';
import type { Logger } from '../../base/logger.ts';
import type { ProxyMode } from '../../proxy/proxy-config.ts';
import type { ProxyBackend } from './proxy-backend.ts';

type CleanUp = Pick<ProxyBackend, 'cleanUp'>;
type Backends = Readonly<Partial<Record<ProxyMode, CleanUp>>>;

/** What the kernel has that only one mode makes. Modes iptables and ipvs share the names of other chains. */
export interface Leftovers {
  /** A Service's own chain. */
  readonly iptables: boolean;
  /** The interface that cluster IPs are bound to. */
  readonly ipvs: boolean;
}

/**
 * The modes whose rules must go before `mode` starts. Between nftables and the others nothing is shared, and the
 * clean-up of what is not there does no harm. Modes iptables and ipvs share chains: cleaning up after the other one at
 * every start would cut connections, so it is done only where the other one has left what is its own. Pure.
 */
export function modesToCleanUp(mode: ProxyMode, leftovers: Leftovers): ProxyMode[] {
  switch (mode) {
    case 'nftables':
      return ['iptables', 'ipvs'];
    case 'iptables':
      return leftovers.ipvs ? ['nftables', 'ipvs'] : ['nftables'];
    case 'ipvs':
      return leftovers.iptables ? ['nftables', 'iptables'] : ['nftables'];
  }
}

/** Removes what other modes have left. What cannot be removed is logged, and no reason not to serve. */
export async function cleanUpOthers(
  mode: ProxyMode,
  backends: Backends,
  findLeftovers: (mode: ProxyMode, signal: AbortSignal) => Promise<Leftovers>,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  for (const other of modesToCleanUp(mode, await findLeftovers(mode, signal))) {
    try {
      await backends[other]?.cleanUp(log, signal);
    } catch (err) {
      if (signal.aborted) return;
      log.error({ mode: other, reason: describeError(err) }, 'cannot remove what another mode has left');
    }
  }
}

/** Removes everything that kube-proxy has put into the kernel, in whichever mode. */
export async function cleanUpAll(backends: Backends, log: Logger, signal: AbortSignal): Promise<void> {
  const failures: string[] = [];
  for (const [mode, backend] of Object.entries(backends)) {
    try {
      await backend.cleanUp(log, signal);
    } catch (err) {
      failures.push(`${mode}: ${describeError(err)}`);
    }
  }
  if (failures.length > 0) {
    throw new Error(`encountered an error while tearing down rules: ${failures.join('; ')}`);
  }
}

/** Looks only for what `mode` has to know. */
export async function findLeftovers(mode: ProxyMode, signal: AbortSignal): Promise<Leftovers> {
  return {
    iptables: mode === 'ipvs' && (await hasServiceChains(signal)),
    ipvs: mode === 'iptables' && (await isThere('/sys/class/net/kube-ipvs0')),
  };
}

async function hasServiceChains(signal: AbortSignal): Promise<boolean> {
  for (const family of ['IPv4', 'IPv6'] as const) {
    let isFound = false;
    const look = (line: string): void => {
      isFound ||= /^:KUBE-(SVC|SVL|SEP|FW|EXT)-/.test(line);
    };
    try {
      await new Iptables({ family }).save('nat', look, signal);
    } catch {
      continue; // without a working tool there are no rules of it
    }
    if (isFound) return true;
  }
  return false;
}

const isThere = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );
