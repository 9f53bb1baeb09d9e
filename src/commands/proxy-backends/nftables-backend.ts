/** Mode `nftables`. */
import { release } from 'node:os';
import { Nftables } from '../../adapters/nftables/nftables.ts';
import { describeError } from '../../base/errors.ts';
import type { Logger } from '../../base/logger.ts';
import { masqueradeMark } from '../../proxy/compute/iptables/static-rules.ts';
import { localTraffic } from '../../proxy/compute/local-traffic.ts';
import { nodePortAddresses } from '../../proxy/compute/node-port-addresses.ts';
import { familyWords, tableName } from '../../proxy/compute/nftables/table-layout.ts';
import type { Installer } from '../../proxy/install/installer.ts';
import { NftablesInstaller } from '../../proxy/install/nftables/nftables-installer.ts';
import type { IpFamily } from '../../proxy/proxy-model.ts';
import { type BackendNeed, type ProxyBackend, interfaceIps, isIpv6On } from './proxy-backend.ts';

export const nftablesBackend: ProxyBackend = { build, cleanUp };

const kernelMin = [5, 13] as const;
const skipKernelCheck = 'KUBE_PROXY_NFTABLES_SKIP_KERNEL_VERSION_CHECK';

async function build({ config, node, settings, metrics, clock, log }: BackendNeed, signal: AbortSignal) {
  const nft = new Nftables();
  await nft.version(signal);
  if ((process.env[skipKernelCheck] ?? '') === '' && isOlderKernel(release())) {
    throw new Error('kube-proxy in nftables mode requires kernel 5.13 or later');
  }
  const families: IpFamily[] = (await isIpv6On(settings)) ? ['IPv4', 'IPv6'] : ['IPv4'];
  const installers = new Map<IpFamily, Installer>();
  for (const family of families) {
    await checkKernel(nft, family, signal);
    installers.set(
      family,
      new NftablesInstaller(
        {
          family,
          masqueradeMark: masqueradeMark(config.masqueradeBit),
          masqueradeAll: config.masqueradeAll,
          nodePortAddresses: () => nodePortAddresses(config.nodePortAddresses, node.ips, family),
          localTraffic: () => localTraffic(config.localDetection, node.podCidrs, family),
        },
        {
          nft,
          interfaceIps: () => interfaceIps(family),
          onCleanUpFailed: () => metrics.nftablesCleanupFailed(family),
          clock,
          log: log.child({ room: 'install', family }),
        },
      ),
    );
  }
  return installers;
}

/** Tries the parts of the kernel that not every kernel has, without leaving anything behind. */
async function checkKernel(nft: Nftables, family: IpFamily, signal: AbortSignal): Promise<void> {
  const { table } = familyWords(family);
  const words = `${table} ${tableName}`;
  try {
    await nft.check([`add table ${words} { comment "test" ; }\n`], signal);
  } catch (err) {
    throw new Error(
      `Cannot serve Services of ${family} in nftables mode: the kernel refuses a table; is the module nf_tables there, and the process root, with CAP_NET_ADMIN?`,
      { cause: err },
    );
  }
}

function isOlderKernel(version: string): boolean {
  const [major = 0, minor = 0] = version.split(/[.-]/).map(Number);
  return major < kernelMin[0] || (major === kernelMin[0] && minor < kernelMin[1]);
}

async function cleanUp(log: Logger, signal: AbortSignal): Promise<void> {
  const nft = new Nftables();
  try {
    await nft.version(signal);
  } catch {
    return; // without the tool this mode could never have run
  }
  const failures: string[] = [];
  for (const family of ['IPv4', 'IPv6'] as const) {
    try {
      const isRemoved = await nft.deleteTable(familyWords(family).table, tableName, signal);
      log.info({ family, isRemoved }, 'kube-proxy tables removed');
    } catch (err) {
      failures.push(`${family}: ${describeError(err)}`);
    }
  }
  if (failures.length > 0) throw new Error(failures.join('; '));
}
