/** What a node may not write even where it may write. */
import type { PersistentVolumeClaim } from '../../objects/generated/core-v1.ts';
import { isSameMeaning } from '../resources/api-object.ts';
import type { Admission } from '../resources/registry.ts';
import { typed } from '../resources/resource.ts';
import { forbidden } from '../resources/status-error.ts';

const nodeUserPrefix = 'system:node:';

/** Of a claim's status a node tells how large the volume has become, and how that went. */
export function restrictClaimStatus({ operation, resource, subresource, object, old, context }: Admission): void {
  if (operation !== 'update' || old === undefined) return;
  if (resource.resource !== 'persistentvolumeclaims' || subresource !== 'status') return;
  const { name, groups } = context.user;
  if (!name.startsWith(nodeUserPrefix) || !groups.includes('system:nodes')) return;
  const node = name.slice(nodeUserPrefix.length);
  const [claim, before] = [typed<PersistentVolumeClaim>(object), typed<PersistentVolumeClaim>(old)];
  if (isSameMeaning(withoutGrowth(claim), withoutGrowth(before))) return;
  const why = `node "${node}" is not allowed to update fields other than status.capacity and status.conditions`;
  throw forbidden(resource, object.metadata.name, why);
}

function withoutGrowth({ metadata, spec, status }: PersistentVolumeClaim): unknown {
  const { managedFields: _managed, resourceVersion: _revision, ...meta } = metadata;
  const {
    capacity: _capacity,
    conditions: _conditions,
    allocatedResources: _resources,
    allocatedResourceStatuses: _statuses,
    ...rest
  } = status ?? {};
  return { metadata: meta, spec, status: rest };
}
