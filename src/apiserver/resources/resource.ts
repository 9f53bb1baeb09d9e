/** What the generic path knows of a resource: its place in the API and its strategy. */
import type { ApiObject } from './api-object.ts';
import type { FieldError } from './field-errors.ts';
import type { NameRule } from './validate-names.ts';
import type { TableColumns } from './print-table.ts';

export interface Subresource {
  readonly name: string;
  readonly kind: string;
  /** The kind's own group and version when it is not the resource's, e.g. `autoscaling/v1` for `scale`. */
  readonly kindGroupVersion: string;
  readonly verbs: readonly string[];
}

export interface Resource {
  readonly group: string;
  readonly version: string;
  /** `v1`, `apps/v1`. */
  readonly groupVersion: string;
  readonly resource: string;
  readonly kind: string;
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly isNamespaced: boolean;
  readonly verbs: readonly string[];
  readonly subresources: ReadonlyMap<string, Subresource>;
  /** Under the store's prefix, with slashes at both ends: `/pods/`. Shared by all versions of a kind. */
  readonly storagePath: string;
  readonly strategy: Strategy;
  /** For a version that is not the stored one. */
  readonly conversion: Conversion | undefined;
}

/** Between a served version and the stored one. */
export interface Conversion {
  readonly storedGroupVersion: string;
  fromStored(object: ApiObject): ApiObject;
  toStored(object: ApiObject, old: ApiObject | undefined): ApiObject;
}

/** What a write took beside the object (an address, a port): kept when the write is done, given back when it failed. */
export interface Reservation {
  keep(): void;
  release(): void;
}

/** How a kind differs from the generic path. All functions are pure but `reserve` and `afterDelete`. */
export interface Strategy {
  /** Fills what the user left out, in place; for bodies of every write. */
  applyDefaults?(object: ApiObject): void;
  /** Sets what only the server may set at birth; the status has been cleared. */
  prepareCreate?(object: ApiObject): void;
  /** Carries over what the user may not change; the old status has been put in. */
  prepareUpdate?(object: ApiObject, old: ApiObject): void;
  /** For writes to `/status`, at the time `now`; everything but status and metadata has been put back. */
  prepareStatus?(object: ApiObject, old: ApiObject, now: string): void;
  validate?(object: ApiObject): FieldError[];
  validateUpdate?(object: ApiObject, old: ApiObject): FieldError[];
  warnings?(object: ApiObject): string[];
  /** Takes addresses and ports and writes them into the object. @throws {StatusError} */
  reserve?(object: ApiObject, old: ApiObject | undefined, isDryRun: boolean): Reservation | undefined;
  afterDelete?(object: ApiObject): void;
  /** Field selectors beside `metadata.name` and `metadata.namespace`. */
  readonly selectableFields?: Readonly<Record<string, (object: ApiObject) => string>>;
  /** Which writes raise `metadata.generation`: those that change this part. Undefined: the kind has no generation. */
  generationPart?(object: ApiObject): unknown;
  readonly nameRule: NameRule;
  /** Without a resourceVersion in the body an update is refused. */
  readonly updateNeedsRevision?: boolean;
  /** PUT to a name that does not exist creates. */
  readonly updateMayCreate?: boolean;
  readonly deleteReturnsObject?: boolean;
  /** The grace that a delete gets, in seconds; undefined deletes at once. */
  graceSeconds?(object: ApiObject, askedSeconds: number | undefined): number;
  readonly defaultPropagation?: 'Orphan' | 'never';
  readonly ttlSeconds?: number;
  readonly columns?: TableColumns;
  /** Creates keep the status that the client sends. */
  readonly keepsStatusOnCreate?: boolean;
  /** More than status and metadata that `/status` writes may touch, or other parts it must not. */
  readonly keepsMetadataOnStatus?: readonly ('labels' | 'annotations' | 'ownerReferences' | 'finalizers')[];
}

/** The same object with its kind's own type. Decoding has checked every field against the table, so the shape is known. */
export function typed<T extends object>(object: ApiObject): T {
  return object as unknown as T;
}
