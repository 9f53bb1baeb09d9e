/** Volumes, claims and what CSI drivers and their controllers keep in the API. One entry each. */
import type { PersistentVolume, PersistentVolumeClaim } from '../../objects/generated/core-v1.ts';
import type {
  CSIDriver,
  CSINode,
  CSINodeDriver,
  StorageClass,
  VolumeAttachment,
  VolumeAttributesClass,
} from '../../objects/generated/storage-v1.ts';
import { type ApiObject, isSameMeaning } from './api-object.ts';
import {
  type FieldError,
  duplicate,
  forbiddenField,
  immutable,
  invalidValue,
  notSupported,
  required,
} from './field-errors.ts';
import {
  attributesClassColumns,
  csiDriverColumns,
  csiNodeColumns,
  persistentVolumeClaimColumns,
  persistentVolumeColumns,
  storageClassColumns,
  volumeAttachmentColumns,
} from './print-storage.ts';
import { defaultColumns } from './print-table.ts';
import { type Strategy, typed } from './resource.ts';
import { qualifiedNameProblems } from './validate-names.ts';
import { validateClaim, validateClaimUpdate, validateVolume, validateVolumeUpdate } from './volume-validation.ts';
import { driverNameErrors, nameErrors } from './volume-source-validation.ts';

const plain = { nameRule: 'subdomain', deleteReturnsObject: true } as const;

const nodeIdMax = 256;
const allocatablePeriodMin = 10;

export const storageStrategies: Readonly<Record<string, Strategy>> = {
  persistentvolumes: {
    ...plain,
    columns: persistentVolumeColumns,
    applyDefaults(object) {
      object['spec'] ??= {};
      const { spec } = typed<PersistentVolume>(object);
      if (spec === undefined) return;
      spec.persistentVolumeReclaimPolicy ||= 'Retain';
      spec.volumeMode ||= 'Filesystem';
      if (spec.hostPath !== undefined) spec.hostPath.type ??= '';
      if (spec.iscsi !== undefined) spec.iscsi.iscsiInterface ||= 'default';
    },
    prepareCreate(object) {
      object['status'] = { phase: 'Pending', lastPhaseTransitionTime: object.metadata.creationTimestamp };
    },
    prepareStatus(object, old, now) {
      const [volume, before] = [typed<PersistentVolume>(object), typed<PersistentVolume>(old)];
      if (volume.status === undefined || volume.status.phase === before.status?.phase) return;
      if (volume.status.lastPhaseTransitionTime === before.status?.lastPhaseTransitionTime) {
        volume.status.lastPhaseTransitionTime = now;
      }
    },
    validate: (object) => validateVolume(typed(object)),
    validateUpdate: (object, old) => validateVolumeUpdate(typed(object), typed(old)),
  },
  persistentvolumeclaims: {
    ...plain,
    columns: persistentVolumeClaimColumns,
    applyDefaults(object) {
      object['spec'] ??= {};
      const { spec } = typed<PersistentVolumeClaim>(object);
      if (spec !== undefined) spec.volumeMode ||= 'Filesystem';
    },
    prepareCreate(object) {
      object['status'] = { phase: 'Pending' };
      const { spec } = typed<PersistentVolumeClaim>(object);
      if (spec === undefined) return;
      // two names of the same: each is filled from the other
      if (spec.dataSource !== undefined && spec.dataSourceRef === undefined)
        spec.dataSourceRef = { ...spec.dataSource };
      else if (spec.dataSourceRef !== undefined && spec.dataSourceRef.namespace === undefined) {
        spec.dataSource ??= { ...spec.dataSourceRef };
      }
    },
    validate: (object) => validateClaim(typed(object)),
    validateUpdate: (object, old) => validateClaimUpdate(typed(object), typed(old)),
  },
  'storageclasses.storage.k8s.io': {
    ...plain,
    columns: storageClassColumns,
    applyDefaults(object) {
      const storageClass = typed<StorageClass>(object);
      storageClass.reclaimPolicy ||= 'Delete';
      storageClass.volumeBindingMode ||= 'Immediate';
    },
    validate(object) {
      const { provisioner, parameters, reclaimPolicy, volumeBindingMode } = typed<StorageClass>(object);
      const errors = provisionerErrors(provisioner, 'provisioner');
      if (Object.hasOwn(parameters ?? {}, '')) errors.push(invalidValue('parameters', '', 'field can not be empty'));
      errors.push(...oneOf(reclaimPolicy, 'reclaimPolicy', ['Delete', 'Retain']));
      errors.push(...oneOf(volumeBindingMode, 'volumeBindingMode', ['Immediate', 'WaitForFirstConsumer']));
      return errors;
    },
    validateUpdate(object, old) {
      const errors = (['parameters', 'provisioner', 'reclaimPolicy'] as const)
        .filter((field) => !isSameMeaning(object[field], old[field]))
        .map((field) => forbiddenField(field, `updates to ${field} are forbidden.`));
      if (object['volumeBindingMode'] !== old['volumeBindingMode']) {
        errors.push(immutable('volumeBindingMode', object['volumeBindingMode']));
      }
      return errors;
    },
  },
  'csidrivers.storage.k8s.io': {
    ...plain,
    updateNeedsRevision: true,
    columns: csiDriverColumns,
    applyDefaults(object) {
      object['spec'] ??= {};
      const { spec } = typed<CSIDriver>(object);
      spec.attachRequired ??= true;
      spec.podInfoOnMount ??= false;
      spec.volumeLifecycleModes ??= ['Persistent'];
      spec.storageCapacity ??= false;
      spec.fsGroupPolicy ||= 'ReadWriteOnceWithFSType';
      spec.requiresRepublish ??= false;
      spec.seLinuxMount ??= false;
    },
    validate: validateDriver,
    validateUpdate(object, old) {
      const [spec, before] = [typed<CSIDriver>(object).spec, typed<CSIDriver>(old).spec];
      const errors: FieldError[] = [];
      if (spec.attachRequired !== before.attachRequired) {
        errors.push(immutable('spec.attachedRequired', spec.attachRequired));
      }
      if (!isSameMeaning(spec.volumeLifecycleModes, before.volumeLifecycleModes)) {
        errors.push(immutable('spec.volumeLifecycleModes', spec.volumeLifecycleModes));
      }
      return errors;
    },
  },
  'csinodes.storage.k8s.io': {
    ...plain,
    updateNeedsRevision: true,
    columns: csiNodeColumns,
    validate: validateCsiNode,
    validateUpdate(object, old) {
      // how many volumes a driver takes may change
      const rest = (driver: CSINodeDriver): unknown => ({ ...driver, allocatable: undefined });
      const before = typed<CSINode>(old).spec.drivers;
      return typed<CSINode>(object).spec.drivers.flatMap((driver) => {
        const same = before.find(({ name }) => name === driver.name);
        return same === undefined || isSameMeaning(rest(same), rest(driver))
          ? []
          : [immutable('CSINodeDriver', driver)];
      });
    },
  },
  'csistoragecapacities.storage.k8s.io': {
    nameRule: 'subdomain',
    updateNeedsRevision: true,
    columns: defaultColumns,
    validate: (object) => (object['storageClassName'] ? [] : [required('storageClassName')]),
    validateUpdate: keeps('nodeTopology', 'storageClassName'),
  },
  'volumeattachments.storage.k8s.io': {
    ...plain,
    updateNeedsRevision: true,
    columns: volumeAttachmentColumns,
    prepareCreate(object) {
      object['status'] = { attached: false };
    },
    validate(object) {
      const { attacher, nodeName, source } = typed<VolumeAttachment>(object).spec;
      const errors = driverNameErrors(attacher, 'spec.attacher');
      const detail = 'must specify exactly one of inlineVolumeSpec and persistentVolumeName';
      const { inlineVolumeSpec, persistentVolumeName } = source ?? {};
      if (inlineVolumeSpec === undefined && persistentVolumeName === undefined) {
        errors.push(required('spec.source', detail));
      } else if (inlineVolumeSpec !== undefined && persistentVolumeName !== undefined) {
        errors.push(forbiddenField('spec.source', detail));
      }
      errors.push(...nameErrors(persistentVolumeName, 'spec.source.persistentVolumeName'));
      errors.push(...(nodeName ? nameErrors(nodeName, 'spec.nodeName') : [required('spec.nodeName')]));
      return errors;
    },
    validateUpdate: keeps('spec'),
  },
  'volumeattributesclasses.storage.k8s.io': {
    ...plain,
    columns: attributesClassColumns,
    validate(object) {
      const { driverName, parameters } = typed<VolumeAttributesClass>(object);
      const errors = provisionerErrors(driverName, 'driverName');
      if (Object.keys(parameters ?? {}).length === 0) {
        errors.push(required('parameters', 'must contain at least one key/value pair'));
      }
      return errors;
    },
    validateUpdate(object, old) {
      return (['driverName', 'parameters'] as const)
        .filter((field) => !isSameMeaning(object[field], old[field]))
        .map((field) => forbiddenField(field, `updates to ${field} are forbidden.`));
    },
  },
};

function validateDriver(object: ApiObject): FieldError[] {
  const { metadata, spec } = typed<CSIDriver>(object);
  const errors = driverNameErrors(metadata.name, 'metadata.name');
  const policies = ['ReadWriteOnceWithFSType', 'File', 'None'];
  errors.push(...oneOf(spec.fsGroupPolicy, 'spec.fsGroupPolicy', policies));
  for (const mode of spec.volumeLifecycleModes ?? []) {
    errors.push(...oneOf(mode, 'spec.volumeLifecycleModes', ['Persistent', 'Ephemeral']));
  }
  const audiences = new Set<string>();
  for (const [i, { audience, expirationSeconds }] of (spec.tokenRequests ?? []).entries()) {
    const at = `spec.tokenRequests[${i}]`;
    if (audiences.has(audience)) errors.push(duplicate(`${at}.audience`, audience));
    audiences.add(audience);
    if (expirationSeconds === undefined) continue;
    if (expirationSeconds < 600) {
      const detail = 'may not specify a duration less than 10 minutes';
      errors.push(invalidValue(`${at}.expirationSeconds`, expirationSeconds, detail));
    } else if (expirationSeconds > 2 ** 32) {
      const detail = 'may not specify a duration larger than 2^32 seconds';
      errors.push(invalidValue(`${at}.expirationSeconds`, expirationSeconds, detail));
    }
  }
  const periodS = spec.nodeAllocatableUpdatePeriodSeconds;
  if (periodS !== undefined && periodS < allocatablePeriodMin) {
    const detail = `must be greater than or equal to ${allocatablePeriodMin} seconds`;
    errors.push(invalidValue('spec.nodeAllocatableUpdatePeriodSeconds', periodS, detail));
  }
  return errors;
}

function validateCsiNode(object: ApiObject): FieldError[] {
  const seen = new Set<string>();
  return (typed<CSINode>(object).spec?.drivers ?? []).flatMap((driver, i) => {
    const at = `spec.drivers[${i}]`;
    const errors = driverNameErrors(driver.name, `${at}.name`);
    if (!driver.nodeID) errors.push(required(`${at}.nodeID`));
    else if (driver.nodeID.length > nodeIdMax) {
      const detail = `must be ${nodeIdMax} characters or less`;
      errors.push(invalidValue(`${at}.nodeID`, driver.nodeID, detail));
    }
    if ((driver.allocatable?.count ?? 0) < 0) {
      const detail = 'must be greater than or equal to 0';
      errors.push(invalidValue(`${at}.allocatable.count`, driver.allocatable?.count, detail));
    }
    const keys = new Set<string>();
    for (const key of driver.topologyKeys ?? []) {
      if (keys.has(key)) errors.push(duplicate(`${at}.topologyKeys`, key));
      keys.add(key);
      errors.push(...qualifiedNameProblems(key).map((problem) => invalidValue(`${at}.topologyKeys`, key, problem)));
    }
    if (seen.has(driver.name)) errors.push(duplicate(`${at}.name`, driver.name));
    seen.add(driver.name);
    return errors;
  });
}

function provisionerErrors(name: string | undefined, field: string): FieldError[] {
  if (name === undefined || name === '') return [required(field)];
  return qualifiedNameProblems(name.toLowerCase()).map((problem) => invalidValue(field, name.toLowerCase(), problem));
}

function oneOf(value: string | undefined, field: string, supported: readonly string[]): FieldError[] {
  return value === undefined || supported.includes(value) ? [] : [notSupported(field, value, supported)];
}

/** These may not change after creation. */
function keeps(...fields: string[]): (object: ApiObject, old: ApiObject) => FieldError[] {
  return (object, old) =>
    fields.filter((field) => !isSameMeaning(object[field], old[field])).map((field) => immutable(field, object[field]));
}
