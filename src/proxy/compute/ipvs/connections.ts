/** Who still talks to real servers, and which of those that drain may go. Pure. */
import type { Protocol } from '../../proxy-model.ts';
import { type Draining, drainKey, realServerRemoval } from './server-changes.ts';

const protocols: ReadonlyMap<string, Protocol> = new Map([
  ['TCP', 'tcp'],
  ['UDP', 'udp'],
  ['SCTP', 'sctp'],
]);

/** Reads `ipvsadm --list --numeric`: connections of each real server, active and not, by `drainKey`. */
export function parseConnections(text: string): Map<string, number> {
  const connections = new Map<string, number>();
  let server: Draining['server'] | undefined;
  for (const line of text.split('\n')) {
    const words = line.trim().split(/\s+/);
    const [first = '', address = ''] = words;
    if (first !== '->') {
      const protocol = protocols.get(first);
      server = protocol === undefined ? undefined : { address, protocol };
      continue;
    }
    const [, , , , active, inactive] = words;
    const count = Number(active) + Number(inactive);
    // the line of headings has words where the numbers are
    if (server !== undefined && Number.isFinite(count))
      connections.set(drainKey({ server, realServer: address }), count);
  }
  return connections;
}

/** Lines for `ipvsadm --restore` that remove what has drained, and what is still at it. Who has gone otherwise is forgotten. */
export function drainedChanges(
  draining: ReadonlyMap<string, Draining>,
  connections: ReadonlyMap<string, number>,
): { readonly lines: readonly string[]; readonly draining: ReadonlyMap<string, Draining> } {
  const lines: string[] = [];
  const left = new Map<string, Draining>();
  for (const [key, drain] of draining) {
    const count = connections.get(key);
    if (count === 0) lines.push(realServerRemoval(drain));
    else if (count !== undefined) left.set(key, drain);
  }
  return { lines, draining: left };
}
