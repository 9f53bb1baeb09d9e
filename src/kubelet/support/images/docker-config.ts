/** Registry credentials as docker writes them: in pull secrets and in files of the node. Pure; never logged. */
import type { Secret } from '../../../objects/generated/core-v1.ts';

export interface Credential {
  username: string;
  password: string;
}

/** A credential and the registry (with path) that it is for, as written. */
export interface RegistryEntry {
  key: string;
  credential: Credential;
}

/** `json`: `{"auths": {…}}`, as in `config.json`; `flat`: the older `.dockercfg`, the map alone. */
export type DockerConfigForm = 'json' | 'flat';

/** @throws {TypeError} when the text is no such file; entries that hold no credential are left out */
export function parseDockerConfig(text: string, form: DockerConfigForm): RegistryEntry[] {
  const parsed = parseJson(text);
  if (!isObject(parsed)) throw new TypeError('it is not a JSON object');
  const auths = form === 'json' ? (parsed['auths'] ?? {}) : parsed;
  if (!isObject(auths)) throw new TypeError('its "auths" is not an object');
  return Object.entries(auths).flatMap(([key, entry]) => {
    const credential = toCredential(entry);
    return credential === undefined ? [] : [{ key, credential }];
  });
}

const secretForms: Readonly<Record<string, { key: string; form: DockerConfigForm }>> = {
  'kubernetes.io/dockerconfigjson': { key: '.dockerconfigjson', form: 'json' },
  'kubernetes.io/dockercfg': { key: '.dockercfg', form: 'flat' },
};

/** What a pull secret holds. A broken secret fits no image; the pull then says what the registry thinks of it. */
export function secretEntries({ type, data }: Secret): RegistryEntry[] {
  const kind = secretForms[type ?? ''];
  const encoded = kind === undefined ? undefined : data?.[kind.key];
  if (kind === undefined || encoded === undefined) return [];
  try {
    return parseDockerConfig(Buffer.from(encoded, 'base64').toString(), kind.form);
  } catch {
    return []; // as said above
  }
}

/** `auth` wins over user and password; an entry of another kind (a credential helper's) is none of ours. */
function toCredential(entry: unknown): Credential | undefined {
  if (!isObject(entry)) return undefined;
  const { username, password, auth } = entry;
  if (typeof auth === 'string' && auth !== '') {
    const decoded = Buffer.from(auth, 'base64').toString(); // reads padded and raw
    const colon = decoded.indexOf(':');
    // some programs pad with zero bytes
    return colon < 0
      ? undefined
      : { username: decoded.slice(0, colon), password: decoded.slice(colon + 1).replace(/\0+$/, '') };
  }
  return typeof username === 'string' && typeof password === 'string' ? { username, password } : undefined;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new TypeError('it is not JSON'); // the parser's own words show a piece of the text
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
