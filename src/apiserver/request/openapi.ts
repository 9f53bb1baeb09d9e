/**
 * OpenAPI v3, one document per group and version, made from the field table when it is asked for. Enough for clients to
 * learn which fields exist and which parameters a PATCH takes; descriptions are empty. Owns the finished documents.
 */
import { createHash } from 'node:crypto';
import type { Resource } from '../resources/resource.ts';
import { type TypeInfo, elementType, typeNamed, typeOfKind } from '../resources/schema.ts';
import { groupsOf } from './discovery.ts';

export interface OpenApiDocument {
  body: string;
  hash: string;
}

export class OpenApi {
  readonly #resources: readonly Resource[];
  readonly #documents = new Map<string, OpenApiDocument>();

  constructor(resources: readonly Resource[]) {
    this.#resources = resources;
  }

  /** `/openapi/v3`: where the documents are. */
  index(): string {
    const paths: Record<string, { serverRelativeURL: string }> = {};
    for (const { group, versions } of groupsOf(this.#resources)) {
      for (const version of versions) {
        const path = group === '' ? `api/${version}` : `apis/${group}/${version}`;
        const { hash } = this.#document(group, version);
        paths[path] = { serverRelativeURL: `/openapi/v3/${path}?hash=${hash}` };
      }
    }
    return JSON.stringify({ paths });
  }

  /** The document at `api/v1`, `apis/apps/v1` …; undefined when there is none. */
  document(path: string): OpenApiDocument | undefined {
    const [prefix, ...rest] = path.split('/');
    const [group = '', version = ''] = prefix === 'api' ? ['', rest[0]] : rest;
    const isServed = this.#resources.some((one) => one.group === group && one.version === version);
    return isServed ? this.#document(group, version) : undefined;
  }

  #document(group: string, version: string): OpenApiDocument {
    const key = `${group}/${version}`;
    const known = this.#documents.get(key);
    if (known !== undefined) return known;
    const resources = this.#resources.filter((one) => one.group === group && one.version === version);
    const schemas: Record<string, object> = {};
    const paths: Record<string, object> = {};
    for (const resource of resources) addPaths(paths, resource);
    for (const { groupVersion, kind } of resources) addSchema(schemas, typeOfKind(groupVersion, kind));
    for (const { subresources } of resources) {
      for (const { kindGroupVersion, kind } of subresources.values())
        addSchema(schemas, typeOfKind(kindGroupVersion, kind));
    }
    const body = JSON.stringify({
      openapi: '3.0.0',
      info: { title: 'Kubernetes', version: 'v1.36.0' },
      paths,
      components: { schemas },
    });
    const document = { body, hash: createHash('sha512').update(body).digest('hex').toUpperCase() };
    this.#documents.set(key, document);
    return document;
  }
}

const queryParameter = (name: string, type: string): object => ({
  name,
  in: 'query',
  schema: { type, uniqueItems: true },
});
const writeParameters = ['dryRun', 'fieldManager', 'fieldValidation'].map((name) => queryParameter(name, 'string'));
const readParameters = ['labelSelector', 'fieldSelector', 'continue', 'resourceVersion'].map((name) =>
  queryParameter(name, 'string'),
);
const patchTypes = [
  'application/json-patch+json',
  'application/merge-patch+json',
  'application/strategic-merge-patch+json',
];

function addPaths(paths: Record<string, object>, resource: Resource): void {
  const root = resource.group === '' ? `/api/${resource.version}` : `/apis/${resource.groupVersion}`;
  const collection = `${root}/${resource.isNamespaced ? 'namespaces/{namespace}/' : ''}${resource.resource}`;
  paths[collection] = operations(resource, { list: 'get', create: 'post', deletecollection: 'delete' });
  if (resource.verbs.includes('get')) {
    paths[`${collection}/{name}`] = operations(resource, {
      get: 'get',
      update: 'put',
      patch: 'patch',
      delete: 'delete',
    });
  }
}

/** The verbs that the resource has, as HTTP methods of one path. */
function operations(resource: Resource, methods: Readonly<Record<string, string>>): object {
  const { group, version, kind } = resource;
  const schema = schemaRef(typeOfKind(resource.groupVersion, kind)?.name ?? '');
  const found: Record<string, object> = {};
  for (const [verb, method] of Object.entries(methods)) {
    if (!resource.verbs.includes(verb)) continue;
    const isWrite = verb === 'create' || verb === 'update' || verb === 'patch';
    const types = verb === 'patch' ? patchTypes : ['application/json', 'application/yaml'];
    const content = Object.fromEntries(
      types.map((type) => [type, { schema: verb === 'patch' ? { type: 'object' } : schema }]),
    );
    found[method] = {
      'x-kubernetes-action': verb === 'create' ? 'post' : verb === 'update' ? 'put' : verb,
      'x-kubernetes-group-version-kind': { group, version, kind },
      parameters: isWrite ? writeParameters : readParameters,
      ...(isWrite ? { requestBody: { content } } : {}),
      responses: { '200': { description: 'OK', content: { 'application/json': { schema } } } },
    };
  }
  return found;
}

const longPrefixes: ReadonlyArray<readonly [short: RegExp, long: string]> = [
  [/^meta\.v1\./, 'io.k8s.apimachinery.pkg.apis.'],
  [/^apiextensions\./, 'io.k8s.apiextensions-apiserver.pkg.apis.'],
  [/^apiregistration\./, 'io.k8s.kube-aggregator.pkg.apis.'],
  [/^Quantity$/, 'io.k8s.apimachinery.pkg.api.resource.'],
  [/^IntOrString$/, 'io.k8s.apimachinery.pkg.util.intstr.'],
  [/^RawExtension$/, 'io.k8s.apimachinery.pkg.runtime.'],
];

function longName(name: string): string {
  return (longPrefixes.find(([short]) => short.test(name))?.[1] ?? 'io.k8s.api.') + name;
}

const schemaRef = (name: string): object => ({ $ref: `#/components/schemas/${longName(name)}` });

function addSchema(schemas: Record<string, object>, type: TypeInfo | undefined): void {
  if (type === undefined || schemas[longName(type.name)] !== undefined) return;
  if (type.fields.size === 0) {
    schemas[longName(type.name)] = anySchema(type);
    return;
  }
  const properties: Record<string, object> = {};
  const required: string[] = [];
  schemas[longName(type.name)] = {
    type: 'object',
    description: '',
    properties,
    ...([...type.fields.values()].some(({ isRequired }) => isRequired) ? { required } : {}),
    ...gvkExtension(type),
  };
  for (const field of type.fields.values()) {
    if (field.isRequired) required.push(field.name);
    properties[field.name] = {
      ...fieldSchema(field.type, schemas),
      ...(field.patchStrategy.length === 0 ? {} : { 'x-kubernetes-patch-strategy': field.patchStrategy.join(',') }),
      ...(field.patchMergeKey === '' ? {} : { 'x-kubernetes-patch-merge-key': field.patchMergeKey }),
    };
  }
}

function gvkExtension({ gvk }: TypeInfo): object {
  if (gvk === '') return {};
  const parts = gvk.split('/');
  const [group = '', version = '', kind = ''] = parts.length === 3 ? parts : ['', ...parts];
  return { 'x-kubernetes-group-version-kind': [{ group, version, kind }] };
}

function anySchema({ name, scalar }: TypeInfo): object {
  if (name === 'IntOrString') return { format: 'int-or-string', oneOf: [{ type: 'integer' }, { type: 'string' }] };
  if (name === 'Quantity') return { oneOf: [{ type: 'string' }, { type: 'number' }] };
  const [type = '', format = ''] = scalar.split(':');
  return type === '' ? { type: 'object' } : { type, ...(format === '' ? {} : { format }) };
}

function fieldSchema(type: string, schemas: Record<string, object>): object {
  const element = elementType(type);
  if (element !== undefined) {
    const items = fieldSchema(element, schemas);
    return type.startsWith('[]') ? { type: 'array', items } : { type: 'object', additionalProperties: items };
  }
  const named = typeNamed(type);
  if (named !== undefined) {
    addSchema(schemas, named);
    // a reference allows no neighbours in 3.0
    return { allOf: [schemaRef(type)], default: {} };
  }
  const [base = 'object', format = ''] = type.split(':');
  return { type: base === '' ? 'object' : base, ...(format === '' ? {} : { format }) };
}
