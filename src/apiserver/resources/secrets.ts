import type { Secret } from '../../objects/generated/core-v1.ts';
import { textAt } from './api-object.ts';
import { dataMaxBytes, validateImmutableData } from './configmaps.ts';
import { type FieldError, immutable, invalidValue, required, tooLong } from './field-errors.ts';
import { secretColumns } from './print-others.ts';
import { type Strategy, typed } from './resource.ts';
import { configKeyProblems } from './validate-names.ts';

export const secretStrategy: Strategy = {
  nameRule: 'subdomain',
  columns: secretColumns,
  selectableFields: { type: (secret) => textAt(secret, 'type') },

  applyDefaults(object) {
    const secret = typed<Secret>(object);
    secret.type ||= 'Opaque';
    if (secret.stringData === undefined) return;
    secret.data ??= {};
    for (const [key, text] of Object.entries(secret.stringData))
      secret.data[key] = Buffer.from(text).toString('base64');
    delete secret.stringData;
  },

  validate(object) {
    const { type = '', data = {}, metadata } = typed<Secret>(object);
    const errors: FieldError[] = [];
    let bytes = 0;
    for (const [key, value] of Object.entries(data)) {
      for (const problem of configKeyProblems(key)) errors.push(invalidValue(`data[${key}]`, key, problem));
      bytes += Buffer.byteLength(value, 'base64');
    }
    if (bytes > dataMaxBytes) errors.push(tooLong('data', dataMaxBytes));
    for (const key of requiredKeys[type] ?? []) if (!(key in data)) errors.push(required(`data[${key}]`));
    const account = 'kubernetes.io/service-account.name';
    if (type === 'kubernetes.io/service-account-token' && !metadata.annotations?.[account]) {
      errors.push(required(`metadata.annotations[${account}]`));
    }
    const json = { 'kubernetes.io/dockerconfigjson': '.dockerconfigjson', 'kubernetes.io/dockercfg': '.dockercfg' }[
      type
    ];
    if (json !== undefined && json in data && !isJson(Buffer.from(data[json] ?? '', 'base64').toString())) {
      errors.push(invalidValue(`data[${json}]`, '<secret contents redacted>', 'invalid character'));
    }
    return errors;
  },

  validateUpdate(object, old) {
    const type = typed<Secret>(object).type;
    const errors = validateImmutableData(object, old);
    if (type !== typed<Secret>(old).type) errors.push(immutable('type', type));
    return errors;
  },
};

const requiredKeys: Record<string, readonly string[]> = {
  'kubernetes.io/dockerconfigjson': ['.dockerconfigjson'],
  'kubernetes.io/dockercfg': ['.dockercfg'],
  'kubernetes.io/ssh-auth': ['ssh-privatekey'],
  'kubernetes.io/tls': ['tls.crt', 'tls.key'],
};

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false; // the answer, not an error
  }
}
