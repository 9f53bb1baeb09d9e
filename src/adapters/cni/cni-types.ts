/** The CNI protocol's nouns (spec 0.4, 1.0 and 1.1), as the rest of the code sees them. Types and the one error. */

export interface CniPlugin {
  readonly type: string;
  /** Runtime arguments that the plugin takes, by capability; false ones are switched off. */
  readonly capabilities: Readonly<Record<string, boolean>>;
  /** The plugin's part of the list as it stands in the file. */
  readonly config: Readonly<Record<string, unknown>>;
}

export interface CniNetworkList {
  readonly path: string;
  readonly name: string;
  /** The version that requests are written in. */
  readonly cniVersion: string;
  readonly disableCheck: boolean;
  readonly plugins: readonly CniPlugin[];
}

/** What is attached: one interface of one container's network namespace. */
export interface CniAttachment {
  readonly containerId: string;
  /** Path of the namespace, `/run/netns/x`. Empty for a DEL after it has gone. */
  readonly netns: string;
  /** Interface name inside, `eth0`. */
  readonly ifName: string;
  /** `CNI_ARGS`, e.g. `K8S_POD_NAME`. */
  readonly args: ReadonlyArray<readonly [string, string]>;
  /** Runtime arguments by capability, e.g. `portMappings`; each reaches the plugins that declare it. */
  readonly runtimeConfig: Readonly<Record<string, unknown>>;
}

export interface CniResult {
  readonly cniVersion: string;
  readonly interfaces: ReadonlyArray<{ readonly name: string; readonly mac: string; readonly sandbox: string }>;
  readonly ips: ReadonlyArray<{
    /** With prefix length: `10.1.0.2/24`. */
    readonly address: string;
    readonly gateway: string | undefined;
    /** Index into `interfaces`. */
    readonly interface: number | undefined;
  }>;
  readonly routes: ReadonlyArray<{ readonly dst: string; readonly gw: string | undefined }>;
  /** As the plugin printed it: what the next plugin gets as `prevResult`. */
  readonly raw: Readonly<Record<string, unknown>>;
}

/** What a plugin itself reported. Codes below 100 are the protocol's, `describeCniCode` names them. */
export class CniError extends Error {
  override name = 'CniError';
  readonly plugin: string;
  /** Undefined when the plugin ended without an error of the protocol. */
  readonly code: number | undefined;
  readonly details: string;
  constructor(message: string, plugin: string, code: number | undefined, details: string, options?: ErrorOptions) {
    super(message, options);
    this.plugin = plugin;
    this.code = code;
    this.details = details;
  }
}

const codes: Record<number, string> = {
  1: 'incompatible CNI version',
  2: 'unsupported field in the configuration',
  3: 'container unknown',
  4: 'invalid environment variables',
  5: 'I/O failure',
  6: 'failed to decode content',
  7: 'invalid network configuration',
  11: 'try again later',
  50: 'plugin not available',
  51: 'plugin not available, and existing connections are limited',
};

export function describeCniCode(code: number): string {
  return codes[code] ?? (code >= 100 ? "the plugin's own" : 'unknown');
}
