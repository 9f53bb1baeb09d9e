/**
 * From the texts of a `KubeletConfiguration` file and its drop-ins to a value for every field. Pure: every problem of
 * every file is reported at once, with the file's name and the field's path.
 */
import { isAbsolute, resolve } from 'node:path';
import { parseDocument } from 'yaml';
import {
  type Field,
  type FieldPath,
  type FieldValues,
  defaultEvictionHard,
  isFieldPath,
  kubeletFields,
} from './config-fields.ts';
import { isObject, readValue } from './config-values.ts';

const apiVersion = 'kubelet.config.k8s.io/v1beta1';
const kind = 'KubeletConfiguration';

type RawObject = Record<string, unknown>;

/** Fields that name files: relative ones are relative to the folder of the file that has them. */
const pathFields: readonly FieldPath[] = [
  'staticPodPath',
  'authentication.x509.clientCAFile',
  'tlsCertFile',
  'tlsPrivateKeyFile',
  'resolvConf',
];

export interface ConfigText {
  path: string;
  text: string;
  /** Drop-ins must say what they are; the main file may leave it out. */
  isDropIn: boolean;
}

/** The files in the order given, later ones over earlier ones (RFC 7396: lists replaced, maps merged, null deletes). */
export function mergeConfigTexts(files: readonly ConfigText[]): { raw: RawObject; problems: string[] } {
  const problems: string[] = [];
  let raw: RawObject = {};
  for (const file of files) {
    const own = readConfigText(file, problems);
    if (own !== undefined) raw = mergePatch(raw, own);
  }
  return { raw, problems };
}

function readConfigText({ path, text, isDropIn }: ConfigText, problems: string[]): RawObject | undefined {
  if (text.trim() === '') {
    if (!isDropIn) problems.push(`kubelet config file "${path}" was empty`);
    return undefined;
  }
  const document = parseDocument(text, { uniqueKeys: true, prettyErrors: true });
  if (document.errors.length > 0) {
    problems.push(...document.errors.map(({ message }) => `${path}: ${message.split('\n')[0] ?? ''}`));
    return undefined;
  }
  const value: unknown = document.toJS({ maxAliasCount: 100 });
  if (!isObject(value)) {
    problems.push(`${path}: expected a ${kind} object`);
    return undefined;
  }
  const { apiVersion: ownVersion, kind: ownKind, ...fields } = value;
  const isNamed = ownVersion !== undefined && ownKind !== undefined;
  if (!isNamed) {
    problems.push(`${path}: no apiVersion/kind: expected apiVersion ${apiVersion}, kind ${kind}`);
    return undefined;
  }
  if (ownVersion !== apiVersion || ownKind !== kind) {
    problems.push(`${path}: unknown apiVersion/kind: ${ownVersion}, ${ownKind}: expected ${apiVersion}, ${kind}`);
    return undefined;
  }
  checkFields(fields, '', path, problems);
  return withAbsolutePaths(fields, path);
}

/** Names unknown fields, values of the wrong kind, each by its path. */
function checkFields(raw: RawObject, prefix: string, file: string, problems: string[]): void {
  for (const [key, value] of Object.entries(raw)) {
    const path = `${prefix}${key}`;
    if (isFieldPath(path)) {
      const read = value === null ? undefined : readValue(kubeletFields[path].kind, value);
      if (read !== undefined && 'problem' in read) problems.push(`${file}: ${path}: ${read.problem}`);
    } else if (Object.keys(kubeletFields).some((known) => known.startsWith(`${path}.`))) {
      if (isObject(value)) checkFields(value, `${path}.`, file, problems);
      else if (value !== null) problems.push(`${file}: ${path}: ${JSON.stringify(value)} is not an object`);
    } else {
      problems.push(`${file}: unknown field "${path}"`);
    }
  }
}

function withAbsolutePaths(raw: RawObject, file: string): RawObject {
  let result = raw;
  for (const field of pathFields) {
    const value = valueAt(raw, field);
    if (typeof value === 'string' && value !== '' && !isAbsolute(value)) {
      result = mergePatch(result, nested(field, resolve(file, '..', value)));
    }
  }
  return result;
}

export function mergePatch(target: unknown, patch: RawObject): RawObject {
  const merged: RawObject = isObject(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete merged[key];
    else merged[key] = isObject(value) ? mergePatch(merged[key], value) : value;
  }
  return merged;
}

/** The values of a merged file, with upstream's defaults where it says nothing. The file's values are valid. */
export function withDefaults(raw: RawObject): { values: FieldValues; explicit: ReadonlySet<FieldPath> } {
  const values: Record<string, unknown> = {};
  const explicit = new Set<FieldPath>();
  for (const [path, field] of Object.entries(kubeletFields) as Array<[FieldPath, Field<unknown>]>) {
    const own = valueAt(raw, path);
    const read = own === undefined || own === null ? undefined : readValue(field.kind, own);
    const value = read !== undefined && 'value' in read ? read.value : undefined;
    const isSet = value !== undefined && (field.keepsZero || (value !== 0 && value !== ''));
    if (isSet) explicit.add(path);
    values[path] = isSet ? value : field.default;
  }
  return { values: values as FieldValues, explicit }; // every path of the table has been set just now
}

/** Values whose default depends on other values. */
export function withDerivedDefaults(values: FieldValues, explicit: ReadonlySet<FieldPath>): FieldValues {
  const hard = values.evictionHard;
  return {
    ...values,
    evictionHard:
      hard === undefined
        ? defaultEvictionHard
        : values.mergeDefaultEvictionSettings
          ? { ...defaultEvictionHard, ...hard }
          : hard,
    // a node that reports more often on request also posts as often, unless told otherwise
    nodeStatusReportFrequency:
      explicit.has('nodeStatusUpdateFrequency') && !explicit.has('nodeStatusReportFrequency')
        ? values.nodeStatusUpdateFrequency
        : values.nodeStatusReportFrequency,
    serializeImagePulls: values.serializeImagePulls ?? (values.maxParallelImagePulls ?? 1) < 2,
    podPidsLimit: values.podPidsLimit < 0 ? -1 : values.podPidsLimit,
    imageServiceEndpoint:
      values.imageServiceEndpoint === '' ? values.containerRuntimeEndpoint : values.imageServiceEndpoint,
  };
}

/** Fields set to something that this version cannot do, each with the fix. */
export function refusedFields(values: FieldValues): string[] {
  const problems: string[] = [];
  for (const [path, field] of Object.entries(kubeletFields) as Array<[FieldPath, Field<unknown>]>) {
    if (typeof field.use === 'string' || isSame(values[path], field.default)) continue;
    problems.push(`${path}: ${JSON.stringify(values[path])} is not supported: ${field.use.refused}`);
  }
  return problems;
}

function isSame(value: unknown, byDefault: unknown): boolean {
  const isEmpty = (Array.isArray(value) && value.length === 0) || (isObject(value) && Object.keys(value).length === 0);
  return JSON.stringify(value) === JSON.stringify(byDefault) || (byDefault === undefined && isEmpty);
}

function valueAt(raw: unknown, path: string): unknown {
  let value: unknown = raw;
  for (const key of path.split('.')) {
    if (!isObject(value)) return undefined;
    value = value[key];
  }
  return value;
}

function nested(path: string, value: unknown): RawObject {
  const [first = '', ...rest] = path.split('.');
  return { [first]: rest.length === 0 ? value : nested(rest.join('.'), value) };
}

/** The final configuration as one upstream object, for `/configz`. */
export function toUpstreamObject(values: FieldValues, format: (path: FieldPath, value: unknown) => unknown): RawObject {
  let object: RawObject = {};
  for (const [path, value] of Object.entries(values) as Array<[FieldPath, unknown]>) {
    if (value !== undefined) object = mergePatch(object, nested(path, format(path, value)));
  }
  return object;
}
