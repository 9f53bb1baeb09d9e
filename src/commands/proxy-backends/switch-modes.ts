/** What modes leave behind in the kernel, and what a new mode takes away of it before it starts. */
import { access } from 'node:fs/promises';
import { Iptables } from '../../adapters/iptables/iptables.ts';
import { describeError } from '../../base/errors.ts';
import type { Logger } from '../../base/logger.ts';
import type { Installer } from '../../proxy/install/installer.ts';
import type { ProxyMode } from '../../proxy/proxy-config.ts';
import type { IpFamily } from '../../proxy/proxy-model.ts';
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

/** The modes whose rules must go before a mode writes its own, and those that go once it has. */
export interface CleanUpPlan {
  readonly before: readonly ProxyMode[];
  readonly after: readonly ProxyMode[];
}

/**
 * Between nftables and the others nothing is shared, and the clean-up of what is not there does no harm: old rules serve
 * until the new ones are in place. Modes iptables and ipvs share chains: cleaning up after the other one at every start
 * would cut connections, so it is done only where the other one has left what is its own, and first. Pure.
 */
export function planCleanUp(mode: ProxyMode, leftovers: Leftovers): CleanUpPlan {
  switch (mode) {
    case 'nftables':
      return { before: [], after: ['ipvs', 'iptables'] };
    case 'iptables':
      return { before: leftovers.ipvs ? ['ipvs'] : [], after: ['nftables'] };
    case 'ipvs':
      return { before: leftovers.iptables ? ['iptables'] : [], after: ['nftables'] };
  }
}

/** Removes what other modes have left. What cannot be removed is logged, and no reason not to serve. */
export async function cleanUpOthers(
  modes: readonly ProxyMode[],
  backends: Backends,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  for (const mode of modes) {
    try {
      await backends[mode]?.cleanUp(log, signal);
    } catch (err) {
      if (signal.aborted) return;
      log.error({ mode, reason: describeError(err) }, 'cannot remove what another mode has left');
    }
  }
}

/** The same installers, and a promise that they all have synced once. */
export function noteFirstSyncs(installers: ReadonlyMap<IpFamily, Installer>): {
  installers: ReadonlyMap<IpFamily, Installer>;
  haveSynced: Promise<void>;
} {
  const { promise, resolve } = Promise.withResolvers<void>();
  const waiting = new Set(installers.keys());
  const note = (family: IpFamily, installer: Installer): Installer => ({
    sync: async (request, signal) => {
      const report = await installer.sync(request, signal);
      waiting.delete(family);
      if (waiting.size === 0) resolve();
      return report;
    },
    watch: (onLost, signal) => installer.watch(onLost, signal),
  });
  const noted = new Map([...installers].map(([family, installer]) => [family, note(family, installer)]));
  return { installers: noted, haveSynced: promise };
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
