/**
 * The CNI protocol from the runtime's side, spec 0.3 to 1.1.
 *
 * Owns: finding configuration and plugins, and the calls: one plugin after the other, each with the result of the one
 * before, in reverse for DEL.
 * Promises: failures are `CniError` with the plugin's own words, a missing binary is `NotFoundError` naming where it
 * was looked for; a plugin that takes too long is killed with what it started. The caller must DEL after a failed ADD.
 * Needs: directories, a clock.
 */
import { access, constants, readFile, readdir } from 'node:fs/promises';
import { extname, join } from 'node:path';
import type { Clock } from '../../base/clock.ts';
import { withDeadline } from '../../base/deadline.ts';
import { NotFoundError } from '../../base/errors.ts';
import { type CniAttachment, CniError, type CniNetworkList, type CniPlugin, type CniResult } from './cni-types.ts';
import { cniIdentifier, isRecord, parseConflist } from './parse-conflist.ts';
import {
  type CniCommand,
  parseFailure,
  parseResult,
  parseVersions,
  pluginEnvironment,
  pluginInput,
} from './plugin-request.ts';
import { runPlugin } from './run-plugin.ts';

export interface CniOptions {
  /** Where plugins are looked for, in order. */
  binDirs: readonly string[];
  /** The longest that one plugin may take. */
  timeoutMs: number;
  clock: Clock;
}

const configEndings = new Set(['.conf', '.conflist', '.json']);

/** Paths of the configuration files in a directory, in the order in which runtimes take them: the first counts. */
export async function conflistPaths(directory: string): Promise<string[]> {
  let names: string[];
  try {
    names = await readdir(directory);
  } catch (err) {
    if (err instanceof Error && 'code' in err && err.code === 'ENOENT') return [];
    throw new Error(`Cannot read the CNI configuration directory "${directory}"`, { cause: err });
  }
  return names
    .filter((name) => configEndings.has(extname(name)))
    .toSorted()
    .map((name) => join(directory, name));
}

/** @throws {ConfigError} with everything that is wrong in the file */
export async function readConflist(path: string): Promise<CniNetworkList> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (err) {
    throw new Error(`Cannot read CNI configuration "${path}"`, { cause: err });
  }
  return parseConflist(text, path);
}

/** Names of all binaries that a list needs: its plugins, and the IPAM plugins that those call. */
export function pluginNames({ plugins }: Pick<CniNetworkList, 'plugins'>): string[] {
  const names = plugins.flatMap(({ type, config }) => {
    const { ipam } = config;
    return isRecord(ipam) && typeof ipam['type'] === 'string' ? [type, ipam['type']] : [type];
  });
  return [...new Set(names)];
}

export class Cni {
  readonly #options: CniOptions;

  constructor(options: CniOptions) {
    this.#options = options;
  }

  /** The binary's path. @throws {NotFoundError} naming every directory that was looked in */
  async findPlugin(name: string): Promise<string> {
    for (const directory of this.#options.binDirs) {
      const path = join(directory, name);
      try {
        await access(path, constants.X_OK);
        return path;
      } catch {
        // perhaps in the next one
      }
    }
    throw new NotFoundError(`Cannot find CNI plugin "${name}" in ${this.#options.binDirs.join(', ')}`);
  }

  /** Attaches: every plugin in turn. @returns the last one's result @throws {CniError | NotFoundError | DeadlineError} */
  async add(list: CniNetworkList, attachment: CniAttachment, signal: AbortSignal): Promise<CniResult> {
    checkAttachment(attachment);
    let result: CniResult | undefined;
    for (const plugin of list.plugins) {
      const answer = await this.#call('ADD', list, plugin, attachment, result, signal);
      result = parseResult(answer, plugin.type, list.cniVersion);
    }
    if (result === undefined) throw new CniError(`network "${list.name}" has no plugins`, '', undefined, '');
    return result;
  }

  /**
   * Detaches: the plugins in reverse. What is gone already is no failure.
   * @param result of the ADD, where it is known: plugins undo by it what they cannot find out themselves
   */
  async del(
    list: CniNetworkList,
    attachment: CniAttachment,
    result: CniResult | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    checkAttachment(attachment);
    for (const plugin of list.plugins.toReversed()) {
      await this.#call('DEL', list, plugin, attachment, result, signal);
    }
  }

  /** Whether the attachment is as ADD left it. @throws {CniError} when it is not */
  async check(list: CniNetworkList, attachment: CniAttachment, result: CniResult, signal: AbortSignal): Promise<void> {
    checkAttachment(attachment);
    // versions before 0.4 do not have the call
    if (list.disableCheck || list.cniVersion.startsWith('0.3.')) return;
    for (const plugin of list.plugins) await this.#call('CHECK', list, plugin, attachment, result, signal);
  }

  /** The protocol versions that a plugin says it speaks. */
  async versions(name: string, signal: AbortSignal): Promise<string[]> {
    const env = pluginEnvironment('VERSION', undefined, this.#options.binDirs);
    const input = JSON.stringify({ cniVersion: '1.0.0' });
    return parseVersions(await this.#run('VERSION', name, env, input, signal), name);
  }

  #call(
    command: CniCommand,
    list: CniNetworkList,
    plugin: CniPlugin,
    attachment: CniAttachment,
    previous: CniResult | undefined,
    signal: AbortSignal,
  ): Promise<string> {
    const env = pluginEnvironment(command, attachment, this.#options.binDirs);
    const input = pluginInput(list, plugin, attachment.runtimeConfig, previous);
    return this.#run(command, plugin.type, env, input, signal);
  }

  async #run(
    command: CniCommand,
    name: string,
    env: Record<string, string>,
    input: string,
    signal: AbortSignal,
  ): Promise<string> {
    const { clock, timeoutMs } = this.#options;
    const path = await this.findPlugin(name);
    const { exitCode, stdout, stderr } = await withDeadline(
      `CNI plugin "${name}" ${command}`,
      timeoutMs,
      clock,
      signal,
      (inner) => runPlugin(path, env, input, clock, inner),
    );
    if (exitCode === 0) return stdout;
    const how = exitCode === undefined ? 'was killed' : `exited with code ${exitCode}`;
    throw parseFailure(name, command, stdout, stderr, how);
  }
}

function checkAttachment({ containerId, ifName }: CniAttachment): void {
  if (!cniIdentifier.test(containerId)) {
    throw new Error(`Cannot attach container "${containerId}": its id must be letters, digits, "_", "." and "-"`);
  }
  if (!/^[^\s/:]{1,15}$/.test(ifName) || ifName === '.' || ifName === '..') {
    throw new Error(`Cannot attach container "${containerId}": "${ifName}" is no name of an interface`);
  }
}
