/** The kernel settings without which nothing is forwarded to or from pods. */
import { describeError } from '../../base/errors.ts';
import type { IpFamily, Problem } from '../pod-network-model.ts';

export interface SettingsNeed {
  get(name: string): Promise<string | undefined>;
  set(name: string, value: string): Promise<boolean>;
}

/**
 * @param device of the node's own address
 * @returns how many had to be changed
 */
export async function keepSettings(
  families: ReadonlySet<IpFamily>,
  device: string | undefined,
  settings: SettingsNeed,
): Promise<{ written: number; problems: Problem[] }> {
  const problems: Problem[] = [];
  let written = 0;
  const set = async (name: string, value: string, otherwise: string): Promise<void> => {
    try {
      if (await settings.set(name, value)) written++;
    } catch (err) {
      problems.push({ key: name, message: `${otherwise}: ${describeError(err)}` });
    }
  };
  if (families.has('IPv4')) {
    await set('net/ipv4/ip_forward', '1', 'pods are cut off from everything but their own node');
  }
  if (families.has('IPv6')) {
    const acceptRa = `net/ipv6/conf/${device ?? 'default'}/accept_ra`;
    // a machine that forwards forgets the routes that routers announce, unless told to listen nevertheless (2)
    const isForwarding = (await settings.get('net/ipv6/conf/all/forwarding').catch(() => undefined)) === '1';
    const listens = (await settings.get(acceptRa).catch(() => undefined)) === '1';
    if (listens && !isForwarding) await set(acceptRa, '2', 'the machine may lose its IPv6 default route');
    await set('net/ipv6/conf/all/forwarding', '1', 'pods are cut off from everything but their own node over IPv6');
  }
  return { written, problems };
}

/** Strict reverse-path filtering drops what comes another way than answers would go: the greater of both settings counts. */
export async function isStrictReversePath(device: string, settings: SettingsNeed): Promise<boolean> {
  const read = async (name: string): Promise<number> =>
    Number((await settings.get(`net/ipv4/conf/${name}/rp_filter`).catch(() => undefined)) ?? 0);
  return Math.max(await read('all'), await read(device)) === 1;
}
