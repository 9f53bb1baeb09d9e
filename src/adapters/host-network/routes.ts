/**
 * The main routing table. A full look and changes through `ip`; a look that costs next to nothing through `/proc`, which
 * does not tell whose a route is.
 */
import { readFile } from 'node:fs/promises';
import { CommandError, runCommand } from '../processes/processes.ts';

export interface Route {
  /** `a.b.c.d/n`; a single address has its length, too. */
  destination: string;
  gateway?: string | undefined;
  device?: string | undefined;
  /** As a name or a number: who made it. */
  protocol?: string | undefined;
}

const timeoutMs = 30_000;

/** All routes of the main table but default routes, of both families. */
export async function listRoutes(signal: AbortSignal): Promise<Route[]> {
  const [v4, v6] = await Promise.all(
    ['-4', '-6'].map((family) => runCommand('ip', ['-json', family, 'route', 'show'], { timeoutMs, signal })),
  );
  return [...parseIpRoutes(v4?.stdout ?? ''), ...parseIpRoutes(v6?.stdout ?? '')];
}

/** What `ip -json route show` prints: nothing at all for an empty table. */
export function parseIpRoutes(json: string): Route[] {
  const parsed: unknown = json.trim() === '' ? [] : JSON.parse(json);
  if (!Array.isArray(parsed)) return [];
  return parsed.flatMap((entry: unknown) => {
    if (typeof entry !== 'object' || entry === null || !('dst' in entry) || typeof entry.dst !== 'string') return [];
    if (entry.dst === 'default') return [];
    const text = (key: string): string | undefined => {
      const value = Object.entries(entry).find(([name]) => name === key)?.[1] as unknown;
      return typeof value === 'string' ? value : typeof value === 'number' ? String(value) : undefined;
    };
    const destination = entry.dst.includes('/') ? entry.dst : `${entry.dst}/${entry.dst.includes(':') ? 128 : 32}`;
    return [{ destination, gateway: text('gateway'), device: text('dev'), protocol: text('protocol') }];
  });
}

/**
 * Runs `ip` commands in one process, each whether or not those before it succeeded.
 * @returns what was wrong, by the command's index
 */
export async function tryIpCommands(commands: readonly string[], signal: AbortSignal): Promise<Map<number, string>> {
  if (commands.length === 0) return new Map();
  try {
    const args = ['-force', '-batch', '-'];
    await runCommand('ip', args, { input: `${commands.join('\n')}\n`, timeoutMs, signal });
    return new Map();
  } catch (err) {
    if (signal.aborted || !(err instanceof CommandError)) throw err;
    const failures = parseBatchFailures(err.stderr);
    if (failures.size === 0) throw err;
    return failures;
  }
}

/** `ip -batch` says what is wrong, then `Command failed -:3`, with the line's number from 1. */
export function parseBatchFailures(stderr: string): Map<number, string> {
  const failures = new Map<number, string>();
  let said: string[] = [];
  for (const line of stderr.split('\n').map((one) => one.trim())) {
    const failed = /^Command failed .*:(\d+)$/.exec(line);
    if (failed === null) {
      if (line !== '') said.push(line);
      continue;
    }
    failures.set(Number(failed[1]) - 1, said.join('; ') || 'no reason given');
    said = [];
  }
  return failures;
}

/**
 * Routes with a gateway, of both families, as a process sees them. A family that the kernel lacks has none.
 */
export async function glanceAtRoutes(
  pid: number | 'self' = 'self',
): Promise<Array<{ destination: string; gateway: string }>> {
  const [v4, v6] = await Promise.all(['route', 'ipv6_route'].map((name) => readIfThere(`/proc/${pid}/net/${name}`)));
  return [...parseProcRoutes(v4 ?? ''), ...parseProcIpv6Routes(v6 ?? '')];
}

const flagUp = 1;
const flagGateway = 2;

/** `/proc/net/route`: addresses as little-endian hexadecimal numbers. */
export function parseProcRoutes(text: string): Array<{ destination: string; gateway: string }> {
  return text
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const [, destination = '', gateway = '', flags = '0', , , , mask = ''] = line.split('\t').map((w) => w.trim());
      const wanted = flagUp | flagGateway;
      if ((Number.parseInt(flags, 16) & wanted) !== wanted) return [];
      const length = ipv4Bytes(mask).reduce((sum, byte) => sum + byte.toString(2).replaceAll('0', '').length, 0);
      return [{ destination: `${ipv4Bytes(destination).join('.')}/${length}`, gateway: ipv4Bytes(gateway).join('.') }];
    });
}

function ipv4Bytes(hex: string): number[] {
  return [6, 4, 2, 0].map((at) => Number.parseInt(hex.slice(at, at + 2), 16));
}

/** `/proc/net/ipv6_route`: 32 digits each, without colons. */
export function parseProcIpv6Routes(text: string): Array<{ destination: string; gateway: string }> {
  return text.split('\n').flatMap((line) => {
    const [destination = '', length = '', , , gateway = '', , , , flags = '0'] = line.trim().split(/\s+/);
    const wanted = flagUp | flagGateway;
    if ((Number.parseInt(flags, 16) & wanted) !== wanted) return [];
    return [{ destination: `${ipv6Text(destination)}/${Number.parseInt(length, 16)}`, gateway: ipv6Text(gateway) }];
  });
}

/** As the kernel prints it: the first longest run of zeros is left out. */
function ipv6Text(hex: string): string {
  const groups = (hex.match(/.{4}/g) ?? []).map((group) => Number.parseInt(group, 16).toString(16));
  let longest = { at: -1, length: 1 };
  for (let at = 0; at < groups.length; at++) {
    let length = 0;
    while (groups[at + length] === '0') length++;
    if (length > longest.length) longest = { at, length };
  }
  if (longest.at < 0) return groups.join(':');
  return `${groups.slice(0, longest.at).join(':')}::${groups.slice(longest.at + longest.length).join(':')}`;
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (err) {
    if (err instanceof Error && 'code' in err && err.code === 'ENOENT') return undefined;
    throw err;
  }
}
