/** From the virtual servers that the kernel has to those that it must have, in the words of `ipvsadm --restore`. Pure. */
import type { IpFamily, Protocol } from '../../proxy-model.ts';
import { type Cidr, cidrContains } from '../ip-ranges.ts';
import { type VirtualServer, serverKey } from './wanted-state.ts';

/** A virtual server as `ipvsadm --save` shows it. */
export interface KernelServer {
  readonly protocol: Protocol;
  readonly address: string;
  readonly scheduler: string;
  readonly schedulerFlags: string | undefined;
  readonly affinitySeconds: number | undefined;
  /** Weights by `ip:port`. */
  readonly realServers: Map<string, number>;
}

/** A real server that gets no new connections and goes when its last one has ended. By `drainKey`. */
export interface Draining {
  readonly server: Pick<VirtualServer, 'address' | 'protocol'>;
  readonly realServer: string;
}

export interface ServerChangesInput {
  readonly wanted: ReadonlyMap<string, VirtualServer>;
  /** By `serverKey`. */
  readonly existing: ReadonlyMap<string, KernelServer>;
  readonly family: IpFamily;
  readonly scheduler: string;
  /** The first sync since the start trusts no weight. */
  readonly isFirst: boolean;
  readonly draining: ReadonlyMap<string, Draining>;
  /** Connections of a real server, active or not, by `drainKey`. */
  readonly connections: ReadonlyMap<string, number>;
  /** Virtual servers on these addresses belong to somebody else. */
  readonly excluded: readonly Cidr[];
}

export interface ServerChanges {
  /** For `ipvsadm --restore`; empty: nothing to do. */
  readonly lines: readonly string[];
  readonly draining: ReadonlyMap<string, Draining>;
}

const serviceOptions = { tcp: '-t', udp: '-u', sctp: '--sctp-service' } as const;
const protocols = new Map<string, Protocol>(
  Object.entries(serviceOptions).map(([protocol, option]) => [option, protocol as Protocol]), // keys of the table above
);

export function drainKey({ server, realServer }: Draining): string {
  return `${serverKey(server)} ${realServer}`;
}

/** A line for `ipvsadm --restore`. */
export function realServerRemoval({ server, realServer }: Draining): string {
  return `-d ${words(server)} -r ${realServer}`;
}

/** Reads `ipvsadm --save --numeric`. Services by firewall mark are not ours and left out. */
export function parseIpvsadmSave(text: string): Map<string, KernelServer> {
  const servers = new Map<string, KernelServer>();
  for (const line of text.split('\n')) {
    const words = line.trim().split(/\s+/);
    const [command, option = '', address = ''] = words;
    const protocol = protocols.get(option);
    if (protocol === undefined) continue;
    const valueOf = (name: string): string | undefined => {
      const at = words.indexOf(name, 3);
      return at < 0 ? undefined : words[at + 1];
    };
    if (command === '-A') {
      const seconds = valueOf('-p');
      servers.set(serverKey({ address, protocol }), {
        protocol,
        address,
        scheduler: valueOf('-s') ?? '',
        schedulerFlags: valueOf('-b'),
        affinitySeconds: seconds === undefined ? undefined : Number(seconds),
        realServers: new Map(),
      });
    }
    const realServer = valueOf('-r');
    if (command === '-a' && realServer !== undefined) {
      servers.get(serverKey({ address, protocol }))?.realServers.set(realServer, Number(valueOf('-w') ?? 1));
    }
  }
  return servers;
}

export function serverChanges(input: ServerChangesInput): ServerChanges {
  const { wanted, existing, family, scheduler, excluded } = input;
  const lines: string[] = [];
  const draining = new Map<string, Draining>();
  for (const [key, server] of existing) {
    if (wanted.has(key) || isIpv6(server) !== (family === 'IPv6')) continue;
    const ip = ipOf(server.address);
    if (!excluded.some((cidr) => cidrContains(cidr, ip))) lines.push(`-D ${words(server)}`);
  }
  for (const [key, server] of wanted) {
    const has = existing.get(key);
    if (has === undefined) lines.push(`-A ${words(server)} ${options(server, scheduler)}`);
    else if (differs(server, has, scheduler)) lines.push(`-E ${words(server)} ${options(server, scheduler)}`);
    lines.push(...realServerLines(server, has?.realServers ?? new Map(), input, draining));
  }
  return { lines, draining };
}

function realServerLines(
  server: VirtualServer,
  has: ReadonlyMap<string, number>,
  { isFirst, draining: before, connections }: ServerChangesInput,
  draining: Map<string, Draining>,
): string[] {
  const lines: string[] = [];
  const line = (command: string, realServer: string): string => `${command} ${words(server)} -r ${realServer}`;
  for (const realServer of server.realServers) {
    const weight = has.get(realServer);
    const wasDraining = before.has(drainKey({ server, realServer }));
    if (weight !== undefined && wasDraining) lines.push(line('-d', realServer));
    if (weight === undefined || wasDraining) lines.push(`${line('-a', realServer)} -m -w 1`);
    else if (isFirst && weight !== 1) lines.push(`${line('-e', realServer)} -m -w 1`);
  }
  for (const [realServer, weight] of has) {
    if (server.realServers.has(realServer)) continue;
    const drain = { server: { address: server.address, protocol: server.protocol }, realServer };
    const key = drainKey(drain);
    if (server.protocol !== 'tcp' || (connections.get(key) ?? 0) === 0) {
      lines.push(line('-d', realServer));
      continue;
    }
    if (weight !== 0) lines.push(`${line('-e', realServer)} -m -w 0`);
    draining.set(key, drain);
  }
  return lines;
}

function differs(wanted: VirtualServer, has: KernelServer, scheduler: string): boolean {
  return (
    has.scheduler !== scheduler ||
    has.schedulerFlags !== flagsOf(scheduler) ||
    has.affinitySeconds !== wanted.affinitySeconds
  );
}

/** Scheduler mh looks at the client's port, too. */
function flagsOf(scheduler: string): string | undefined {
  return scheduler === 'mh' ? 'mh-port' : undefined;
}

function options({ affinitySeconds }: VirtualServer, scheduler: string): string {
  const flags = flagsOf(scheduler);
  const flagWords = flags === undefined ? '' : ` -b ${flags}`;
  return `-s ${scheduler}${flagWords}${affinitySeconds === undefined ? '' : ` -p ${affinitySeconds}`}`;
}

function words({ protocol, address }: Pick<VirtualServer, 'address' | 'protocol'>): string {
  return `${serviceOptions[protocol]} ${address}`;
}

function isIpv6({ address }: KernelServer): boolean {
  return address.startsWith('[');
}

function ipOf(address: string): string {
  return address.slice(0, address.lastIndexOf(':')).replace(/^\[|\]$/g, '');
}
