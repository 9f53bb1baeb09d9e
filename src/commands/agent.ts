/** `gantry agent`: kubelet and kube-proxy in one process, with the kubelet's flags and one more for the proxy. */
import { systemClock } from '../base/clock.ts';
import { createLogger } from '../base/logger.ts';
import { runTogether } from '../base/run-together.ts';
import { stopSignal } from '../base/stop-signal.ts';
import { HttpApiClient } from '../client/http-api-client.ts';
import { loadKubeconfig } from '../client/kubeconfig.ts';
import { loadKubeletConfig, parseKubeletFlags } from '../kubelet/config.ts';
import { runKubelet } from '../kubelet/kubelet.ts';
import { configFiles, openApi, runNodeFirewall, withoutLimit } from './kubelet.ts';
import { loadProxyConfig, runProxy } from './kube-proxy.ts';
import { readProxyFlags } from './proxy-flags.ts';
import { staySmall } from './stay-small.ts';

const proxyFlag = 'proxy-config';

export async function run(args: readonly string[]): Promise<void> {
  const { proxyConfigPath, rest } = takeProxyFlag(args);
  const config = await loadKubeletConfig(parseKubeletFlags(rest), configFiles);
  const proxyConfig = await loadProxyConfig(proxyConfigPath, {
    hostnameOverride: config.nodeName,
    verbosity: config.verbosity,
  });
  const signal = stopSignal();
  const log = createLogger({ name: 'kubelet', verbosity: config.verbosity });
  const api = await openApi(config);
  const proxyApi =
    proxyConfig.kubeconfig === ''
      ? api
      : new HttpApiClient({
          access: await loadKubeconfig(proxyConfig.kubeconfig),
          clock: systemClock,
          userAgentName: 'kube-proxy',
          qps: proxyConfig.clientQps,
          burst: proxyConfig.clientBurst,
        });
  if (proxyApi === undefined) {
    throw new Error(
      'Cannot find the API server for kube-proxy: pass --kubeconfig, or name one in the proxy configuration',
    );
  }
  await runTogether(signal, [
    (s) =>
      runKubelet(
        {
          config,
          api,
          sideApi: withoutLimit(api),
          clock: systemClock,
          log,
        },
        s,
      ),
    (s) =>
      runProxy(
        proxyConfig,
        proxyApi,
        systemClock,
        createLogger({ name: 'kube-proxy', verbosity: config.verbosity }),
        s,
        readProxyFlags([`--config=${proxyConfigPath}`]).all,
      ),
    (s) => runNodeFirewall(config, log, s),
    (s) => staySmall({ clock: systemClock, log }, s),
  ]);
}

/** `--proxy-config FILE` or `--proxy-config=FILE`, and what is left for the kubelet. */
function takeProxyFlag(args: readonly string[]): { proxyConfigPath: string; rest: string[] } {
  const rest = [...args];
  const at = rest.findIndex((arg) => arg === `--${proxyFlag}` || arg.startsWith(`--${proxyFlag}=`));
  if (at < 0) throw new Error(`Cannot start the proxy: pass --${proxyFlag} FILE (a KubeProxyConfiguration)`);
  const [flag = ''] = rest.splice(at, 1);
  const path = flag.includes('=') ? flag.slice(flag.indexOf('=') + 1) : rest.splice(at, 1)[0];
  if (path === undefined || path === '') throw new Error(`Cannot start the proxy: --${proxyFlag} needs a file`);
  return { proxyConfigPath: path, rest };
}
