/** A CNI failure in one line, with what mends it. Pure. */
import { CniError, type CniNetworkList } from '../adapters/cni/cni-types.ts';
import { describeError, isDeadline, isNotFound } from '../base/errors.ts';
import { type Finding, fail } from './finding.ts';

export interface CniContext {
  list: CniNetworkList;
  binDirs: readonly string[];
  /** Leases of the network that stand now, where host-local keeps them. */
  leases: { directory: string; count: number } | undefined;
}

export function explainCni(id: string, err: unknown, { list, binDirs, leases }: CniContext): Finding {
  const what = describeError(err);
  if (isNotFound(err)) return missingPlugin(id, what, binDirs);
  if (/no IP addresses available/i.test(what)) {
    const held = leases === undefined ? '' : `: ${leases.count} addresses are leased in ${leases.directory}`;
    const fix =
      leases === undefined
        ? `enlarge the address range of "${list.path}"`
        : `remove the files of containers that are gone from ${leases.directory}, or enlarge the range in "${list.path}"`;
    return fail(id, `the address pool of network "${list.name}" is exhausted${held}`, fix);
  }
  if (isDeadline(err)) return fail(id, what, 'look for what the plugin waits for: `ps`, its own log, its daemon');
  if (err instanceof CniError && (err.code === 1 || err.code === 2 || err.code === 6 || err.code === 7)) {
    return fail(id, what, `correct "${list.path}"`);
  }
  return fail(id, what, `the words are the plugin's own; check "${list.path}" against its documentation`);
}

export function missingPlugin(id: string, what: string, binDirs: readonly string[]): Finding {
  const fix = `apt-get install containernetworking-plugins, or pass the right --cni-bin-dir (now ${binDirs.join(':')})`;
  return fail(id, what, fix);
}
