/** The fields of `KubeProxyConfiguration` (kubeproxy.config.k8s.io/v1alpha1), and a strict reader of them. Pure. */

/** A leaf's type; durations are strings of Go's form, `1h30m`. An object nests. `any`: looked at by its user only. */
type FieldType = 'string' | 'boolean' | 'integer' | 'number' | 'duration' | 'flush' | 'strings' | 'any';
interface Fields {
  readonly [name: string]: FieldType | Fields;
}

export const proxyConfigFields = {
  apiVersion: 'string',
  kind: 'string',
  featureGates: 'any',
  clientConnection: {
    kubeconfig: 'string',
    acceptContentTypes: 'string',
    contentType: 'string',
    qps: 'number',
    burst: 'integer',
  },
  logging: {
    format: 'string',
    flushFrequency: 'flush',
    verbosity: 'integer',
    vmodule: 'any',
    options: {
      text: { splitStream: 'boolean', infoBufferSize: 'any' },
      json: { splitStream: 'boolean', infoBufferSize: 'any' },
    },
  },
  hostnameOverride: 'string',
  bindAddress: 'string',
  healthzBindAddress: 'string',
  metricsBindAddress: 'string',
  bindAddressHardFail: 'boolean',
  enableProfiling: 'boolean',
  showHiddenMetricsForVersion: 'string',
  mode: 'string',
  iptables: {
    masqueradeBit: 'integer',
    masqueradeAll: 'boolean',
    localhostNodePorts: 'boolean',
    syncPeriod: 'duration',
    minSyncPeriod: 'duration',
  },
  ipvs: {
    syncPeriod: 'duration',
    minSyncPeriod: 'duration',
    scheduler: 'string',
    excludeCIDRs: 'strings',
    strictARP: 'boolean',
    tcpTimeout: 'duration',
    tcpFinTimeout: 'duration',
    udpTimeout: 'duration',
  },
  nftables: {
    masqueradeBit: 'integer',
    masqueradeAll: 'boolean',
    syncPeriod: 'duration',
    minSyncPeriod: 'duration',
  },
  winkernel: 'any',
  detectLocalMode: 'string',
  detectLocal: { bridgeInterface: 'string', interfaceNamePrefix: 'string' },
  clusterCIDR: 'string',
  nodePortAddresses: 'strings',
  oomScoreAdj: 'integer',
  conntrack: {
    maxPerCore: 'integer',
    min: 'integer',
    tcpEstablishedTimeout: 'duration',
    tcpCloseWaitTimeout: 'duration',
    tcpBeLiberal: 'boolean',
    udpTimeout: 'duration',
    udpStreamTimeout: 'duration',
  },
  configSyncPeriod: 'duration',
  portRange: 'string',
  windowsRunAsService: 'boolean',
} as const satisfies Fields;

/** Reads fields by dotted path. */
export class FieldReader {
  readonly #raw: Record<string, unknown>;

  /** Names wrong types in `problems`, and fields that nobody knows in `unknown`. */
  constructor(raw: Record<string, unknown>, problems: string[], unknown: string[]) {
    this.#raw = raw;
    checkFields(raw, proxyConfigFields, '', problems, unknown);
  }

  /** Undefined when absent, null or of the wrong type (which `problems` tells). */
  #at(path: string): unknown {
    let at: unknown = this.#raw;
    for (const part of path.split('.')) at = isRecord(at) ? at[part] : undefined;
    return at ?? undefined;
  }

  any(path: string): unknown {
    return this.#at(path);
  }

  text(path: string): string {
    const value = this.#at(path);
    return typeof value === 'string' ? value.trim() : '';
  }

  flag(path: string, fallback: boolean): boolean {
    const value = this.#at(path);
    return typeof value === 'boolean' ? value : fallback;
  }

  number(path: string, fallback: number): number {
    const value = this.#at(path);
    return typeof value === 'number' ? value : fallback;
  }

  texts(path: string): string[] {
    const value = this.#at(path);
    return Array.isArray(value) ? value.map((text) => String(text).trim()) : [];
  }

  durationMs(path: string): number {
    const value = this.#at(path);
    return typeof value === 'string' ? (parseDurationMs(value) ?? 0) : 0; // checkFields has named what is none
  }
}

function checkFields(
  raw: Record<string, unknown>,
  fields: Fields,
  path: string,
  problems: string[],
  unknown: string[],
): void {
  for (const [name, value] of Object.entries(raw)) {
    const at = path === '' ? name : `${path}.${name}`;
    const type = fields[name];
    if (type === undefined) unknown.push(at);
    else if (value === null || value === undefined) continue;
    else if (typeof type === 'object') {
      if (isRecord(value)) checkFields(value, type, at, problems, unknown);
      else problems.push(`${at} must be an object`);
    } else if (!hasType(value, type)) {
      problems.push(`${at} must be ${described[type]}: ${JSON.stringify(value)}`);
    }
  }
}

const described: Record<FieldType, string> = {
  string: 'a string',
  boolean: 'true or false',
  integer: 'a whole number',
  number: 'a number',
  duration: 'a duration like "30s"',
  flush: 'a duration like "5s", or nanoseconds',
  strings: 'a list of strings',
  any: 'anything',
};

function hasType(value: unknown, type: FieldType): boolean {
  switch (type) {
    case 'string':
      return typeof value === 'string';
    case 'boolean':
      return typeof value === 'boolean';
    case 'integer':
      return Number.isInteger(value);
    case 'number':
      return typeof value === 'number' && Number.isFinite(value);
    case 'flush':
      return Number.isInteger(value) || hasType(value, 'duration');
    case 'duration':
      return typeof value === 'string' && parseDurationMs(value) !== undefined;
    case 'strings':
      return Array.isArray(value) && value.every((text) => typeof text === 'string');
    case 'any':
      return true;
  }
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const unitMs: Record<string, number> = { ns: 1e-6, us: 1e-3, µs: 1e-3, ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** Go's duration strings: `1h30m`, `0s`, `0`. Undefined for anything else. */
export function parseDurationMs(text: string): number | undefined {
  const match = /^([+-]?)((?:\d+(?:\.\d*)?(?:ns|us|\u00b5s|ms|s|m|h))+|0)$/.exec(text.trim());
  if (match === null) return undefined;
  let ms = 0;
  for (const [, amount, unit] of (match[2] ?? '').matchAll(/(\d+(?:\.\d*)?)([a-zµ]+)/g)) {
    ms += Number(amount) * (unitMs[unit ?? ''] ?? 0);
  }
  return match[1] === '-' ? -ms : ms;
}
