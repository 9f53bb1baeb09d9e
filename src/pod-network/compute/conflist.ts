/** The CNI configuration of this node's pods, and whether it may be written. Pure. */
import { familyOf } from './networks.ts';

export const conflistName = '10-gantry.conflist';
/** The runtime reads files that end so, and the first by name counts. */
const configEndings = ['.conf', '.conflist', '.json'];
/** In our file, so that we know it again: whatever lacks it is not ours to change. Runtimes take no notice of it. */
const writerKey = 'gantryWriter';
const writer = 'network-agent';

export interface ConflistInput {
  podCidrs: readonly string[];
  mtu: number;
}

/**
 * `ptp`: each pod has a link of its own to the node, so whatever a pod sends is routed and passes the node's rules, also
 * to its neighbour. Pods' addresses are remembered under `/run`: after a restart of the machine all are free.
 */
export function conflistText({ podCidrs, mtu }: ConflistInput): string {
  const defaultRoutes = [...new Set(podCidrs.map((cidr) => (familyOf(cidr) === 'IPv4' ? '0.0.0.0/0' : '::/0')))];
  const conflist = {
    cniVersion: '1.0.0',
    name: 'gantry',
    [writerKey]: writer,
    plugins: [
      {
        type: 'ptp',
        ipMasq: false,
        mtu,
        ipam: {
          type: 'host-local',
          dataDir: '/run/cni-ipam-state',
          ranges: podCidrs.map((subnet) => [{ subnet }]), // a set each: one address from every one
          routes: defaultRoutes.map((dst) => ({ dst })),
        },
      },
      { type: 'portmap', capabilities: { portMappings: true }, snat: true },
    ],
  };
  return `${JSON.stringify(conflist, undefined, 2)}\n`;
}

export interface ConfigFile {
  name: string;
  content: string;
}

export type ConflistPlan =
  | { kind: 'write' | 'keep'; foreign?: string; problem?: string }
  /** Another program's configuration comes first and ours is not there: pods are not ours, and nothing is done. */
  | { kind: 'stand-back'; foreign: string; problem?: string }
  | { kind: 'refuse'; foreign?: string; problem: string };

/** @param files all of the runtime's configuration directory */
export function planConflist(wanted: string, files: readonly ConfigFile[]): ConflistPlan {
  const configs = files.filter(({ name }) => isConfigFile(name)).toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const own = configs.find(({ name }) => name === conflistName);
  const [first] = configs;
  const before = first !== undefined && first.name < conflistName ? first : undefined;
  const told = {
    ...(before === undefined ? {} : { foreign: before.name }),
    ...(before === undefined || isJson(before.content)
      ? {}
      : {
          problem: `"${before.name}" comes first and is not JSON: the runtime cannot start pods until it is mended or removed`,
        }),
  };
  if (own === undefined) {
    return before === undefined ? { kind: 'write' } : { kind: 'stand-back', ...told, foreign: before.name };
  }
  if (!isOurs(own.content)) {
    const what = isJson(own.content) ? 'was written by somebody else' : 'is not JSON, so nobody knows who wrote it';
    return { kind: 'refuse', ...told, problem: `"${conflistName}" ${what}: remove it, and it will be written anew` };
  }
  return { kind: own.content === wanted ? 'keep' : 'write', ...told };
}

export function isConfigFile(name: string): boolean {
  return configEndings.some((ending) => name.endsWith(ending));
}

/** Whether this agent wrote it, in whichever version. */
export function isOurs(content: string): boolean {
  const parsed = parseJson(content);
  return typeof parsed === 'object' && parsed !== null && writerKey in parsed && parsed[writerKey] === writer;
}

function isJson(content: string): boolean {
  return parseJson(content) !== undefined;
}

function parseJson(content: string): unknown {
  try {
    return JSON.parse(content) as unknown;
  } catch {
    return undefined; // the caller asks whether it is JSON
  }
}
