/**
 * Proves the pod network: reads the configuration as the runtime would, attaches a scratch namespace, reaches the
 * gateway from it, detaches, and looks for what was left behind. Whatever fails, the namespace goes.
 */
import { Cni, conflistPaths, pluginNames, readConflist } from '../adapters/cni/cni.ts';
import type { CniAttachment, CniNetworkList, CniResult } from '../adapters/cni/cni-types.ts';
import type { Clock } from '../base/clock.ts';
import { describeError, isNotFound } from '../base/errors.ts';
import { explainCni, missingPlugin } from './explain-cni.ts';
import { type Finding, fail, ok, skipped } from './finding.ts';
import { hostInterfaces, leaseDirectories, readLeases } from './leftovers.ts';
import { ScratchNamespace } from './scratch-namespace.ts';

export interface NetworkOptions {
  confDir: string;
  binDirs: readonly string[];
  /** Names the trial's namespace and container; unique on the machine. */
  trialName: string;
  pluginTimeoutMs: number;
}

export interface NetworkNeed {
  /** Rules of all tables that mention the trial's container. */
  rulesOf: (containerId: string, signal: AbortSignal) => Promise<string[]>;
  clock: Clock;
}

export async function checkNetwork(
  options: NetworkOptions,
  need: NetworkNeed,
  signal: AbortSignal,
): Promise<Finding[]> {
  const { binDirs, pluginTimeoutMs } = options;
  const cni = new Cni({ binDirs, timeoutMs: pluginTimeoutMs, clock: need.clock });
  const findings: Finding[] = [];
  const list = await readList(options.confDir, findings);
  if (list === undefined) return findings;
  await checkPlugins(cni, list, binDirs, findings, signal);
  if (findings.some(({ status }) => status === 'fail')) return findings;
  await tryNetwork(cni, list, options, need, findings, signal);
  return findings;
}

/** The first file counts, as for the runtime: a broken one hides those after it. */
async function readList(confDir: string, findings: Finding[]): Promise<CniNetworkList | undefined> {
  const id = 'cni.config';
  try {
    const [path] = await conflistPaths(confDir);
    if (path === undefined) {
      const fix = `install a network add-on, or write ${confDir}/10-gantry.conflist`;
      findings.push(fail(id, `no .conflist, .conf or .json file in ${confDir}`, fix));
      return undefined;
    }
    const list = await readConflist(path);
    const plugins = list.plugins.map(({ type }) => type).join(', ');
    findings.push(ok(id, `${path}: network "${list.name}", version ${list.cniVersion}, plugins ${plugins}`));
    return list;
  } catch (err) {
    findings.push(fail(id, describeError(err), 'correct the file, or remove it when another one shall count'));
    return undefined;
  }
}

async function checkPlugins(
  cni: Cni,
  list: CniNetworkList,
  binDirs: readonly string[],
  findings: Finding[],
  signal: AbortSignal,
): Promise<void> {
  const id = 'cni.plugins';
  const paths: string[] = [];
  for (const name of pluginNames(list)) {
    try {
      paths.push(await cni.findPlugin(name));
      const versions = await cni.versions(name, signal);
      if (!versions.includes(list.cniVersion)) {
        const what = `plugin "${name}" does not speak version ${list.cniVersion}, only ${versions.join(', ')}`;
        findings.push(fail(id, what, `set "cniVersion" in "${list.path}" to one of them, or install newer plugins`));
      }
    } catch (err) {
      const what = describeError(err);
      findings.push(
        isNotFound(err) ? missingPlugin(id, what, binDirs) : explainCni(id, err, { list, binDirs, leases: undefined }),
      );
    }
  }
  if (!findings.some((finding) => finding.id === id)) findings.push(ok(id, paths.join(', ')));
}

async function tryNetwork(
  cni: Cni,
  list: CniNetworkList,
  { binDirs, trialName }: NetworkOptions,
  need: NetworkNeed,
  findings: Finding[],
  signal: AbortSignal,
): Promise<void> {
  const namespace = new ScratchNamespace(trialName);
  const attachment: CniAttachment = {
    containerId: trialName,
    netns: namespace.path,
    ifName: 'eth0',
    args: [['IgnoreUnknown', '1']],
    runtimeConfig: {},
  };
  const context = async () => ({ list, binDirs, leases: await countLeases(list) });
  const interfacesBefore = await hostInterfaces();
  // a stop asks for an end of the trial, not for leaving it behind
  const cleanUpSignal = new AbortController().signal;
  try {
    await namespace.create(signal);
  } catch (err) {
    findings.push(
      fail(
        'cni.add',
        `no network namespace can be made: ${describeError(err)}`,
        'run as root, with iproute2 installed',
      ),
    );
    return;
  }
  let result: CniResult | undefined;
  try {
    const startMs = need.clock.monotonicMs();
    result = await cni.add(list, attachment, signal);
    const tookMs = Math.round(need.clock.monotonicMs() - startMs);
    findings.push(ok('cni.add', `eth0 with ${result.ips.map(({ address }) => address).join(', ')} in ${tookMs} ms`));
    await cni.check(list, attachment, result, signal);
    findings.push(...(await checkGateways(namespace, result, signal)));
  } catch (err) {
    findings.push(explainCni(result === undefined ? 'cni.add' : 'cni.check', err, await context()));
  }
  try {
    await cni.del(list, attachment, result, cleanUpSignal);
    findings.push(ok('cni.del', 'detached'));
    const left = [
      ...(await namespace.interfaces(cleanUpSignal)).map((name) => `interface ${name} in the namespace`),
      ...(await hostLeftovers(list, interfacesBefore, trialName, need, cleanUpSignal)),
    ];
    findings.push(
      left.length === 0
        ? ok('cni.leftovers', 'nothing is left behind: no interface, no lease, no rule')
        : fail(
            'cni.leftovers',
            `DEL left behind: ${left.join(', ')}`,
            'pods will leak the same; update the plugins, and remove what is named',
          ),
    );
  } catch (err) {
    findings.push(explainCni('cni.del', err, await context()));
  } finally {
    await namespace.remove(cleanUpSignal);
  }
}

async function checkGateways(namespace: ScratchNamespace, result: CniResult, signal: AbortSignal): Promise<Finding[]> {
  const id = 'cni.gateway';
  const gateways = [...new Set(result.ips.map(({ gateway }) => gateway).filter((gateway) => gateway !== undefined))];
  if (gateways.length === 0) return [skipped(id, 'the result names no gateway')];
  const findings: Finding[] = [];
  for (const gateway of gateways) {
    const failure = await namespace.reach(gateway, signal);
    findings.push(
      failure === undefined
        ? ok(id, `${gateway} answers from the pod's side`)
        : fail(
            id,
            `${gateway}: ${failure}`,
            "look at the bridge (ip link), the node's firewall (iptables -S INPUT) and rp_filter",
          ),
    );
  }
  return findings;
}

async function hostLeftovers(
  list: CniNetworkList,
  before: ReadonlyMap<string, unknown>,
  containerId: string,
  { rulesOf }: NetworkNeed,
  signal: AbortSignal,
): Promise<string[]> {
  const left: string[] = [];
  for (const [name, { isBridge }] of await hostInterfaces()) {
    // the network's bridge is made by the first pod and stays
    if (!before.has(name) && !isBridge) left.push(`interface ${name}`);
  }
  for (const directory of leaseDirectories(list)) {
    for (const lease of await readLeases(directory)) {
      if (lease.containerId === containerId) left.push(`lease ${directory}/${lease.address}`);
    }
  }
  left.push(...(await rulesOf(containerId, signal)).map((rule) => `rule "${rule}"`));
  return left;
}

async function countLeases(list: CniNetworkList): Promise<{ directory: string; count: number } | undefined> {
  const [directory] = leaseDirectories(list);
  return directory === undefined ? undefined : { directory, count: (await readLeases(directory)).length };
}
