import type { ConfigMap } from '../../objects/generated/core-v1.ts';
import { isSameMeaning } from './api-object.ts';
import { type FieldError, duplicate, forbiddenField, invalidValue, tooLong } from './field-errors.ts';
import { configMapColumns } from './print-others.ts';
import { type Strategy, typed } from './resource.ts';
import { configKeyProblems } from './validate-names.ts';

export const dataMaxBytes = 1_048_576;

export const configMapStrategy: Strategy = {
  nameRule: 'subdomain',
  columns: configMapColumns,

  validate(object) {
    const { data = {}, binaryData = {} } = typed<ConfigMap>(object);
    const errors: FieldError[] = [];
    let bytes = 0;
    for (const [key, value] of Object.entries(data)) {
      for (const problem of configKeyProblems(key)) errors.push(invalidValue(`data[${key}]`, key, problem));
      if (key in binaryData) errors.push(duplicate(`data[${key}]`, `duplicate of key present in binaryData`));
      bytes += Buffer.byteLength(value);
    }
    for (const [key, value] of Object.entries(binaryData)) {
      for (const problem of configKeyProblems(key)) errors.push(invalidValue(`binaryData[${key}]`, key, problem));
      bytes += Buffer.byteLength(value, 'base64');
    }
    if (bytes > dataMaxBytes) errors.push(tooLong('', dataMaxBytes));
    return errors;
  },

  validateUpdate(object, old) {
    return validateImmutableData(object, old);
  },
};

/** What is marked immutable stays as it is. */
export function validateImmutableData(object: object, old: object): FieldError[] {
  const now = object as ConfigMap; // ConfigMaps and Secrets share these fields
  const before = old as ConfigMap;
  if (before.immutable !== true) return [];
  const phrase = 'field is immutable when `immutable` is set';
  const errors: FieldError[] = [];
  if (now.immutable !== true) errors.push(forbiddenField('immutable', phrase));
  if (!isSameMeaning(now.data, before.data)) errors.push(forbiddenField('data', phrase));
  if (!isSameMeaning(now.binaryData, before.binaryData)) errors.push(forbiddenField('binaryData', phrase));
  return errors;
}
