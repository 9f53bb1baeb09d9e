/** What a credential provider answers. Pure; never logged. */
import type { RegistryEntry } from './docker-config.ts';

export type CacheKeyType = 'Image' | 'Registry' | 'Global';

export interface ProviderResponse {
  cacheKeyType: CacheKeyType;
  /** Undefined: as configured. */
  cacheMs: number | undefined;
  entries: RegistryEntry[];
}

/** @throws {Error} with what is wrong with the answer, without showing it */
export function parseProviderResponse(
  text: string,
  apiVersion: string,
  parseDurationMs: (text: string) => number | undefined,
): ProviderResponse {
  const answer = parseJson(text);
  if (answer['kind'] !== 'CredentialProviderResponse') throw new Error('its answer is no CredentialProviderResponse');
  if (answer['apiVersion'] !== apiVersion) {
    throw new Error(
      `apiVersion from credential plugin response did not match expected apiVersion:${apiVersion}, actual apiVersion:${shown(answer['apiVersion'])}`,
    );
  }
  const cacheKeyType = answer['cacheKeyType'];
  if (cacheKeyType !== 'Image' && cacheKeyType !== 'Registry' && cacheKeyType !== 'Global') {
    throw new Error(`invalid cacheKeyType: ${shown(cacheKeyType)}`);
  }
  const duration = answer['cacheDuration'] ?? undefined;
  const cacheMs = typeof duration === 'string' ? parseDurationMs(duration) : undefined;
  if (duration !== undefined && cacheMs === undefined) throw new Error('its cacheDuration is not a duration');
  return { cacheKeyType, cacheMs, entries: Object.entries(asObject(answer['auth'] ?? {})).map(readEntry) };
}

/** An empty name and an empty password are valid. */
function readEntry([key, value]: [string, unknown]): RegistryEntry {
  const { username = '', password = '' } = asObject(value);
  if (typeof username !== 'string' || typeof password !== 'string') throw new Error('its answer holds no credential');
  return { key, credential: { username, password } };
}

function parseJson(text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Error('its answer is not JSON'); // the parser's own words show a piece of the text
  }
  return asObject(value);
}

function asObject(value: unknown): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new Error('its answer is not of the right form');
  }
  return { ...value };
}

const shown = (value: unknown): string => (typeof value === 'string' ? value.slice(0, 100) : typeof value);
