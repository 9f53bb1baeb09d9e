/** Which credentials fit an image, and in which order they are tried. Pure. */
import { createHash } from 'node:crypto';
import type { Secret } from '../../../objects/generated/core-v1.ts';
import { type Credential, type RegistryEntry, secretEntries } from './docker-config.ts';

/** A secret, with what tells it apart from one of the same name or with the same content. */
export interface SecretOrigin {
  uid: string;
  namespace: string;
  name: string;
  credentialHash: string;
}

export interface AccountOrigin {
  uid: string;
  namespace: string;
  name: string;
}

/** Who gave a credential: decides who else may use what was pulled with it. */
export type Origin =
  | { kind: 'secret'; secret: SecretOrigin }
  | { kind: 'account'; account: AccountOrigin }
  /** Files of the node, or a provider that knows only the node. */
  | { kind: 'node' };

export interface KeyringEntry extends RegistryEntry {
  origin: Origin;
}

export interface FittingCredential {
  credential: Credential;
  origin: Origin;
}

/** The entries of pull secrets, in the secrets' order. */
export function secretKeyring(secrets: readonly Secret[]): KeyringEntry[] {
  return secrets.flatMap((secret) => {
    const { uid = '', namespace = '', name } = secret.metadata;
    return secretEntries(secret).map((entry) => ({
      ...entry,
      origin: { kind: 'secret', secret: { uid, namespace, name, credentialHash: hashCredential(entry.credential) } },
    }));
  });
}

/** The entries that fit `repository` (`registry/path`): more specific keys first, then in the order given. */
export function fittingCredentials(repository: string, entries: readonly KeyringEntry[]): FittingCredential[] {
  const normal = entries.map((entry) => ({ ...entry, key: normalizeKey(entry.key) }));
  const fitting = normal
    .filter(({ key }) => matchesImage(key, repository))
    .toSorted((a, b) => (a.key < b.key ? 1 : a.key > b.key ? -1 : 0));
  const found =
    fitting.length > 0 || !isDefaultRegistry(repository)
      ? fitting
      : normal.filter(({ key }) => key === defaultRegistryKey);
  return found.map(({ credential, origin }) => ({ credential, origin }));
}

/** How docker names its own registry in its files. */
const defaultRegistryKey = 'index.docker.io';

function isDefaultRegistry(repository: string): boolean {
  const host = repository.split('/')[0] ?? '';
  return host === 'docker.io' || host === defaultRegistryKey;
}

/** Without scheme, and without the version of the API that old files have as a path. */
function normalizeKey(key: string): string {
  return key
    .replace(/^https?:\/\//, '')
    .replace(/^([^/]*)\/v[12]\//, '$1/')
    .replace(/^([^/]*)\/$/, '$1');
}

/**
 * Whether a key or a provider's pattern covers an image: the same number of host labels, each fitting (`*`, `?` and
 * `[…]` within a label), the same port, and its path is how the image's begins.
 */
export function matchesImage(pattern: string, repository: string): boolean {
  const wanted = splitAddress(pattern);
  const image = splitAddress(repository);
  return (
    wanted.port === image.port &&
    wanted.labels.length === image.labels.length &&
    image.path.startsWith(wanted.path) &&
    wanted.labels.every((label, i) => globExpression(label)?.test(image.labels[i] ?? '') === true)
  );
}

function splitAddress(text: string): { labels: string[]; port: string; path: string } {
  const slash = text.indexOf('/');
  const host = slash < 0 ? text : text.slice(0, slash);
  const path = slash < 0 ? '' : text.slice(slash);
  const [, name = host, port = ''] = /^(.*?)(?::(\d+))?$/.exec(host) ?? [];
  return { labels: name.split('.'), port, path };
}

/** Undefined for a pattern that is none, which fits nothing. */
function globExpression(label: string): RegExp | undefined {
  let text = '';
  for (const [part] of label.matchAll(/\[\^?[^\]]+\]|[\s\S]/g)) {
    if (part === '*') text += '.*';
    else if (part === '?') text += '.';
    else if (part.length > 1 && part.startsWith('[')) text += part.replaceAll('\\', '\\\\');
    else text += part.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
  }
  try {
    return new RegExp(`^${text}$`);
  } catch {
    return undefined; // a range such as [z-a]
  }
}

/** Tells credentials apart in records without telling them. */
export function hashCredential({ username, password }: Credential): string {
  return createHash('sha256').update(JSON.stringify({ username, password })).digest('hex');
}
