/** kube-proxy's flags. Most are fields of its configuration under another name, and one parser checks both. */
import { Command } from 'commander';
import { isRecord } from '../proxy/config-fields.ts';
import { defaultedDocument } from '../proxy/default-proxy-config.ts';
import { parseProxyConfig } from '../proxy/parse-proxy-config.ts';
import type { ProxyConfig } from '../proxy/proxy-config.ts';
import { servedModes } from './proxy-backends/backends.ts';

type FlagType = 'text' | 'number' | 'boolean' | 'list' | 'gates';

interface Flag {
  name: string;
  type: FlagType;
  help: string;
  /** Paths of the configuration's fields that it sets. */
  fields?: readonly string[];
}

const field = (name: string, type: FlagType, fields: string, help: string): Flag => ({
  name,
  type,
  help,
  fields: fields.split(' '),
});
const own = (name: string, type: FlagType, help: string): Flag => ({ name, type, help });

const flags: readonly Flag[] = [
  own(
    'config',
    'text',
    'KubeProxyConfiguration; of the other flags only those of logging and the node name count then',
  ),
  own('version', 'boolean', 'print the version and exit'),
  own('write-config-to', 'text', 'write the configuration with all defaults to this file, and exit'),
  own('cleanup', 'boolean', 'remove all rules of kube-proxy, of every mode, and exit'),
  own('init-only', 'boolean', 'do what needs privileges, and exit'),
  own('master', 'text', "the API server's URL; wins over the kubeconfig's"),
  own('boot-id-file', 'text', 'no effect, as upstream'),
  own('machine-id-file', 'text', 'no effect, as upstream'),
  own('healthz-port', 'number', 'deprecated: port of the health server; 0: none'),
  own('metrics-port', 'number', 'deprecated: port of the metrics server'),
  field('kubeconfig', 'text', 'clientConnection.kubeconfig', 'credentials for the API server; none: those of the pod'),
  field('kube-api-qps', 'number', 'clientConnection.qps', 'requests per second to the API server (5)'),
  field('kube-api-burst', 'number', 'clientConnection.burst', 'requests at once to the API server (10)'),
  field('kube-api-content-type', 'text', 'clientConnection.contentType', 'JSON is spoken in any case'),
  field('hostname-override', 'text', 'hostnameOverride', "the node's name, where it is not the machine's"),
  field('proxy-mode', 'text', 'mode', `${servedModes.join(', ')}; blank: iptables`),
  field('cluster-cidr', 'text', 'clusterCIDR', "the pods' addresses; traffic from elsewhere is masqueraded"),
  field('detect-local-mode', 'text', 'detectLocalMode', 'ClusterCIDR, NodeCIDR, BridgeInterface, InterfaceNamePrefix'),
  field('pod-bridge-interface', 'text', 'detectLocal.bridgeInterface', 'for --detect-local-mode=BridgeInterface'),
  field('pod-interface-name-prefix', 'text', 'detectLocal.interfaceNamePrefix', 'for InterfaceNamePrefix'),
  field('nodeport-addresses', 'list', 'nodePortAddresses', 'CIDRs, or "primary"; empty: all addresses'),
  field('masquerade-all', 'boolean', 'iptables.masqueradeAll nftables.masqueradeAll', 'masquerade all Service traffic'),
  field('iptables-masquerade-bit', 'number', 'iptables.masqueradeBit', 'of the mark for packets to masquerade (14)'),
  field('iptables-localhost-nodeports', 'boolean', 'iptables.localhostNodePorts', 'NodePorts on 127.0.0.1, too (true)'),
  field('iptables-sync-period', 'text', 'iptables.syncPeriod nftables.syncPeriod', 'time until a retry (30s)'),
  field('iptables-min-sync-period', 'text', 'iptables.minSyncPeriod nftables.minSyncPeriod', 'between two syncs (1s)'),
  field('ipvs-sync-period', 'text', 'ipvs.syncPeriod', 'time between two syncs in mode ipvs (30s)'),
  field('ipvs-min-sync-period', 'text', 'ipvs.minSyncPeriod', 'least time between two syncs in mode ipvs (0s)'),
  field('ipvs-scheduler', 'text', 'ipvs.scheduler', 'how mode ipvs chooses endpoints (rr)'),
  field('ipvs-exclude-cidrs', 'list', 'ipvs.excludeCIDRs', "virtual servers that are somebody else's"),
  field('ipvs-strict-arp', 'boolean', 'ipvs.strictARP', 'arp_ignore=1 and arp_announce=2'),
  field('ipvs-tcp-timeout', 'text', 'ipvs.tcpTimeout', '0: leave it'),
  field('ipvs-tcpfin-timeout', 'text', 'ipvs.tcpFinTimeout', '0: leave it'),
  field('ipvs-udp-timeout', 'text', 'ipvs.udpTimeout', '0: leave it'),
  field('conntrack-max-per-core', 'number', 'conntrack.maxPerCore', 'connections per CPU; 0: leave it (32768)'),
  field('conntrack-min', 'number', 'conntrack.min', 'connections at least (131072)'),
  field('conntrack-tcp-timeout-established', 'text', 'conntrack.tcpEstablishedTimeout', '0: leave it (24h)'),
  field('conntrack-tcp-timeout-close-wait', 'text', 'conntrack.tcpCloseWaitTimeout', '0: leave it (1h)'),
  field('conntrack-tcp-be-liberal', 'boolean', 'conntrack.tcpBeLiberal', 'take packets out of window as valid'),
  field('conntrack-udp-timeout', 'text', 'conntrack.udpTimeout', '0: leave it'),
  field('conntrack-udp-timeout-stream', 'text', 'conntrack.udpStreamTimeout', '0: leave it'),
  field('config-sync-period', 'text', 'configSyncPeriod', 'nothing depends on it: changes are not missed (15m)'),
  field('healthz-bind-address', 'text', 'healthzBindAddress', 'health server; empty: none (0.0.0.0:10256)'),
  field('metrics-bind-address', 'text', 'metricsBindAddress', 'metrics server (127.0.0.1:10249)'),
  field('bind-address', 'text', 'bindAddress', "this node's address, where it is not the Node object's"),
  field('bind-address-hard-fail', 'boolean', 'bindAddressHardFail', 'end when a port cannot be bound'),
  field('profiling', 'boolean', 'enableProfiling', 'serve /debug on the metrics server'),
  field('oom-score-adj', 'number', 'oomScoreAdj', 'of this process (-999)'),
  field('show-hidden-metrics-for-version', 'text', 'showHiddenMetricsForVersion', 'there are none'),
  field('feature-gates', 'gates', 'featureGates', 'Name=true,...'),
  field('v', 'number', 'logging.verbosity', 'log verbosity'),
  field('vmodule', 'list', 'logging.vmodule', 'not served'),
  field('logging-format', 'text', 'logging.format', 'text or json: lines are JSON in any case'),
  field('log-flush-frequency', 'text', 'logging.flushFrequency', 'lines are written at once'),
  field('log-text-split-stream', 'boolean', 'logging.options.text.splitStream', 'not served'),
  field('log-text-info-buffer-size', 'text', 'logging.options.text.infoBufferSize', 'lines are not buffered'),
  field('log-json-split-stream', 'boolean', 'logging.options.json.splitStream', 'not served'),
  field('log-json-info-buffer-size', 'text', 'logging.options.json.infoBufferSize', 'lines are not buffered'),
];

export interface ProxyFlags {
  configPath: string | undefined;
  writeConfigTo: string | undefined;
  isVersion: boolean;
  isCleanup: boolean;
  isInitOnly: boolean;
  master: string;
  /** What wins over a configuration file. */
  overrides: { hostnameOverride?: string | undefined; verbosity?: number | undefined };
  /** The fields that flags set, as a document of the configuration. */
  document: Record<string, unknown>;
  /** Every flag, as given or with its default. */
  all: Readonly<Record<string, string>>;
}

/** @throws {Error} for a flag that is not known */
export function readProxyFlags(args: readonly string[]): ProxyFlags {
  const program = new Command('kube-proxy').description('Programs Services into the kernel of this node.');
  for (const { name, type, help } of flags) {
    const value = type === 'boolean' ? '[bool]' : `<${type}>`;
    program.option(name === 'v' ? `-v, --v ${value}` : `--${name} ${value}`, help);
  }
  program.allowExcessArguments(false);
  program.parse(args.map(dashed), { from: 'user' });
  const values = program.opts<Record<string, string | true | undefined>>();
  const given: Record<string, string> = {};
  for (const { name } of flags) {
    const value = values[camelCase(name)];
    if (value !== undefined) given[name] = value === true ? 'true' : value;
  }
  const document: Record<string, unknown> = {};
  for (const { name, type, fields = [] } of flags) {
    const text = given[name];
    if (text !== undefined) for (const path of fields) put(document, path.split('.'), valueOf(text, type));
  }
  foldPort(document, 'healthzBindAddress', given['healthz-port'], '0.0.0.0');
  foldPort(document, 'metricsBindAddress', given['metrics-port'], '127.0.0.1');
  return {
    configPath: given['config'],
    writeConfigTo: given['write-config-to'],
    isVersion: (given['version'] ?? 'false') !== 'false',
    isCleanup: given['cleanup'] === 'true',
    isInitOnly: given['init-only'] === 'true',
    master: given['master'] ?? '',
    overrides: {
      hostnameOverride: given['hostname-override'],
      verbosity: given['v'] === undefined ? undefined : Number(given['v']),
    },
    document,
    all: { ...flagDefaults(), ...given },
  };
}

function flagDefaults(): Record<string, string> {
  const document = defaultedDocument({}, true);
  return Object.fromEntries(
    flags.map(({ name, type, fields = [] }) => {
      const [path = ''] = fields;
      const value = path === '' ? undefined : at(document, path.split('.'));
      const isPlain = typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean';
      return [name, isPlain ? String(value) : type === 'boolean' ? 'false' : ''];
    }),
  );
}

function at(value: unknown, [name, ...rest]: readonly string[]): unknown {
  return name === undefined ? value : isRecord(value) ? at(value[name], rest) : undefined;
}

/** The configuration that the flags make without a file. @throws {ConfigError} */
export function configOfFlags({ document }: Pick<ProxyFlags, 'document'>): ProxyConfig {
  return parseProxyConfig(document, { source: 'flags', isZeroMeant: true, servedModes });
}

/** `--a_b` is `--a-b`. */
function dashed(arg: string): string {
  if (!arg.startsWith('--')) return arg;
  const [name = '', ...rest] = arg.split('=');
  return [name.replaceAll('_', '-'), ...rest].join('=');
}

const camelCase = (name: string): string => name.replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());

/** A value that is none of its type stays a text: the parser names it. */
function valueOf(text: string, type: FlagType): unknown {
  switch (type) {
    case 'number':
      return text.trim() === '' || Number.isNaN(Number(text)) ? text : Number(text);
    case 'boolean':
      return /^(true|t|1)$/i.test(text) ? true : /^(false|f|0)$/i.test(text) ? false : text;
    case 'list':
      return text.split(',').filter((part) => part !== '');
    case 'gates':
      return Object.fromEntries(
        text
          .split(',')
          .filter((part) => part !== '')
          .map((part) => part.split('='))
          .map(([name = '', value = '']) => [name.trim(), valueOf(value.trim(), 'boolean')]),
      );
    case 'text':
      return text;
  }
}

function put(document: Record<string, unknown>, [name = '', ...rest]: readonly string[], value: unknown): void {
  if (rest.length === 0) {
    document[name] = value;
    return;
  }
  const inner = document[name];
  const nested = isRecord(inner) ? { ...inner } : {};
  put(nested, rest, value);
  document[name] = nested;
}

/** The deprecated port flags: 0 switches a server off; else the port of an address that names none. */
function foldPort(document: Record<string, unknown>, name: string, port: string | undefined, host: string): void {
  if (port === undefined) return;
  const address = document[name];
  if (port === '0') document[name] = '';
  else if (address === undefined) document[name] = `${host}:${port}`;
  else if (typeof address === 'string' && /^[\d.]+$/.test(address)) document[name] = `${address}:${port}`;
}
