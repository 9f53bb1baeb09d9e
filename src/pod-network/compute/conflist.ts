/** Whether the CNI configuration of this node's pods may be written beside what else is there. Pure. */
import { isOwnConflist, podConflistName } from '../../adapters/cni/pod-conflist.ts';

/** The runtime reads files that end so, and the first by name counts. */
const configEndings = ['.conf', '.conflist', '.json'];

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
  const own = configs.find(({ name }) => name === podConflistName);
  const [first] = configs;
  const before = first !== undefined && first.name < podConflistName ? first : undefined;
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
    return { kind: 'refuse', ...told, problem: `"${podConflistName}" ${what}: remove it, and it will be written anew` };
  }
  return { kind: own.content === wanted ? 'keep' : 'write', ...told };
}

export function isConfigFile(name: string): boolean {
  return configEndings.some((ending) => name.endsWith(ending));
}

/** Whether this agent wrote it, in whichever version. */
export function isOurs(content: string): boolean {
  return isOwnConflist(parseJson(content));
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
