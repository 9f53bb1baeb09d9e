/** Registry credentials out of pull secrets. Pure; never logged. */
import type { Secret } from '../../../objects/generated/core-v1.ts';

export interface Credential {
  username: string;
  password: string;
}

/** All credentials that fit `repository` (`registry/path`), the longest match first, in the order of the secrets. */
export function credentialsFor(repository: string, secrets: readonly Secret[]): Credential[] {
  return secrets
    .flatMap((secret) => [...entriesOf(secret)])
    .map(([key, entry]) => ({ key: normalizeKey(key), credential: credentialOf(entry) }))
    .filter(({ key, credential }) => credential !== undefined && matches(key, repository))
    .toSorted((a, b) => b.key.length - a.key.length)
    .flatMap(({ credential }) => (credential === undefined ? [] : [credential]));
}

function entriesOf({ type, data }: Secret): Map<string, unknown> {
  const isConfigJson = type === 'kubernetes.io/dockerconfigjson';
  const encoded = isConfigJson
    ? data?.['.dockerconfigjson']
    : type === 'kubernetes.io/dockercfg'
      ? data?.['.dockercfg']
      : undefined;
  if (encoded === undefined) return new Map();
  try {
    const parsed: unknown = JSON.parse(Buffer.from(encoded, 'base64').toString());
    const auths: unknown = isConfigJson ? (parsed as { auths?: unknown }).auths : parsed;
    return new Map(Object.entries(auths ?? {}));
  } catch {
    return new Map(); // a broken secret fits no image; the pull then says what the registry thinks of it
  }
}

/** Undefined for what is no entry: the secret is a user's text. */
function credentialOf(entry: unknown): Credential | undefined {
  if (typeof entry !== 'object' || entry === null) return undefined;
  const { username, password, auth } = entry as Record<string, unknown>;
  if (typeof username === 'string' && typeof password === 'string') return { username, password };
  if (typeof auth !== 'string') return undefined;
  const decoded = Buffer.from(auth, 'base64').toString();
  const colon = decoded.indexOf(':');
  return colon < 0 ? undefined : { username: decoded.slice(0, colon), password: decoded.slice(colon + 1) };
}

function normalizeKey(key: string): string {
  const bare = key
    .replace(/^https?:\/\//, '')
    .replace(/\/v[12]\/?$/, '')
    .replace(/\/$/, '');
  return bare === 'index.docker.io' ? 'docker.io' : bare;
}

/** Host labels may be `*`; a path in the key must be the repository's beginning. */
function matches(key: string, repository: string): boolean {
  const [keyHost = '', ...keyPath] = key.split('/');
  const [host = '', ...path] = repository.split('/');
  const keyLabels = keyHost.split('.');
  const labels = host.split('.');
  if (keyLabels.length !== labels.length) return false;
  const hostFits = keyLabels.every((label, i) => {
    if (!label.includes('*')) return label === labels[i];
    const pattern = label
      .split('*')
      .map((part) => part.replace(/[\\^$.+?()[\]{}|]/g, '\\$&'))
      .join('[^.]*');
    return new RegExp(`^${pattern}$`).test(labels[i] ?? '');
  });
  return hostFits && path.join('/').startsWith(keyPath.join('/'));
}
