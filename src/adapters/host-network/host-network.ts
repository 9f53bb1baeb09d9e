/** Interfaces, addresses and routes by `ip`. Here or, with words before the command, elsewhere. */
import { runCommand } from '../processes/processes.ts';

/** Words that make a command run in another network namespace, e.g. `nsenter --target 7 --net --`; empty for our own. */
export type CommandPrefix = readonly string[];

const timeoutMs = 30_000;

/** Runs `ip` commands in order, all in one process; the first that fails ends it. @throws {CommandError} */
export async function runIp(commands: readonly string[], prefix: CommandPrefix, signal: AbortSignal): Promise<void> {
  const [file, ...args] = [...prefix, 'ip', '-batch', '-'];
  await runCommand(file, args, { input: `${commands.join('\n')}\n`, timeoutMs, signal });
}

/** Sets kernel parameters; those that this kernel lacks are skipped. */
export async function setSysctls(
  values: Readonly<Record<string, string>>,
  prefix: CommandPrefix,
  signal: AbortSignal,
): Promise<void> {
  const assignments = Object.entries(values).map(([name, value]) => `${name}=${value}`);
  const [file = 'sysctl', ...args] = [...prefix, 'sysctl', '--quiet', '--ignore', '--write', ...assignments];
  await runCommand(file, args, { timeoutMs, signal });
}

/** IPv4 networks that this machine knows, from its addresses and routes, as `a.b.c.d/n`. */
export async function usedNetworks(signal: AbortSignal): Promise<string[]> {
  const [addresses, routes] = await Promise.all([
    runCommand('ip', ['-json', '-4', 'address', 'show'], { timeoutMs, signal }),
    runCommand('ip', ['-json', '-4', 'route', 'show', 'table', 'all'], { timeoutMs, signal }),
  ]);
  return [...parseAddresses(addresses.stdout), ...parseRoutes(routes.stdout)];
}

export function parseAddresses(json: string): string[] {
  return asRecords(json).flatMap((link) =>
    asArray(link['addr_info']).flatMap(({ local, prefixlen }) =>
      typeof local === 'string' && typeof prefixlen === 'number' ? [`${local}/${prefixlen}`] : [],
    ),
  );
}

/** The default route leads everywhere and says nothing; a route without a length is a single address. */
export function parseRoutes(json: string): string[] {
  return asRecords(json).flatMap(({ dst }) =>
    typeof dst !== 'string' || dst === 'default' ? [] : [dst.includes('/') ? dst : `${dst}/32`],
  );
}

export async function interfaceExists(name: string, signal: AbortSignal): Promise<boolean> {
  const { stdout } = await runCommand('ip', ['-json', 'link', 'show'], { timeoutMs, signal });
  return asRecords(stdout).some(({ ifname }) => ifname === name);
}

/** `ip -json` prints nothing at all for an empty list. */
function asRecords(json: string): Array<Record<string, unknown>> {
  return json.trim() === '' ? [] : asArray(JSON.parse(json) as unknown);
}

function asArray(value: unknown): Array<Record<string, unknown>> {
  return Array.isArray(value) ? value.filter((entry) => typeof entry === 'object' && entry !== null) : [];
}
