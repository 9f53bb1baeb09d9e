/** What the steps of admission share. */
import type { Clock } from '../../base/clock.ts';
import type { Admission, Registry } from '../resources/registry.ts';
import type { ResourceTable } from '../resources/resource-table.ts';

export interface AdmissionNeed {
  registry: () => Registry;
  table: ResourceTable;
  clock: Clock;
}

/** Changes the object in place, or throws a `StatusError`. */
export type Step = (admission: Admission, need: AdmissionNeed) => Promise<void> | void;

export function isCreateOf({ operation, resource, subresource }: Admission, name: string, group = ''): boolean {
  return operation === 'create' && subresource === '' && resource.resource === name && resource.group === group;
}

export function shownName({ metadata }: Admission['object']): string {
  return metadata.name || (metadata.generateName ?? '');
}
