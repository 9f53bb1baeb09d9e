/** Events, in the core group (as stored) and in events.k8s.io. */
import type { Event } from '../../objects/generated/core-v1.ts';
import { type ApiObject, type JsonObject, isJsonObject, textAt } from './api-object.ts';
import { type FieldError, invalidValue } from './field-errors.ts';
import { eventColumns } from './print-others.ts';
import { type Conversion, type Strategy, typed } from './resource.ts';

const references = ['kind', 'namespace', 'name', 'uid', 'apiVersion', 'resourceVersion', 'fieldPath'] as const;

const base: Strategy = {
  nameRule: 'subdomain',
  columns: eventColumns,
  updateMayCreate: true,
  defaultPropagation: 'never',
  ttlSeconds: 3600,
};

export const eventStrategy: Strategy = {
  ...base,
  selectableFields: {
    ...Object.fromEntries(
      references.map((field) => [
        `involvedObject.${field}`,
        (event: ApiObject) => textAt(event, 'involvedObject', field),
      ]),
    ),
    reason: (event) => textAt(event, 'reason'),
    reportingComponent: (event) => textAt(event, 'reportingComponent'),
    source: (event) => textAt(event, 'source', 'component') || textAt(event, 'reportingComponent'),
    type: (event) => textAt(event, 'type'),
  },
  applyDefaults(object) {
    const event = typed<Event>(object);
    event.source ??= {};
    event.reportingComponent ??= '';
    event.reportingInstance ??= '';
  },
  validate(object): FieldError[] {
    const { involvedObject, metadata } = typed<Event>(object);
    const namespace = involvedObject?.namespace ?? '';
    // what has no namespace of its own is reported in "default"
    const isRight =
      namespace === ''
        ? ['', 'default', 'kube-system'].includes(metadata.namespace ?? '')
        : namespace === metadata.namespace;
    return isRight ? [] : [invalidValue('involvedObject.namespace', namespace, 'does not match event.namespace')];
  },
};

/** Selectors see the object in the version that is asked for. */
export const newEventStrategy: Strategy = {
  ...eventStrategy,
  selectableFields: {
    ...Object.fromEntries(
      references.map((field) => [`regarding.${field}`, (event: ApiObject) => textAt(event, 'involvedObject', field)]),
    ),
    reason: (event) => textAt(event, 'reason'),
    reportingController: (event) => textAt(event, 'reportingComponent'),
    type: (event) => textAt(event, 'type'),
  },
};

/** Field by field: the name in events.k8s.io and in the core group. */
const renamed: ReadonlyArray<readonly [newName: string, storedName: string]> = [
  ['regarding', 'involvedObject'],
  ['note', 'message'],
  ['reportingController', 'reportingComponent'],
  ['deprecatedSource', 'source'],
  ['deprecatedFirstTimestamp', 'firstTimestamp'],
  ['deprecatedLastTimestamp', 'lastTimestamp'],
  ['deprecatedCount', 'count'],
];

export const eventConversion: Conversion = {
  storedGroupVersion: 'v1',
  fromStored: (object) => rename(object, 'events.k8s.io/v1', new Map(renamed.map(([to, from]) => [from, to]))),
  toStored: (object) => rename(object, 'v1', new Map(renamed)),
};

function rename(object: ApiObject, apiVersion: string, names: ReadonlyMap<string, string>): ApiObject {
  const fields: JsonObject = {};
  for (const [key, value] of Object.entries(object)) {
    const isEmpty = isJsonObject(value) && Object.keys(value).length === 0;
    if (!isEmpty || key === 'metadata') fields[names.get(key) ?? key] = value;
  }
  return { ...fields, apiVersion, kind: object.kind, metadata: object.metadata };
}
