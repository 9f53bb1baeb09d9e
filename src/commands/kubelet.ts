/** `gantry kubelet`: flags and files → typed config → kubelet → run until a signal. */
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Iptables } from '../adapters/iptables/iptables.ts';
import { systemClock } from '../base/clock.ts';
import { NotFoundError } from '../base/errors.ts';
import { type Logger, createLogger } from '../base/logger.ts';
import { aborted, runTogether } from '../base/run-together.ts';
import { stopSignal } from '../base/stop-signal.ts';
import { gantryVersion } from '../base/version.ts';
import { HttpApiClient } from '../client/http-api-client.ts';
import { loadKubeconfig } from '../client/kubeconfig.ts';
import { type ConfigFiles, type KubeletConfig, loadKubeletConfig, parseKubeletFlags } from '../kubelet/config.ts';
import { runKubelet } from '../kubelet/kubelet.ts';
import { runFirewall } from '../kubelet/support/firewall/firewall.ts';
import { staySmall } from './stay-small.ts';

export async function run(args: readonly string[]): Promise<void> {
  const parsed = parseKubeletFlags(args);
  if (parsed.flags.wantsVersion) {
    process.stdout.write(`Kubernetes ${gantryVersion}\n`);
    return;
  }
  const config = await loadKubeletConfig(parsed, configFiles);
  const signal = stopSignal();
  const log = createLogger({ name: 'kubelet', verbosity: config.verbosity });
  const api = await openApi(config);
  await runTogether(signal, [
    (s) => runKubelet({ config, api, sideApi: withoutLimit(api), clock: systemClock, log }, s),
    (s) => runNodeFirewall(config, log, s),
    (s) => staySmall({ clock: systemClock, log }, s),
  ]);
}

/** Chains of iptables that a node has beside those of kube-proxy, unless it shall have none. */
export function runNodeFirewall(config: KubeletConfig, log: Logger, signal: AbortSignal): Promise<void> {
  if (!config.makeIptablesUtilChains) return aborted(signal);
  const tools = { IPv4: new Iptables({ family: 'IPv4' }), IPv6: new Iptables({ family: 'IPv6' }) };
  return runFirewall({ tools, clock: systemClock, log: log.child({ room: 'firewall' }) }, signal);
}

/** The kubelet's client of the API server; undefined without a kubeconfig. */
export async function openApi(config: KubeletConfig): Promise<HttpApiClient | undefined> {
  if (config.kubeconfigPath === '') return undefined;
  return new HttpApiClient({
    access: await loadKubeconfig(config.kubeconfigPath),
    clock: systemClock,
    userAgentName: 'kubelet',
    qps: config.kubeApiQps,
    burst: config.kubeApiBurst,
  });
}

/** The same connection without the limit on requests: who uses it keeps his own measure. */
export const withoutLimit = (api: HttpApiClient | undefined): HttpApiClient | undefined => api?.withLimit();

export const configFiles: ConfigFiles = {
  readFile: async (path) => {
    try {
      return await readFile(path, 'utf8');
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw cause;
      throw new NotFoundError(`there is no file "${path}"`, { cause });
    }
  },
  listFiles: async (folder) => {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true });
    return entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name));
  },
};
