/** The kubelet's command line, as upstream's flag library reads it: `--name=value`, `--name value`, `_` for `-`. Pure. */
import { type Field, type FieldPath, type FieldValues, kubeletFields } from './config-fields.ts';
import { parseDurationMs, readFlagValue } from './config-values.ts';

/** Flags that have no field in the configuration file. */
export interface KubeletFlags {
  /** Path of the KubeletConfiguration file; empty for none. */
  config: string;
  configDir: string;
  kubeconfig: string;
  bootstrapKubeconfig: string;
  hostnameOverride: string;
  nodeIp: string;
  rootDir: string;
  certDir: string;
  cloudProvider: '' | 'external';
  /** A file, or a folder of files; empty for no plugins. */
  imageCredentialProviderConfig: string;
  imageCredentialProviderBinDir: string;
  /** As written: `a=b,c=d`, already split. */
  nodeLabels: Readonly<Record<string, string>>;
  containerGarbage: { minAgeMs: number; maxPerContainer: number; maxTotal: number };
  ignoreEvictionInAllocatable: boolean;
  /** Print the version and end. */
  wantsVersion: boolean;
  /** Values of configuration fields given as flags: they win over the file. */
  fields: Partial<FieldValues>;
}

type OwnFlag =
  | 'config'
  | 'config-dir'
  | 'kubeconfig'
  | 'bootstrap-kubeconfig'
  | 'hostname-override'
  | 'node-ip'
  | 'root-dir'
  | 'cert-dir'
  | 'cloud-provider'
  | 'image-credential-provider-config'
  | 'image-credential-provider-bin-dir'
  | 'node-labels'
  | 'minimum-container-ttl-duration'
  | 'maximum-dead-containers-per-container'
  | 'maximum-dead-containers';

const ownFlags: Record<OwnFlag, string> = {
  config: '',
  'config-dir': '',
  kubeconfig: '',
  'bootstrap-kubeconfig': '',
  'hostname-override': '',
  'node-ip': '',
  'root-dir': '/var/lib/kubelet',
  'cert-dir': '/var/lib/kubelet/pki',
  'cloud-provider': '',
  'image-credential-provider-config': '',
  'image-credential-provider-bin-dir': '',
  'node-labels': '',
  'minimum-container-ttl-duration': '0s',
  'maximum-dead-containers-per-container': '1',
  'maximum-dead-containers': '-1',
};

const isOwnFlag = (name: string): name is OwnFlag => Object.hasOwn(ownFlags, name);

/** Known flags that are refused unless they say what we do anyway. */
const refusedFlags: ReadonlyMap<string, { allowed: string; fix: string }> = new Map(
  Object.entries({
    'runtime-cgroups': { allowed: '', fix: 'leave it out' },
    'lock-file': { allowed: '', fix: 'leave it out' },
    'exit-on-lock-contention': { allowed: 'false', fix: 'leave it out' },
    vmodule: { allowed: '', fix: 'use --v for the whole process' },
    'experimental-mounter-path': { allowed: '', fix: 'leave it out' },
    'housekeeping-interval': { allowed: '10s', fix: 'leave it out' },
    'max-housekeeping-interval': { allowed: '15s', fix: 'leave it out' },
  }),
);

const goneFlags = [
  'container-runtime',
  'network-plugin',
  'pod-infra-container-image',
  'keep-terminated-pod-volumes',
  'register-schedulable',
  'cloud-config',
];

const fieldByFlag: ReadonlyMap<string, FieldPath> = new Map(
  (Object.entries(kubeletFields) as Array<[FieldPath, Field<unknown>]>).flatMap(([path, { flag }]) =>
    flag === undefined ? [] : [[flag, path] as const],
  ),
);

const ignoreEvictionFlag = 'experimental-allocatable-ignore-eviction';

/** Problems are texts for the user; the flags are usable only when there are none. */
export function parseKubeletFlags(args: readonly string[]): { flags: KubeletFlags; problems: string[] } {
  const problems: string[] = [];
  const own: Record<OwnFlag, string> = { ...ownFlags };
  const fields: Record<string, unknown> = {};
  let ignoreEvictionInAllocatable = false;
  let wantsVersion = false;

  for (const { name, value, problem } of splitArgs(args)) {
    if (problem !== undefined) {
      problems.push(problem);
    } else if (name === 'version') {
      wantsVersion = value !== 'false';
    } else if (name === ignoreEvictionFlag) {
      ignoreEvictionInAllocatable = value === 'true';
    } else if (isOwnFlag(name)) {
      own[name] = value;
    } else if (goneFlags.includes(name)) {
      problems.push(`--${name} no longer exists: leave it out`);
    } else if (refusedFlags.has(name)) {
      const { allowed = '', fix = '' } = refusedFlags.get(name) ?? {};
      if (value !== allowed) problems.push(`--${name}=${value} is not supported: ${fix}`);
    } else {
      readField(name, value, fields, problems);
    }
  }

  const nodeLabels = readLabels(own['node-labels'], problems);
  const containerGarbage = readGarbage(own, problems);
  const cloudProvider = own['cloud-provider'];
  if (cloudProvider !== '' && cloudProvider !== 'external') {
    problems.push(`--cloud-provider=${cloudProvider} is not supported: it must be "external" or left out`);
  }
  const flags: KubeletFlags = {
    config: own.config,
    configDir: own['config-dir'],
    kubeconfig: own.kubeconfig,
    bootstrapKubeconfig: own['bootstrap-kubeconfig'],
    hostnameOverride: own['hostname-override'],
    nodeIp: own['node-ip'],
    rootDir: own['root-dir'],
    certDir: own['cert-dir'],
    cloudProvider: cloudProvider === 'external' ? 'external' : '',
    imageCredentialProviderConfig: own['image-credential-provider-config'],
    imageCredentialProviderBinDir: own['image-credential-provider-bin-dir'],
    nodeLabels,
    containerGarbage,
    ignoreEvictionInAllocatable,
    wantsVersion,
    fields: fields as Partial<FieldValues>, // each value was read by its field's kind
  };
  return { flags, problems };
}

function readField(name: string, text: string, fields: Record<string, unknown>, problems: string[]): void {
  const path = fieldByFlag.get(name);
  if (path === undefined) {
    problems.push(`unknown flag: --${name}`);
    return;
  }
  const read = readFlagValue(path, text);
  if ('problem' in read) {
    problems.push(`--${name}: ${read.problem}`);
    return;
  }
  const { kind }: Field<unknown> = kubeletFields[path];
  const before = fields[path];
  // given twice: lists and gates add up, everything else is replaced
  if (kind === 'boolMap' && before !== undefined) fields[path] = { ...(before as object), ...(read.value as object) };
  else if ((kind === 'strings' || kind === 'taints') && Array.isArray(before) && Array.isArray(read.value)) {
    fields[path] = [...(before as unknown[]), ...(read.value as unknown[])];
  } else fields[path] = read.value;
}

function readGarbage(own: Record<OwnFlag, string>, problems: string[]): KubeletFlags['containerGarbage'] {
  const count = (name: OwnFlag): number => {
    if (!/^[+-]?\d+$/.test(own[name])) problems.push(`--${name}: ${JSON.stringify(own[name])} is not a whole number`);
    return Number(own[name]);
  };
  const age = own['minimum-container-ttl-duration'];
  const minAgeMs = parseDurationMs(age);
  if (minAgeMs === undefined || minAgeMs < 0) {
    problems.push(`--minimum-container-ttl-duration: ${JSON.stringify(age)} is not a duration like "1m"`);
  }
  return {
    minAgeMs: minAgeMs ?? 0,
    maxPerContainer: count('maximum-dead-containers-per-container'),
    maxTotal: count('maximum-dead-containers'),
  };
}

function readLabels(text: string, problems: string[]): Record<string, string> {
  const labels: Record<string, string> = {};
  for (const part of text.split(',').filter((piece) => piece.trim() !== '')) {
    const at = part.indexOf('=');
    if (at < 1) problems.push(`--node-labels: "${part}" is not of the form key=value`);
    else labels[part.slice(0, at).trim()] = part.slice(at + 1).trim();
  }
  return labels;
}

interface Arg {
  name: string;
  value: string;
  problem?: string;
}

const boolFlags: ReadonlySet<string> = new Set([
  'version',
  'exit-on-lock-contention',
  ignoreEvictionFlag,
  ...[...fieldByFlag].filter(([, path]) => kubeletFields[path].kind === 'bool').map(([flag]) => flag),
]);

const isKnownFlag = (name: string): boolean =>
  isOwnFlag(name) || refusedFlags.has(name) || goneFlags.includes(name) || fieldByFlag.has(name);

function splitArgs(args: readonly string[]): Arg[] {
  const found: Arg[] = [];
  for (let i = 0; i < args.length; i++) {
    const arg = args[i] ?? '';
    const match = /^(?:--([A-Za-z0-9][\w.-]*)|-(v))(?:=([\s\S]*))?$/.exec(arg);
    if (match === null) {
      found.push({
        name: '',
        value: '',
        problem: arg.startsWith('-') ? `unknown flag: ${arg}` : `unknown command ${arg}`,
      });
      continue;
    }
    const name = (match[1] ?? match[2] ?? '').replaceAll('_', '-');
    // what follows an unknown flag may be its value or the next flag
    const isAlone = boolFlags.has(name) || (!isKnownFlag(name) && args[i + 1]?.startsWith('-') !== false);
    const value = match[3] ?? (isAlone ? 'true' : args[++i]);
    if (value === undefined) found.push({ name, value: '', problem: `flag needs an argument: --${name}` });
    else found.push({ name, value });
  }
  return found;
}
