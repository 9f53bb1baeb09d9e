/** Names, labels and the rest of ObjectMeta: what is allowed, and upstream's words for what is not. */
import type { ObjectMeta } from '../../objects/generated/meta-v1.ts';
import { type FieldError, forbiddenField, immutable, invalidValue, required, tooLong } from './field-errors.ts';

export type NameRule = 'subdomain' | 'label' | 'label-1035' | 'segment' | 'subdomain-52';

const labelPattern = '[a-z0-9]([-a-z0-9]*[a-z0-9])?';
const subdomainPattern = `${labelPattern}(\\.${labelPattern})*`;
const label1035Pattern = '[a-z]([-a-z0-9]*[a-z0-9])?';
const qualifiedPattern = '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]';
const labelValuePattern = '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?';
const configKeyPattern = '[-._a-zA-Z0-9]+';
const annotationsMaxBytes = 262_144;

const isFull = (pattern: string, text: string): boolean => new RegExp(`^(?:${pattern})$`).test(text);
const maxLength = (max: number): string => `must be no more than ${max} characters`;

export function subdomainProblems(name: string, max = 253): string[] {
  const problems: string[] = [];
  if (name.length > max) problems.push(maxLength(max));
  if (!isFull(subdomainPattern, name)) {
    problems.push(
      `a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '${subdomainPattern}')`,
    );
  }
  return problems;
}

export function labelProblems(name: string): string[] {
  const problems: string[] = [];
  if (name.length > 63) problems.push(maxLength(63));
  if (!isFull(labelPattern, name)) {
    problems.push(
      isFull(subdomainPattern, name)
        ? 'must not contain dots'
        : `a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '${labelPattern}')`,
    );
  }
  return problems;
}

function label1035Problems(name: string): string[] {
  const problems: string[] = [];
  if (name.length > 63) problems.push(maxLength(63));
  if (!isFull(label1035Pattern, name)) {
    problems.push(
      `a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '${label1035Pattern}')`,
    );
  }
  return problems;
}

/** For names in URLs: every kind's, and all that roles need. */
export function segmentProblems(name: string): string[] {
  if (name === '.' || name === '..') return [`may not be '${name}'`];
  return ['/', '%'].filter((bad) => name.includes(bad)).map((bad) => `may not contain '${bad}'`);
}

export function nameProblems(rule: NameRule, name: string): string[] {
  switch (rule) {
    case 'subdomain':
      return subdomainProblems(name);
    case 'subdomain-52':
      return subdomainProblems(name, 52);
    case 'label':
      return labelProblems(name);
    case 'label-1035':
      return label1035Problems(name);
    case 'segment':
      return segmentProblems(name);
  }
}

/** Of keys of labels and annotations, and of provisioners. */
export function qualifiedNameProblems(key: string): string[] {
  const parts = key.split('/');
  const name = parts.at(-1) ?? '';
  const problems: string[] = [];
  if (parts.length > 2) {
    return [
      `a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '${qualifiedPattern}') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`,
    ];
  }
  if (parts.length === 2) {
    if (parts[0] === '') problems.push('prefix part must be non-empty');
    else problems.push(...subdomainProblems(parts[0] ?? '').map((problem) => `prefix part ${problem}`));
  }
  if (name === '') problems.push('name part must be non-empty');
  else if (name.length > 63) problems.push(`name part ${maxLength(63)}`);
  if (!isFull(qualifiedPattern, name)) {
    problems.push(
      `name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '${qualifiedPattern}')`,
    );
  }
  return problems;
}

function labelValueProblems(value: string): string[] {
  const problems: string[] = [];
  if (value.length > 63) problems.push(maxLength(63));
  if (!isFull(labelValuePattern, value)) {
    problems.push(
      `a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '${labelValuePattern}')`,
    );
  }
  return problems;
}

/** Keys of ConfigMaps and Secrets. */
export function configKeyProblems(key: string): string[] {
  const problems: string[] = [];
  if (key.length > 253) problems.push(maxLength(253));
  if (!isFull(configKeyPattern, key)) {
    problems.push(
      `a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '${configKeyPattern}')`,
    );
  }
  if (key === '.') problems.push("must not be '.'");
  else if (key.startsWith('..')) problems.push(key === '..' ? "must not be '..'" : "must not start with '..'");
  return problems;
}

export function validateLabels(labels: Readonly<Record<string, string>> | undefined, field: string): FieldError[] {
  return Object.entries(labels ?? {}).flatMap(([key, value]) => [
    ...qualifiedNameProblems(key).map((problem) => invalidValue(field, key, problem)),
    ...labelValueProblems(value).map((problem) => invalidValue(field, value, problem)),
  ]);
}

/** ObjectMeta of a new object. */
export function validateMeta(metadata: ObjectMeta, rule: NameRule): FieldError[] {
  const errors: FieldError[] = [];
  const { name, generateName } = metadata;
  if (generateName !== undefined && generateName !== '') {
    // a generated suffix follows: a prefix may end in "-"
    const sample = `${generateName.slice(0, 58)}x`;
    for (const problem of nameProblems(rule, sample)) {
      errors.push(invalidValue('metadata.generateName', generateName, problem));
    }
  }
  if (name === '') errors.push(required('metadata.name', 'name or generateName is required'));
  else for (const problem of nameProblems(rule, name)) errors.push(invalidValue('metadata.name', name, problem));
  return [...errors, ...validateMutableMeta(metadata)];
}

function validateMutableMeta(metadata: ObjectMeta): FieldError[] {
  const errors = validateLabels(metadata.labels, 'metadata.labels');
  let annotationBytes = 0;
  for (const [key, value] of Object.entries(metadata.annotations ?? {})) {
    for (const problem of qualifiedNameProblems(key.toLowerCase())) {
      errors.push(invalidValue('metadata.annotations', key, problem));
    }
    annotationBytes += Buffer.byteLength(key) + Buffer.byteLength(value);
  }
  if (annotationBytes > annotationsMaxBytes) errors.push(tooLong('metadata.annotations', annotationsMaxBytes));
  let controllers: string | undefined;
  for (const owner of metadata.ownerReferences ?? []) {
    const at = 'metadata.ownerReferences';
    if ((owner.apiVersion ?? '') === '')
      errors.push(invalidValue(`${at}.apiVersion`, owner.apiVersion ?? '', 'version must not be empty'));
    for (const field of ['kind', 'name', 'uid'] as const) {
      if ((owner[field] ?? '') === '') errors.push(invalidValue(`${at}.${field}`, '', 'must not be empty'));
    }
    if (owner.controller === true) {
      if (controllers !== undefined) {
        errors.push(
          invalidValue(
            at,
            metadata.ownerReferences,
            `Only one reference can have Controller set to true. Found "true" in references for ${controllers} and ${owner.kind}/${owner.name}`,
          ),
        );
      }
      controllers = `${owner.kind}/${owner.name}`;
    }
  }
  for (const finalizer of metadata.finalizers ?? []) {
    for (const problem of qualifiedNameProblems(finalizer)) {
      errors.push(invalidValue('metadata.finalizers', finalizer, problem));
    }
    const isStandard = ['orphan', 'foregroundDeletion', 'kubernetes'].includes(finalizer);
    if (!finalizer.includes('/') && !isStandard) {
      errors.push(
        invalidValue(
          'metadata.finalizers',
          finalizer,
          'name is neither a standard finalizer name nor is it fully qualified',
        ),
      );
    }
  }
  return errors;
}

/** ObjectMeta of an update: what identifies the object stays, and nothing new holds back a deletion. */
export function validateMetaUpdate(metadata: ObjectMeta, old: ObjectMeta): FieldError[] {
  const errors: FieldError[] = [];
  for (const field of [
    'name',
    'namespace',
    'uid',
    'creationTimestamp',
    'deletionTimestamp',
    'deletionGracePeriodSeconds',
  ] as const) {
    if ((metadata[field] ?? '') !== (old[field] ?? '')) errors.push(immutable(`metadata.${field}`, metadata[field]));
  }
  if (old.deletionTimestamp !== undefined) {
    const added = (metadata.finalizers ?? []).filter((one) => !(old.finalizers ?? []).includes(one));
    if (added.length > 0) {
      const list = added.map((one) => JSON.stringify(one)).join(', ');
      errors.push(
        forbiddenField(
          'metadata.finalizers',
          `no new finalizers can be added if the object is being deleted, found new finalizers []string{${list}}`,
        ),
      );
    }
  }
  return [...errors, ...validateMutableMeta(metadata)];
}
