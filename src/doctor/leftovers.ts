/** What a network trial may leave on the machine: interfaces, leases, rules. */
import { readFile, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { CniNetworkList } from '../adapters/cni/cni-types.ts';
import { isRecord } from '../adapters/cni/parse-conflist.ts';

/** Directories in which host-local keeps the network's leases. Pure. */
export function leaseDirectories({ name, plugins }: Pick<CniNetworkList, 'name' | 'plugins'>): string[] {
  return plugins.flatMap(({ config: { ipam } }) => {
    if (!isRecord(ipam) || ipam['type'] !== 'host-local') return [];
    const { dataDir } = ipam;
    return [join(typeof dataDir === 'string' && dataDir !== '' ? dataDir : '/var/lib/cni/networks', name)];
  });
}

/** Leases in a directory: the address, and the container that holds it. */
export async function readLeases(directory: string): Promise<Array<{ address: string; containerId: string }>> {
  let names: string[];
  try {
    names = await readdir(directory);
  } catch {
    return []; // nothing has ever been leased
  }
  const leases: Array<{ address: string; containerId: string }> = [];
  for (const name of names) {
    // beside the leases lie a lock and the place where the next search begins
    if (!/^[\da-fA-F.:_]+$/.test(name)) continue;
    const text = await readFile(join(directory, name), 'utf8').catch(() => '');
    leases.push({ address: name, containerId: text.split(/\r?\n/, 1)[0]?.trim() ?? '' });
  }
  return leases;
}

/** The machine's interfaces by name, and whether each is a bridge: those stay between pods. */
export async function hostInterfaces(sysRoot = '/sys'): Promise<Map<string, { isBridge: boolean }>> {
  const directory = join(sysRoot, 'class/net');
  const interfaces = new Map<string, { isBridge: boolean }>();
  for (const name of await readdir(directory)) {
    const isBridge = await stat(join(directory, name, 'bridge')).then(
      () => true,
      () => false,
    );
    interfaces.set(name, { isBridge });
  }
  return interfaces;
}
