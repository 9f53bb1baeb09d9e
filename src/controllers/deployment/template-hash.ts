/** Pod templates: when two are the same, and the short name of one. Pure. */
import { fnv1a32 } from '../../base/fnv.ts';
import type { PodTemplateSpec } from '../../objects/generated/core-v1.ts';
import { canonicalJson } from '../same-json.ts';

export const templateHashLabel = 'pod-template-hash';

/** Letters and digits that make no words and are not mistaken for each other. */
const alphabet = 'bcdfghjklmnpqrstvwxz2456789';
/** Fields whose being empty is the same as their being absent: clients write them one way or the other. */
const emptyFields: ReadonlySet<string> = new Set([
  'labels',
  'annotations',
  'nodeSelector',
  'limits',
  'requests',
  'resources',
]);
/** The same for `false`. Not for fields where an absent value is neither true nor false. */
const falseFields: ReadonlySet<string> = new Set([
  'hostIPC',
  'hostNetwork',
  'hostPID',
  'stdin',
  'stdinOnce',
  'tty',
  'readOnly',
]);

/** Equal but for the hash label that a Deployment adds. */
export function sameTemplate(a: PodTemplateSpec | undefined, b: PodTemplateSpec | undefined): boolean {
  return a !== undefined && b !== undefined && canonicalTemplate(a) === canonicalTemplate(b);
}

/** Up to ten characters that are safe in names; another collision count gives another hash. */
export function templateHash(template: PodTemplateSpec, collisionCount: number | undefined): string {
  const text = canonicalTemplate(template) + (collisionCount === undefined ? '' : `#${collisionCount}`);
  const ascii = text.replaceAll(/[\u0080-\uffff]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
  return Array.from(String(fnv1a32(ascii)), (digit) => alphabet[digit.charCodeAt(0) % alphabet.length]).join('');
}

function canonicalTemplate({ metadata, spec }: PodTemplateSpec): string {
  const { [templateHashLabel]: _, ...labels } = metadata?.labels ?? {};
  const { annotations, finalizers } = metadata ?? {};
  return canonicalJson(withoutDefaults({ metadata: { labels, annotations, finalizers }, spec }));
}

function withoutDefaults(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutDefaults);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key, v]) => !(emptyFields.has(key) && isEmptyObject(v)) && !(falseFields.has(key) && v === false))
      .map(([key, v]) => [key, withoutDefaults(v)]),
  );
}

function isEmptyObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0;
}
