/**
 * Kubeconfig files: who the server is and who we are. Files that the kubeconfig points to (certificates, tokens) are
 * read again when they may have changed, so that rotated credentials are used without a restart.
 */
import { readFile, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { parse as parseYaml } from 'yaml';
import type { Clock } from '../base/clock.ts';
import { ConfigError } from '../base/errors.ts';

/** Bytes that stand in the kubeconfig, or the file that has them. */
export type DataSource = { data: Buffer } | { file: string };

export interface ServerAccess {
  /** `https://host:port`, without a trailing slash; may have a path. */
  server: string;
  ca: DataSource | undefined;
  clientCertificate: { cert: DataSource; key: DataSource } | undefined;
  token: { value: string } | { file: string } | undefined;
  /** Name to verify in the server's certificate and to send as SNI, when it differs from the host. */
  tlsServerName: string | undefined;
  insecureSkipTlsVerify: boolean;
  /** The context's namespace, "default" when it names none. */
  namespace: string;
}

/** Reads one context (the current one by default) of a kubeconfig file. @throws {ConfigError} */
export async function loadKubeconfig(path: string, contextName?: string): Promise<ServerAccess> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (err) {
    throw new Error(`Cannot read kubeconfig "${path}"`, { cause: err });
  }
  return parseKubeconfig(text, path, contextName);
}

/** Pure: `path` is for messages and for files named relative to it. @throws {ConfigError} naming file and field */
export function parseKubeconfig(text: string, path: string, contextName?: string): ServerAccess {
  const what = `Cannot use kubeconfig "${path}"`;
  let root: unknown;
  try {
    root = parseYaml(text);
  } catch (err) {
    throw new ConfigError(what, [`it is no YAML: ${err instanceof Error ? err.message : String(err)}`]);
  }
  if (!isRecord(root)) throw new ConfigError(what, ['it is empty or no mapping']);
  if (root['kind'] !== undefined && root['kind'] !== 'Config') {
    throw new ConfigError(what, [`kind must be "Config": ${JSON.stringify(root['kind'])}`]);
  }
  const problems: string[] = [];
  const wanted = contextName ?? asText(root['current-context']);
  if (wanted === undefined || wanted === '') throw new ConfigError(what, ['current-context is not set']);
  const context = named(root, 'contexts', wanted, 'context');
  if (context === undefined) throw new ConfigError(what, [`contexts has no "${wanted}"`]);
  const clusterName = asText(context['cluster']) ?? '';
  const userName = asText(context['user']) ?? '';
  const cluster = named(root, 'clusters', clusterName, 'cluster');
  if (cluster === undefined) throw new ConfigError(what, [`clusters has no "${clusterName}" (context "${wanted}")`]);
  const user = userName === '' ? {} : named(root, 'users', userName, 'user');
  if (user === undefined) throw new ConfigError(what, [`users has no "${userName}" (context "${wanted}")`]);

  const clusterAt = `clusters["${clusterName}"]`;
  const userAt = `users["${userName}"]`;
  const server = (asText(cluster['server']) ?? '').replace(/\/+$/, '');
  if (!/^https?:\/\/[^/]+/.test(server) || !URL.canParse(server)) {
    problems.push(`${clusterAt}.server must be a URL like "https://host:6443": ${JSON.stringify(cluster['server'])}`);
  }
  for (const field of ['exec', 'auth-provider', 'username', 'password', 'as', 'as-groups', 'as-uid', 'as-user-extra']) {
    if (user[field] !== undefined && user[field] !== null) {
      problems.push(`${userAt}.${field} is not supported: use a client certificate, token or tokenFile`);
    }
  }
  if (cluster['proxy-url'] !== undefined) problems.push(`${clusterAt}.proxy-url is not supported`);

  const base = dirname(resolve(path));
  const source = (at: string, from: Record<string, unknown>, field: string): DataSource | undefined => {
    const data = asText(from[`${field}-data`]);
    if (data !== undefined && data !== '') {
      if (!/^[A-Za-z0-9+/\s]+={0,2}\s*$/.test(data)) {
        problems.push(`${at}.${field}-data is no base64`);
        return undefined;
      }
      return { data: Buffer.from(data, 'base64') };
    }
    const file = asText(from[field]);
    return file === undefined || file === '' ? undefined : { file: resolve(base, file) };
  };

  const ca = source(clusterAt, cluster, 'certificate-authority');
  const cert = source(userAt, user, 'client-certificate');
  const key = source(userAt, user, 'client-key');
  if (cert === undefined && key !== undefined) problems.push(`${userAt}.client-key is set without client-certificate`);
  if (cert !== undefined && key === undefined) problems.push(`${userAt}.client-certificate is set without client-key`);
  const insecureSkipTlsVerify = cluster['insecure-skip-tls-verify'] === true;
  if (insecureSkipTlsVerify && ca !== undefined) {
    problems.push(`${clusterAt} has both insecure-skip-tls-verify and certificate-authority`);
  }
  const tokenFile = asText(user['tokenFile']);
  const tokenValue = asText(user['token']);
  if (problems.length > 0) throw new ConfigError(what, problems);
  return {
    server,
    ca,
    clientCertificate: cert !== undefined && key !== undefined ? { cert, key } : undefined,
    token:
      tokenFile !== undefined && tokenFile !== ''
        ? { file: resolve(base, tokenFile) }
        : tokenValue !== undefined && tokenValue !== ''
          ? { value: tokenValue }
          : undefined,
    tlsServerName: asText(cluster['tls-server-name']),
    insecureSkipTlsVerify,
    namespace: asText(context['namespace']) ?? 'default',
  };
}

function named(
  root: Record<string, unknown>,
  list: string,
  name: string,
  field: string,
): Record<string, unknown> | undefined {
  const entries = root[list];
  if (!Array.isArray(entries)) return undefined;
  for (const entry of entries) {
    if (isRecord(entry) && entry['name'] === name) return isRecord(entry[field]) ? entry[field] : {};
  }
  return undefined;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function asText(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

/** How long a token read from a file is used before the file is read again. */
const tokenAgeMaxMs = 60_000;

export interface TlsMaterial {
  ca: Buffer | undefined;
  cert: Buffer | undefined;
  key: Buffer | undefined;
}

/** The current credentials of a `ServerAccess`: reads files, remembers what it read. */
export class Credentials {
  readonly #access: ServerAccess;
  readonly #clock: Clock;
  #token: { value: string; readMs: number } | undefined;
  #seen = '';

  constructor(access: ServerAccess, clock: Clock) {
    this.#access = access;
    this.#clock = clock;
  }

  /** The bearer token, from its file at most a minute old. An unreadable file leaves the last good token in use. */
  async token(): Promise<string | undefined> {
    const { token } = this.#access;
    if (token === undefined) return undefined;
    if ('value' in token) return token.value;
    const nowMs = this.#clock.monotonicMs();
    if (this.#token !== undefined && nowMs - this.#token.readMs < tokenAgeMaxMs) return this.#token.value;
    try {
      const value = (await readFile(token.file, 'utf8')).trim();
      if (value === '') throw new Error('the file is empty');
      this.#token = { value, readMs: nowMs };
      return value;
    } catch (err) {
      if (this.#token !== undefined) return this.#token.value;
      throw new Error(`Cannot read token file "${token.file}"`, { cause: err });
    }
  }

  /** Reads CA, certificate and key, and remembers which files these were. */
  async tlsMaterial(): Promise<TlsMaterial> {
    const { ca, clientCertificate } = this.#access;
    this.#seen = await this.#fingerprint();
    return {
      ca: ca === undefined ? undefined : await read(ca),
      cert: clientCertificate === undefined ? undefined : await read(clientCertificate.cert),
      key: clientCertificate === undefined ? undefined : await read(clientCertificate.key),
    };
  }

  /** Whether a file has changed since `tlsMaterial` was last called. */
  async haveChanged(): Promise<boolean> {
    return (await this.#fingerprint()) !== this.#seen;
  }

  async #fingerprint(): Promise<string> {
    const { ca, clientCertificate } = this.#access;
    const marks: string[] = [];
    for (const source of [ca, clientCertificate?.cert, clientCertificate?.key]) {
      if (source === undefined || 'data' in source) continue;
      try {
        const { ino, mtimeMs, size } = await stat(source.file);
        marks.push(`${source.file}:${ino}:${mtimeMs}:${size}`);
      } catch {
        marks.push(`${source.file}:absent`); // reading it will say why
      }
    }
    return marks.join('\n');
  }
}

async function read(source: DataSource): Promise<Buffer> {
  if ('data' in source) return source.data;
  try {
    return await readFile(source.file);
  } catch (err) {
    throw new Error(`Cannot read "${source.file}" named in the kubeconfig`, { cause: err });
  }
}
