/** Which interface has an address, and how long its packets may be. */
import { readFile } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';

export interface Link {
  name: string;
  mtu: number;
}

/** Undefined when no interface that is up has it. */
export async function linkOf(address: string): Promise<Link | undefined> {
  const found = Object.entries(networkInterfaces()).find(([, addresses]) =>
    addresses?.some((one) => one.address === address),
  );
  if (found === undefined) return undefined;
  const [name] = found;
  try {
    return { name, mtu: Number((await readFile(join('/sys/class/net', name, 'mtu'), 'utf8')).trim()) };
  } catch (err) {
    if (err instanceof Error && 'code' in err && err.code === 'ENOENT') return undefined; // it has just gone
    throw err;
  }
}
