/** Mode `ipvs`. */
import { release } from 'node:os';
import {
  addressesByLink,
  changeAddresses,
  deleteLink,
  ensureDummyLink,
} from '../../adapters/host-network/bound-addresses.ts';
import { Ipset } from '../../adapters/ipset/ipset.ts';
import { Iptables } from '../../adapters/iptables/iptables.ts';
import { Ipvs } from '../../adapters/ipvs/ipvs.ts';
import { ensureModule, pathExists } from '../../adapters/kernel-modules/kernel-modules.ts';
import { describeError } from '../../base/errors.ts';
import type { Logger } from '../../base/logger.ts';
import { masqueradeMark } from '../../proxy/compute/iptables/static-rules.ts';
import { parseIpsetSave } from '../../proxy/compute/ipvs/ip-sets.ts';
import { ipvsSettings, ipvsTimeouts, schedulerProbe } from '../../proxy/compute/ipvs/kernel-values.ts';
import { parseIpvsadmSave } from '../../proxy/compute/ipvs/server-changes.ts';
import { localTraffic } from '../../proxy/compute/local-traffic.ts';
import { nodePortAddresses } from '../../proxy/compute/node-port-addresses.ts';
import type { Installer } from '../../proxy/install/installer.ts';
import { cleanUpModeRules, setRemovals } from '../../proxy/install/ipvs/clean-up.ts';
import { IpvsInstaller, boundLink } from '../../proxy/install/ipvs/ipvs-installer.ts';
import type { IpFamily } from '../../proxy/proxy-model.ts';
import type { BackendNeed, ProxyBackend } from './proxy-backend.ts';
import { usableFamilies } from './usable-families.ts';

export const ipvsBackend: ProxyBackend = { build, cleanUp };

/** There as soon as the kernel has virtual servers. */
const ipvsFile = '/proc/net/ip_vs';
const links = { addresses: addressesByLink, ensure: ensureDummyLink, change: changeAddresses };

async function build({ config, node, settings, metrics, clock, log }: BackendNeed, signal: AbortSignal) {
  const { scheduler } = config.ipvs;
  const ipset = new Ipset();
  const ipvs = new Ipvs();
  await ensureModule('ip_vs', ipvsFile, signal);
  await ipset.version(signal);
  await checkScheduler(ipvs, scheduler, signal);
  await checkDummyLink(signal);
  for (const [name, value] of ipvsSettings(release(), config.ipvs)) await settings.set(name, value);
  const timeouts = ipvsTimeouts(config.ipvs);
  if (timeouts !== undefined) await ipvs.setTimeouts(timeouts, signal);
  const installers = new Map<IpFamily, Installer>();
  for (const [family, iptables] of await usableFamilies(settings, signal)) {
    installers.set(
      family,
      new IpvsInstaller(
        {
          family,
          masqueradeMark: masqueradeMark(config.masqueradeBit),
          masqueradeAll: config.masqueradeAll,
          scheduler,
          excludeCidrs: config.ipvs.excludeCidrs,
          nodePortAddresses: () => nodePortAddresses(config.nodePortAddresses, node.ips, family),
          localTraffic: () => localTraffic(config.localDetection, node.podCidrs, family),
        },
        {
          ipset,
          ipvs,
          links,
          iptables,
          onRestoreFailed: () => metrics.iptablesRestoreFailed(family),
          clock,
          log: log.child({ room: 'install' }),
        },
      ),
    );
  }
  return installers;
}

/** Where a virtual server has the scheduler, the kernel has it. */
async function checkScheduler(ipvs: Ipvs, scheduler: string, signal: AbortSignal): Promise<void> {
  const existing = parseIpvsadmSave(await ipvs.save(signal));
  if ([...existing.values()].some((server) => server.scheduler === scheduler)) return;
  try {
    await ipvs.restore(schedulerProbe(scheduler), signal);
  } catch (err) {
    throw new Error(
      `Cannot use the scheduler "${scheduler}": run \`modprobe ip_vs_${scheduler}\` on the machine, or configure another one`,
      { cause: err },
    );
  }
}

async function checkDummyLink(signal: AbortSignal): Promise<void> {
  try {
    await ensureDummyLink(boundLink, signal);
  } catch (err) {
    throw new Error(
      `Cannot make the interface "${boundLink}": is the kernel module "dummy" there, and the process root, with CAP_NET_ADMIN?`,
      { cause: err },
    );
  }
}

/** Where neither the interface nor one of the sets is, this mode has never run, and virtual servers are others'. */
async function cleanUp(log: Logger, signal: AbortSignal): Promise<void> {
  const ipset = new Ipset();
  const readSets = async () => parseIpsetSave(await ipset.save(signal));
  const sets = await readSets().catch(() => new Map<string, Set<string>>());
  if (setRemovals(sets).length === 0 && !(await pathExists(`/sys/class/net/${boundLink}`))) return;
  const failures: string[] = [];
  const attempt = async (what: string, step: () => Promise<unknown>): Promise<void> => {
    try {
      await step();
    } catch (err) {
      if (signal.aborted) throw err;
      failures.push(`${what}: ${describeError(err)}`);
    }
  };
  if (await pathExists(ipvsFile)) await attempt('virtual servers', () => new Ipvs().clear(signal));
  await attempt(boundLink, () => deleteLink(boundLink, signal));
  for (const family of ['IPv4', 'IPv6'] as const) {
    const iptables = new Iptables({ family });
    await attempt(`rules of ${family}`, async () => {
      if (await iptables.isUsable(signal)) await cleanUpModeRules(iptables, family, signal);
    });
  }
  await attempt('ipsets', async () => ipset.restore(setRemovals(await readSets()), signal));
  if (failures.length > 0) throw new Error(failures.join('; '));
  log.info({}, 'kube-proxy virtual servers, ipsets and rules removed');
}
