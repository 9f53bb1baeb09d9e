/** Reads single values of the kubelet's configuration: from YAML or JSON, and from flags. Pure. */
import { type Field, type Kind, kubeletFields } from './config-fields.ts';
import type { Taint } from '../objects/generated/core-v1.ts';

const unitMs: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** A duration as Go writes it (`1m30s`, `100ms`, `-1s`, `0`), in milliseconds; undefined when it isn't one. */
export function parseDurationMs(text: string): number | undefined {
  const sign = text.startsWith('-') ? -1 : 1;
  const rest = text.replace(/^[+-]/, '');
  if (rest === '0') return 0;
  if (!/^(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|\u00b5s|\u03bcs|ms|s|m|h))+$/.test(rest)) return undefined;
  let totalMs = 0;
  for (const [, number = '', unit = ''] of rest.matchAll(/(\d+\.?\d*|\.\d+)(ns|us|\u00b5s|\u03bcs|ms|s|m|h)/g)) {
    totalMs += Number(number) * (unitMs[unit] ?? 0);
  }
  return sign * totalMs;
}

/** The same in Go's own form: `1h0m0s`, `1m30s`, `100ms`, `0s`. */
export function formatDuration(ms: number): string {
  if (ms === 0) return '0s';
  const sign = ms < 0 ? '-' : '';
  const abs = Math.abs(ms);
  if (abs < 1000) return `${sign}${abs}ms`;
  const hours = Math.floor(abs / 3_600_000);
  const minutes = Math.floor((abs % 3_600_000) / 60_000);
  const seconds = (abs % 60_000) / 1000;
  return `${sign}${hours > 0 ? `${hours}h` : ''}${hours > 0 || minutes > 0 ? `${minutes}m` : ''}${seconds}s`;
}

export type Read = { value: unknown } | { problem: string };

const whatKinds: Record<Kind, string> = {
  bool: 'true or false',
  int: 'a whole number',
  float: 'a number',
  string: 'a text',
  duration: 'a duration like 1m30s or 100ms',
  strings: 'a list of texts',
  ints: 'a list of whole numbers',
  stringMap: 'a map of texts',
  boolMap: 'a map of true or false',
  headers: 'a map of lists of texts',
  taints: 'a list of taints with key, value and effect',
  other: 'anything',
};

/** One value from a file, by kind. Null means "not set" and is the caller's business. */
export function readValue(kind: Kind, raw: unknown): Read {
  const value = convert(kind, raw);
  return value === undefined ? { problem: `${JSON.stringify(raw)} is not ${whatKinds[kind]}` } : { value };
}

function convert(kind: Kind, raw: unknown): unknown {
  switch (kind) {
    case 'bool':
      return typeof raw === 'boolean' ? raw : undefined;
    case 'int':
      return Number.isSafeInteger(raw) ? raw : undefined;
    case 'float':
      return typeof raw === 'number' && Number.isFinite(raw) ? raw : undefined;
    case 'string':
      return typeof raw === 'string' ? raw : undefined;
    case 'duration':
      // `logging.flushFrequency` may also be a number, of nanoseconds
      return typeof raw === 'string' ? parseDurationMs(raw) : raw === 0 ? 0 : undefined;
    case 'strings':
      return isListOf(raw, (item) => typeof item === 'string') ? raw : undefined;
    case 'ints':
      return isListOf(raw, Number.isSafeInteger) ? raw : undefined;
    case 'stringMap':
      return toStringMap(raw);
    case 'boolMap':
      return isMapOf(raw, (item) => typeof item === 'boolean') ? raw : undefined;
    case 'headers':
      return isMapOf(raw, (item) => isListOf(item, (text) => typeof text === 'string')) ? raw : undefined;
    case 'taints':
      return toTaints(raw);
    case 'other':
      return raw;
  }
}

const isListOf = (raw: unknown, is: (item: unknown) => boolean): raw is unknown[] =>
  Array.isArray(raw) && raw.every(is);

export const isObject = (raw: unknown): raw is Record<string, unknown> =>
  typeof raw === 'object' && raw !== null && !Array.isArray(raw);

const isMapOf = (raw: unknown, is: (item: unknown) => boolean): raw is Record<string, unknown> =>
  isObject(raw) && Object.values(raw).every(is);

/** Amounts such as `cpu: 1` come as numbers from YAML; upstream reads them as texts only, JSON numbers are refused. */
function toStringMap(raw: unknown): Record<string, string> | undefined {
  if (!isMapOf(raw, (item) => typeof item === 'string')) return undefined;
  return Object.fromEntries(Object.entries(raw).map(([key, value]) => [key, String(value)]));
}

const taintEffects = ['NoSchedule', 'PreferNoSchedule', 'NoExecute'];

function toTaints(raw: unknown): Taint[] | undefined {
  if (!Array.isArray(raw)) return undefined;
  const taints: Taint[] = [];
  for (const item of raw as unknown[]) {
    if (!isObject(item)) return undefined;
    const { key, value, effect, ...rest } = item;
    if (typeof key !== 'string' || key === '' || typeof effect !== 'string' || !taintEffects.includes(effect)) {
      return undefined;
    }
    if (value !== undefined && value !== null && typeof value !== 'string') return undefined;
    if (Object.keys(rest).some((name) => name !== 'timeAdded')) return undefined;
    taints.push({ key, effect, ...(typeof value === 'string' && value !== '' ? { value } : {}) });
  }
  return taints;
}

/** One value from a flag's text. Lists and maps are separated by commas; hard eviction is written `signal<value`. */
export function readFlagValue(path: keyof typeof kubeletFields, text: string): Read {
  const { kind }: Field<unknown> = kubeletFields[path];
  switch (kind) {
    case 'bool':
      return ['true', 'false', '1', '0', 't', 'f'].includes(text.toLowerCase())
        ? { value: ['true', '1', 't'].includes(text.toLowerCase()) }
        : { problem: `"${text}" is not ${whatKinds.bool}` };
    case 'int':
    case 'float':
      return text.trim() === '' || Number.isNaN(Number(text))
        ? { problem: `"${text}" is not ${whatKinds[kind]}` }
        : readValue(kind, Number(text));
    case 'strings':
      return { value: text.split(',').filter((item) => item !== '') };
    case 'ints':
      return readValue(kind, text.split(',').map(Number));
    case 'stringMap':
      return readPairs(text, path.startsWith('eviction') && !path.endsWith('GracePeriod') ? '<' : '=');
    case 'boolMap': {
      const pairs = readPairs(text, '=');
      if ('problem' in pairs) return pairs;
      const entries = Object.entries(pairs.value as Record<string, string>); // readPairs makes nothing else
      return readValue(kind, Object.fromEntries(entries.map(([key, word]) => [key, truth(word)])));
    }
    case 'headers':
      return readHeadersFlag(text);
    case 'taints':
      return readTaintsFlag(text);
    case 'string':
    case 'duration':
    case 'other':
      return readValue(kind, text);
  }
}

function truth(word: string): boolean | string {
  return word === 'true' ? true : word === 'false' ? false : word;
}

function readPairs(text: string, separator: '=' | '<'): Read {
  const map: Record<string, string> = {};
  for (const part of text.split(',').filter((piece) => piece !== '')) {
    const at = part.indexOf(separator);
    if (at < 1) return { problem: `"${part}" is not of the form name${separator}value` };
    map[part.slice(0, at).trim()] = part.slice(at + 1).trim();
  }
  return { value: map };
}

/** `name:value`, separated by commas; a name may come again. */
function readHeadersFlag(text: string): Read {
  const headers: Record<string, string[]> = {};
  for (const part of text.split(',').filter((piece) => piece !== '')) {
    const at = part.indexOf(':');
    if (at < 1) return { problem: `"${part}" is not of the form name:value` };
    (headers[part.slice(0, at).trim()] ??= []).push(part.slice(at + 1).trim());
  }
  return { value: headers };
}

/** `key=value:effect`, `key:effect`, separated by commas. */
function readTaintsFlag(text: string): Read {
  const taints: unknown[] = [];
  for (const part of text.split(',').filter((piece) => piece !== '')) {
    const found = /^([^=:]+)(?:=([^:]*))?:([A-Za-z]+)$/.exec(part);
    if (found === null) return { problem: `"${part}" is not of the form key=value:effect` };
    taints.push({ key: found[1], value: found[2] ?? '', effect: found[3] });
  }
  return readValue('taints', taints);
}
