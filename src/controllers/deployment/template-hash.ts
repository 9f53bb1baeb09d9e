/** Pod templates: when two are the same, and the short name of one. Pure. */
import { fnv1a32 } from '../../base/fnv.ts';
import type { PodTemplateSpec } from '../../objects/generated/core-v1.ts';
import { canonicalJson } from '../same-json.ts';

export const templateHashLabel = 'pod-template-hash';

/** Letters and digits that make no words and are not mistaken for each other. */
const alphabet = 'bcdfghjklmnpqrstvwxz2456789';
/** Maps whose being empty is the same as their being absent. */
const mapFields: ReadonlySet<string> = new Set(['labels', 'annotations', 'nodeSelector', 'limits', 'requests']);

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
  return canonicalJson(withoutEmptyMaps({ metadata: { labels, annotations, finalizers }, spec }));
}

function withoutEmptyMaps(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutEmptyMaps);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key, v]) => !(mapFields.has(key) && typeof v === 'object' && v !== null && Object.keys(v).length === 0))
      .map(([key, v]) => [key, withoutEmptyMaps(v)]),
  );
}
