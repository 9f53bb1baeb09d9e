/** What is wrong with one field, in the phrases that clients and people know. */

export interface FieldError {
  reason:
    | 'FieldValueNotFound'
    | 'FieldValueRequired'
    | 'FieldValueDuplicate'
    | 'FieldValueInvalid'
    | 'FieldValueTypeInvalid'
    | 'FieldValueNotSupported'
    | 'FieldValueForbidden'
    | 'FieldValueTooLong'
    | 'FieldValueTooMany';
  /** `spec.containers[0].image`. */
  field: string;
  /** The phrase without the field. */
  phrase: string;
}

/** Strings quoted, numbers and booleans bare, the rest as JSON. */
export function render(value: unknown): string {
  if (value === undefined) return 'null';
  return JSON.stringify(value);
}

export const required = (field: string, detail = ''): FieldError => ({
  reason: 'FieldValueRequired',
  field,
  phrase: detail === '' ? 'Required value' : `Required value: ${detail}`,
});

export const invalidValue = (field: string, value: unknown, detail: string): FieldError => ({
  reason: 'FieldValueInvalid',
  field,
  phrase: `Invalid value: ${render(value)}: ${detail}`,
});

export const duplicate = (field: string, value: unknown): FieldError => ({
  reason: 'FieldValueDuplicate',
  field,
  phrase: `Duplicate value: ${render(value)}`,
});

export const fieldNotFound = (field: string, value: unknown): FieldError => ({
  reason: 'FieldValueNotFound',
  field,
  phrase: `Not found: ${render(value)}`,
});

export const notSupported = (field: string, value: unknown, supported: readonly string[]): FieldError => ({
  reason: 'FieldValueNotSupported',
  field,
  phrase: `Unsupported value: ${render(value)}: supported values: ${supported.map((one) => JSON.stringify(one)).join(', ')}`,
});

export const forbiddenField = (field: string, detail: string): FieldError => ({
  reason: 'FieldValueForbidden',
  field,
  phrase: `Forbidden: ${detail}`,
});

export const tooLong = (field: string, maxBytes: number): FieldError => ({
  reason: 'FieldValueTooLong',
  field,
  phrase: `Too long: may not be more than ${maxBytes} ${maxBytes === 1 ? 'byte' : 'bytes'}`,
});

export const tooMany = (field: string, count: number, max: number): FieldError => ({
  reason: 'FieldValueTooMany',
  field,
  phrase: `Too many: ${count}: must have at most ${max} ${max === 1 ? 'item' : 'items'}`,
});

export const immutable = (field: string, value: unknown): FieldError =>
  invalidValue(field, value, 'field is immutable');

export function causeOf({ reason, field, phrase }: FieldError): { reason: string; message: string; field: string } {
  return { reason: reason === 'FieldValueTypeInvalid' ? 'FieldValueInvalid' : reason, message: phrase, field };
}

/** One error as it is, several in brackets; equal ones once. */
export function describeFieldErrors(errors: readonly FieldError[]): string {
  const texts = [...new Set(errors.map(({ field, phrase }) => `${field === '' ? '[]' : field}: ${phrase}`))];
  return texts.length === 1 ? (texts[0] ?? '') : `[${texts.join(', ')}]`;
}
