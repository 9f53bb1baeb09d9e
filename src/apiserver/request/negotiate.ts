/** Which form of an answer the client wants. Pure. */
import { stringify } from 'yaml';
import { notAcceptable } from '../resources/status-error.ts';

export interface Representation {
  format: 'json' | 'yaml';
  /** `as=Table` and friends; undefined: the object itself. */
  as: 'Table' | 'PartialObjectMetadata' | 'PartialObjectMetadataList' | undefined;
}

const available = 'application/json, application/yaml';

/** The first acceptable entry of an Accept header. @throws {StatusError} 406 */
export function negotiate(accept: string): Representation {
  if (accept.trim() === '') return { format: 'json', as: undefined };
  let hasBadTransform = false;
  for (const entry of accept.split(',')) {
    const [type = '', ...parameterTexts] = entry.split(';').map((part) => part.trim());
    const parameters = new Map(parameterTexts.map((text) => [text.split('=')[0] ?? '', text.split('=')[1] ?? '']));
    const format =
      type === 'application/json' || type === '*/*' || type === 'application/*'
        ? 'json'
        : type === 'application/yaml'
          ? 'yaml'
          : undefined;
    if (format === undefined) continue;
    const as = parameters.get('as');
    if (as === undefined) return { format, as: undefined };
    const isMeta = parameters.get('g') === 'meta.k8s.io' && parameters.get('v') === 'v1';
    if (isMeta && (as === 'Table' || as === 'PartialObjectMetadata' || as === 'PartialObjectMetadataList')) {
      return { format, as };
    }
    hasBadTransform = true;
  }
  throw notAcceptable(
    hasBadTransform
      ? `only the following media types are accepted: ${available}`
      : `406: Not Acceptable\n\nAvailable representations: ${available}`,
  );
}

/** People read with curl and browsers. */
export function isPretty(query: URLSearchParams, userAgent: string): boolean {
  const asked = query.get('pretty');
  if (asked !== null) return asked === 'true' || asked === '1' || asked === '';
  return /^(curl|Wget|Mozilla\/5\.0)/.test(userAgent);
}

export function serialize(object: unknown, format: 'json' | 'yaml', pretty: boolean): string {
  if (format === 'yaml') return stringify(object);
  return pretty ? `${JSON.stringify(object, null, 2)}\n` : JSON.stringify(object);
}
