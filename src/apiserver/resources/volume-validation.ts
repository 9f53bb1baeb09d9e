/** What of volumes and claims is checked before they are stored, in upstream's words. Pure. */
import { labelSelectorRequirements } from '../../objects/label-selector.ts';
import { volumeModeOf } from '../../objects/claims.ts';
import { compareQuantity, parseQuantity, zeroQuantity } from '../../objects/quantity.ts';
import type {
  PersistentVolume,
  PersistentVolumeClaim,
  PersistentVolumeClaimSpec,
  PersistentVolumeSpec,
} from '../../objects/generated/core-v1.ts';
import { copyOf, isSameMeaning } from './api-object.ts';
import { type FieldError, forbiddenField, immutable, invalidValue, notSupported, required } from './field-errors.ts';
import { nameErrors, validateSource, volumeSourceOf } from './volume-source-validation.ts';

const accessModes = ['ReadOnlyMany', 'ReadWriteMany', 'ReadWriteOnce', 'ReadWriteOncePod'];
const volumeModes = ['Block', 'Filesystem'];

export function validateVolume({ spec }: PersistentVolume): FieldError[] {
  if (spec === undefined) return [required('spec')];
  return [
    ...accessModeErrors(spec.accessModes, ''),
    ...capacityErrors(spec.capacity),
    ...oneOf(spec.persistentVolumeReclaimPolicy, 'spec.persistentVolumeReclaimPolicy', ['Delete', 'Recycle', 'Retain']),
    ...affinityErrors(spec),
    ...validateSource(spec),
    ...nameErrors(spec.storageClassName, 'spec.storageClassName'),
    ...oneOf(spec.volumeMode, 'spec.volumeMode', volumeModes),
    ...attributesClassErrors(spec),
  ];
}

function capacityErrors(capacity: Record<string, string> | undefined): FieldError[] {
  const field = 'spec.capacity';
  const entries = Object.entries(capacity ?? {});
  const errors: FieldError[] = [];
  if (entries.length === 0) errors.push(required(field));
  if (capacity?.['storage'] === undefined || entries.length > 1) {
    errors.push(notSupported(field, capacity, ['storage']));
  }
  return [...errors, ...entries.flatMap(([name, amount]) => positive(amount, `${field}[${name}]`))];
}

function affinityErrors({ nodeAffinity, local }: PersistentVolumeSpec): FieldError[] {
  const field = 'spec.nodeAffinity';
  if (nodeAffinity === undefined)
    return local === undefined ? [] : [required(field, 'Local volume requires node affinity')];
  if (nodeAffinity.required === undefined)
    return [required(`${field}.required`, 'must specify required node constraints')];
  return nodeAffinity.required.nodeSelectorTerms.length === 0
    ? [required(`${field}.required.nodeSelectorTerms`, 'must have at least one node selector term')]
    : [];
}

function attributesClassErrors({ volumeAttributesClassName, csi }: PersistentVolumeSpec): FieldError[] {
  const field = 'spec.volumeAttributesClassName';
  if (volumeAttributesClassName === undefined) return [];
  if (volumeAttributesClassName === '') return [required(field, 'an empty string is disallowed')];
  const errors = nameErrors(volumeAttributesClassName, field);
  if (csi === undefined) errors.push(required('spec.csi', 'has to be specified when using volumeAttributesClassName'));
  return errors;
}

export function validateVolumeUpdate({ spec }: PersistentVolume, { spec: old }: PersistentVolume): FieldError[] {
  if (spec === undefined || old === undefined) return [];
  const errors: FieldError[] = [];
  const source = copyOf(volumeSourceOf(spec));
  // a secret for growing may come later
  if (old.csi?.controllerExpandSecretRef === undefined) delete source.csi?.controllerExpandSecretRef;
  if (!isSameMeaning(source, volumeSourceOf(old))) {
    errors.push(
      forbiddenField('spec.persistentvolumesource', 'spec.persistentvolumesource is immutable after creation'),
    );
  }
  if (spec.volumeMode !== old.volumeMode) errors.push(immutable('volumeMode', spec.volumeMode));
  if (old.nodeAffinity !== undefined && !isSameMeaning(spec.nodeAffinity, old.nodeAffinity)) {
    errors.push(immutable('nodeAffinity', spec.nodeAffinity));
  }
  return errors;
}

export function validateClaim({ spec }: PersistentVolumeClaim): FieldError[] {
  return spec === undefined ? [required('spec')] : validateClaimSpec(spec, 'spec');
}

/** Of a claim, or of the template in a pod's ephemeral volume. */
export function validateClaimSpec(spec: PersistentVolumeClaimSpec, field: string): FieldError[] {
  const storage = spec.resources?.requests?.['storage'];
  const limit = spec.resources?.limits?.['storage'];
  const errors = accessModeErrors(spec.accessModes, 'at least 1 access mode is required', `${field}.accessModes`);
  errors.push(...selectorErrors(spec, `${field}.selector`));
  if (storage === undefined) errors.push(required(`${field}.resources[storage]`));
  else errors.push(...positive(storage, `${field}.resources[storage]`));
  if (
    storage !== undefined &&
    limit !== undefined &&
    compareQuantity(parseQuantity(storage), parseQuantity(limit)) > 0
  ) {
    errors.push(
      invalidValue(`${field}.resources.requests`, storage, `must be less than or equal to storage limit of ${limit}`),
    );
  }
  errors.push(...nameErrors(spec.storageClassName, `${field}.storageClassName`));
  errors.push(...oneOf(spec.volumeMode, `${field}.volumeMode`, volumeModes));
  errors.push(...nameErrors(spec.volumeAttributesClassName, `${field}.volumeAttributesClassName`));
  for (const name of ['dataSource', 'dataSourceRef'] as const) {
    const source = spec[name];
    if (source === undefined) continue;
    if (!source.name) errors.push(required(`${field}.${name}.name`));
    if (!source.kind) errors.push(required(`${field}.${name}.kind`));
    if (!source.apiGroup && source.kind && source.kind !== 'PersistentVolumeClaim') {
      const detail = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
      errors.push(invalidValue(`${field}.${name}`, source.kind, detail));
    }
  }
  return errors;
}

function selectorErrors({ selector }: PersistentVolumeClaimSpec, field: string): FieldError[] {
  const operators = ['In', 'NotIn', 'Exists', 'DoesNotExist'];
  for (const [i, { operator }] of (selector?.matchExpressions ?? []).entries()) {
    if (!operators.includes(operator)) {
      return [invalidValue(`${field}.matchExpressions[${i}].operator`, operator, 'not a valid selector operator')];
    }
  }
  try {
    labelSelectorRequirements(selector);
    return [];
  } catch (err) {
    return [invalidValue(field, selector, err instanceof Error ? err.message : String(err))];
  }
}

const claimUpdatePhrase =
  'spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims';

export function validateClaimUpdate(claim: PersistentVolumeClaim, old: PersistentVolumeClaim): FieldError[] {
  const [spec, before] = [claim.spec, old.spec];
  if (spec === undefined || before === undefined) return [];
  const errors: FieldError[] = [];
  const masked: PersistentVolumeClaimSpec = {
    ...spec,
    ...(before.volumeName ? {} : { volumeName: undefined }),
    // a class may be given later where there was none to give
    ...(before.storageClassName === undefined ? { storageClassName: undefined } : {}),
  };
  const wanted = { ...before, ...(before.volumeName ? {} : { volumeName: undefined }) };
  if (old.status?.phase === 'Bound') {
    masked.resources = { ...masked.resources, requests: before.resources?.requests };
    masked.volumeAttributesClassName = before.volumeAttributesClassName;
  }
  if (!isSameMeaning(masked, wanted)) errors.push(forbiddenField('spec', claimUpdatePhrase));
  const [size, oldSize, hasSize] = [
    spec.resources?.requests?.['storage'],
    before.resources?.requests?.['storage'],
    old.status?.capacity?.['storage'],
  ].map((text) => (text === undefined ? zeroQuantity : parseQuantity(text)));
  if (size !== undefined && oldSize !== undefined && hasSize !== undefined && compareQuantity(size, oldSize) < 0) {
    // a claim whose growth has failed may ask for less again, but for no less than it has
    if (compareQuantity(size, hasSize) <= 0) {
      errors.push(forbiddenField('spec.resources.requests.storage', 'field can not be less than status.capacity'));
    }
  }
  if (volumeModeOf(spec) !== volumeModeOf(before)) errors.push(immutable('volumeMode', spec.volumeMode));
  if (before.volumeAttributesClassName !== undefined && spec.volumeAttributesClassName === undefined) {
    const detail = 'update from non-nil value to nil is forbidden';
    errors.push(forbiddenField('spec.volumeAttributesClassName', detail));
  }
  return errors;
}

function accessModeErrors(modes: string[] | undefined, detail: string, field = 'spec.accessModes'): FieldError[] {
  if (modes === undefined || modes.length === 0) return [required(field, detail)];
  const errors = modes
    .filter((mode) => !accessModes.includes(mode))
    .map((mode) => notSupported(field, mode, accessModes));
  if (modes.includes('ReadWriteOncePod') && modes.some((mode) => mode !== 'ReadWriteOncePod')) {
    errors.push(forbiddenField(field, 'may not use ReadWriteOncePod with other access modes'));
  }
  return errors;
}

function positive(amount: string, field: string): FieldError[] {
  return compareQuantity(parseQuantity(amount), zeroQuantity) > 0
    ? []
    : [invalidValue(field, amount, 'must be greater than zero')];
}

function oneOf(value: string | undefined, field: string, supported: readonly string[]): FieldError[] {
  return value === undefined || supported.includes(value) ? [] : [notSupported(field, value, supported)];
}
