/** Label and field selectors as the API takes them in its query. */
import { type LabelRequirement, parseLabelSelector as parse } from '../../objects/label-selector.ts';
import { badRequest } from './status-error.ts';

export interface FieldRequirement {
  field: string;
  isEqual: boolean;
  value: string;
}

/** @throws {StatusError} 400 when the text is no selector */
export function parseLabelSelector(text: string): LabelRequirement[] {
  try {
    return parse(text);
  } catch (err) {
    throw badRequest(err instanceof Error ? err.message : String(err));
  }
}

/** `a=b,c!=d`; a backslash keeps `\`, `,` and `=` as they are. @throws {StatusError} 400 */
export function parseFieldSelector(text: string): FieldRequirement[] {
  return (text.match(/(?:[^\\,]|\\.)+/g) ?? []).map((part) => {
    const term = part.trim();
    const match = /^((?:[^\\=!]|\\.)+?)(!=|==|=)((?:[^\\]|\\.)*)$/.exec(term);
    if (match === null) throw badRequest(`invalid selector: '${text}'; can't understand '${term}'`);
    const [, field = '', operator = '', value = ''] = match;
    return { field, isEqual: operator !== '!=', value: value.replaceAll(/\\(.)/g, '$1') };
  });
}

/** The value that a selector pins a field to, e.g. one name: undefined when it does not. */
export function pinnedValue(requirements: readonly FieldRequirement[], field: string): string | undefined {
  return requirements.find((requirement) => requirement.field === field && requirement.isEqual)?.value;
}
