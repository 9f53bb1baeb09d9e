/** What a plugin is given and what it answers, as JSON. Pure. */
import {
  type CniAttachment,
  CniError,
  type CniNetworkList,
  type CniPlugin,
  type CniResult,
  describeCniCode,
} from './cni-types.ts';
import { isRecord } from './parse-conflist.ts';

export type CniCommand = 'ADD' | 'DEL' | 'CHECK' | 'VERSION';

/** The plugin's standard input: its own part of the list, completed for this call. */
export function pluginInput(
  { name, cniVersion }: Pick<CniNetworkList, 'name' | 'cniVersion'>,
  { config, capabilities }: CniPlugin,
  runtimeConfig: CniAttachment['runtimeConfig'],
  previous: CniResult | undefined,
): string {
  const { capabilities: _, ...own } = config;
  const wanted = Object.entries(runtimeConfig).filter(([capability]) => capabilities[capability] === true);
  return JSON.stringify({
    ...own,
    cniVersion,
    name,
    ...(wanted.length === 0 ? {} : { runtimeConfig: Object.fromEntries(wanted) }),
    ...(previous === undefined ? {} : { prevResult: previous.raw }),
  });
}

/** All six variables, always: a plugin must not see ones of ours by accident. */
export function pluginEnvironment(
  command: CniCommand,
  attachment: CniAttachment | undefined,
  binDirs: readonly string[],
): Record<string, string> {
  return {
    CNI_COMMAND: command,
    CNI_CONTAINERID: attachment?.containerId ?? '',
    CNI_NETNS: attachment?.netns ?? '',
    CNI_IFNAME: attachment?.ifName ?? '',
    CNI_ARGS: (attachment?.args ?? []).map(([key, value]) => `${key}=${value}`).join(';'),
    CNI_PATH: binDirs.join(':'),
  };
}

/** @param cniVersion of the request: a result that names none is of that version @throws {CniError} */
export function parseResult(text: string, plugin: string, cniVersion: string): CniResult {
  const raw = parseJson(text);
  if (!isRecord(raw)) {
    throw new CniError(`plugin "${plugin}" answered no JSON result: ${shown(text)}`, plugin, undefined, '');
  }
  const list = (name: string): Record<string, unknown>[] => {
    const value = raw[name];
    return Array.isArray(value) ? value.filter(isRecord) : [];
  };
  const textOf = (value: unknown): string => (typeof value === 'string' ? value : '');
  return {
    cniVersion: typeof raw['cniVersion'] === 'string' && raw['cniVersion'] !== '' ? raw['cniVersion'] : cniVersion,
    interfaces: list('interfaces').map(({ name, mac, sandbox }) => ({
      name: textOf(name),
      mac: textOf(mac),
      sandbox: textOf(sandbox),
    })),
    ips: list('ips').map(({ address, gateway, interface: index }) => ({
      address: textOf(address),
      gateway: textOf(gateway) === '' ? undefined : textOf(gateway),
      interface: typeof index === 'number' ? index : undefined,
    })),
    routes: list('routes').map(({ dst, gw }) => ({ dst: textOf(dst), gw: textOf(gw) === '' ? undefined : textOf(gw) })),
    raw,
  };
}

/** A failed plugin's own words: the protocol's error on its output, else what it wrote to its error stream. */
export function parseFailure(
  plugin: string,
  command: CniCommand,
  stdout: string,
  stderr: string,
  how: string,
): CniError {
  const said = parseJson(stdout);
  if (isRecord(said) && (typeof said['msg'] === 'string' || typeof said['code'] === 'number')) {
    const code = typeof said['code'] === 'number' ? said['code'] : undefined;
    const msg = typeof said['msg'] === 'string' && said['msg'] !== '' ? said['msg'] : 'no message';
    const details = typeof said['details'] === 'string' ? said['details'] : '';
    const kind = code === undefined || code >= 100 ? '' : ` (${describeCniCode(code)})`;
    return new CniError(
      `plugin "${plugin}" ${command}: ${msg}${details === '' ? '' : `: ${details}`}${kind}`,
      plugin,
      code,
      details,
    );
  }
  const words = stdout.trim() === '' ? stderr : stdout;
  return new CniError(`plugin "${plugin}" ${command} ${how}: ${shown(words)}`, plugin, undefined, '');
}

/** The versions in a plugin's answer to VERSION. @throws {CniError} */
export function parseVersions(text: string, plugin: string): string[] {
  const raw = parseJson(text);
  const versions = isRecord(raw) ? raw['supportedVersions'] : undefined;
  if (!Array.isArray(versions)) {
    throw new CniError(`plugin "${plugin}" answered no versions: ${shown(text)}`, plugin, undefined, '');
  }
  return versions.map(String);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // the caller says what it had expected
  }
}

function shown(text: string): string {
  const trimmed = text.trim();
  return trimmed === '' ? 'it said nothing' : trimmed.slice(-2000);
}
