/** Addresses of interfaces, also of those that are down; and an interface that exists only to have addresses. */
import { CommandError, runCommand } from '../processes/processes.ts';
import { runIp } from './host-network.ts';

const timeoutMs = 30_000;

/** Addresses by the name of their interface, in the kernel's spelling. */
export async function addressesByLink(signal: AbortSignal): Promise<Map<string, string[]>> {
  const { stdout } = await runCommand('ip', ['-json', 'address', 'show'], { timeoutMs, signal });
  return parseAddressesByLink(stdout);
}

export function parseAddressesByLink(json: string): Map<string, string[]> {
  const links = new Map<string, string[]>();
  for (const { ifname, addr_info: infos } of records(JSON.parse(json))) {
    if (typeof ifname !== 'string') continue;
    links.set(
      ifname,
      records(infos).flatMap(({ local }) => (typeof local === 'string' ? [local] : [])),
    );
  }
  return links;
}

/** Makes an interface of type dummy, which is down and leads nowhere. One that is there stays as it is. */
export async function ensureDummyLink(name: string, signal: AbortSignal): Promise<void> {
  try {
    await runIp([`link add ${name} type dummy`], [], signal);
  } catch (err) {
    if (!(err instanceof CommandError) || !err.stderr.includes('File exists')) throw err;
  }
}

/** Deletes an interface. One that is not there is deleted. */
export async function deleteLink(name: string, signal: AbortSignal): Promise<void> {
  try {
    await runIp([`link del ${name}`], [], signal);
  } catch (err) {
    if (!(err instanceof CommandError) || !err.stderr.includes('Cannot find device')) throw err;
  }
}

/** What an interface gains and loses, in one go. */
export async function changeAddresses(
  link: string,
  { added, removed }: { added: readonly string[]; removed: readonly string[] },
  signal: AbortSignal,
): Promise<void> {
  const length = (ip: string): number => (ip.includes(':') ? 128 : 32);
  const commands = [
    ...added.map((ip) => `address replace ${ip}/${length(ip)} dev ${link}`),
    ...removed.map((ip) => `address delete ${ip}/${length(ip)} dev ${link}`),
  ];
  if (commands.length > 0) await runIp(commands, [], signal);
}

function records(value: unknown): Array<Record<string, unknown>> {
  return Array.isArray(value) ? value.filter((entry) => typeof entry === 'object' && entry !== null) : [];
}
