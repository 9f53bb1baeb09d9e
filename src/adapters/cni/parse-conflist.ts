/** A network configuration file as a `CniNetworkList`: every problem at once, by name. Pure. */
import { ConfigError } from '../../base/errors.ts';
import type { CniNetworkList, CniPlugin } from './cni-types.ts';

/** Versions of the protocol that we speak, oldest first. */
export const cniVersions = ['0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const;

/** Identifiers of networks and containers. */
export const cniIdentifier = /^[A-Za-z0-9][\w.-]*$/;

/** @param path decides the form: `.conflist` holds a list of plugins, any other ending a single one @throws {ConfigError} */
export function parseConflist(text: string, path: string): CniNetworkList {
  const what = `Cannot use CNI configuration "${path}"`;
  let root: unknown;
  try {
    root = JSON.parse(text);
  } catch (err) {
    throw new ConfigError(what, [`it is no JSON: ${err instanceof Error ? err.message : String(err)}`]);
  }
  if (!isRecord(root)) throw new ConfigError(what, ['it is not an object']);
  const problems: string[] = [];
  const { name } = root;
  if (typeof name !== 'string' || name === '') problems.push('"name" is missing');
  else if (!cniIdentifier.test(name)) {
    problems.push(`"name" must start with a letter or digit and go on with those, "_", "." and "-": "${name}"`);
  }
  const isList = path.endsWith('.conflist') || 'plugins' in root;
  const plugins = isList ? parsePlugins(root['plugins'], problems) : [parsePlugin(root, 'the file', problems)];
  const list: CniNetworkList = {
    path,
    name: typeof name === 'string' ? name : '',
    cniVersion: chooseVersion(root, problems),
    disableCheck: root['disableCheck'] === true || root['disableCheck'] === 'true',
    plugins: plugins.filter((plugin) => plugin !== undefined),
  };
  if (problems.length > 0) throw new ConfigError(what, problems);
  return list;
}

function parsePlugins(plugins: unknown, problems: string[]): Array<CniPlugin | undefined> {
  if (!Array.isArray(plugins) || plugins.length === 0) {
    problems.push('"plugins" must be a list with one plugin at least');
    return [];
  }
  return plugins.map((plugin, i) => parsePlugin(plugin, `plugins[${i}]`, problems));
}

function parsePlugin(plugin: unknown, at: string, problems: string[]): CniPlugin | undefined {
  if (!isRecord(plugin)) {
    problems.push(`${at} must be an object`);
    return undefined;
  }
  const { type, capabilities = {}, ipam } = plugin;
  if (typeof type !== 'string' || type === '') problems.push(`"type" of ${at} is missing`);
  else if (type.includes('/')) problems.push(`"type" of ${at} must be a plugin's name without a path: "${type}"`);
  if (ipam !== undefined && (!isRecord(ipam) || (Object.keys(ipam).length > 0 && typeof ipam['type'] !== 'string'))) {
    problems.push(`"ipam" of ${at} must be an object with a "type"`);
  }
  if (!isRecord(capabilities) || Object.values(capabilities).some((value) => typeof value !== 'boolean')) {
    problems.push(`"capabilities" of ${at} must map names to true or false`);
    return undefined;
  }
  return {
    type: typeof type === 'string' ? type : '',
    capabilities: capabilities as Record<string, boolean>, // checked above
    config: plugin,
  };
}

/** The highest version that both the file and we know. */
function chooseVersion(root: Record<string, unknown>, problems: string[]): string {
  const { cniVersion, cniVersions: offered } = root;
  const names: unknown[] = [
    ...(Array.isArray(offered) ? offered : []),
    ...(cniVersion === undefined ? [] : [cniVersion]),
  ];
  const known = cniVersions.filter((version) => names.includes(version));
  const best = known.at(-1);
  if (best !== undefined) return best;
  problems.push(
    names.length === 0
      ? `"cniVersion" is missing, expected one of ${cniVersions.join(', ')}`
      : `"cniVersion" ${names.map((version) => `"${String(version)}"`).join(', ')} is not served, expected one of ${cniVersions.join(', ')}`,
  );
  return '';
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
