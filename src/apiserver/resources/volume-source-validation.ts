/** Where the data of volumes is: exactly one source, with what it cannot do without. In upstream's words. Pure. */
import type { PersistentVolumeSpec, Volume } from '../../objects/generated/core-v1.ts';
import { type FieldError, forbiddenField, invalidValue, notSupported, required, tooLong } from './field-errors.ts';
import { subdomainProblems } from './validate-names.ts';

/** Fields of a volume's spec that are no source. */
const others: ReadonlySet<string> = new Set([
  'accessModes',
  'capacity',
  'claimRef',
  'mountOptions',
  'nodeAffinity',
  'persistentVolumeReclaimPolicy',
  'storageClassName',
  'volumeAttributesClassName',
  'volumeMode',
]);

export function volumeSourceOf(spec: PersistentVolumeSpec): PersistentVolumeSpec {
  return Object.fromEntries(Object.entries(spec).filter(([name, value]) => !others.has(name) && value !== undefined));
}

export function validateSource(spec: PersistentVolumeSpec): FieldError[] {
  const sources = Object.keys(volumeSourceOf(spec));
  if (sources.length === 0) return [required('spec', 'must specify a volume type')];
  const errors = sources
    .slice(1)
    .map((name) => forbiddenField(`spec.${name}`, 'may not specify more than 1 volume type'));
  const { hostPath, local, nfs, csi, iscsi, persistentVolumeReclaimPolicy } = spec;
  if (hostPath !== undefined) {
    errors.push(...pathErrors(hostPath.path, 'spec.hostPath.path'));
    errors.push(...hostPathTypeErrors(hostPath.type, 'spec.hostPath.type'));
    if (/^\/*$/.test(hostPath.path || 'none') && persistentVolumeReclaimPolicy === 'Recycle') {
      const detail = "may not be 'recycle' for a hostPath mount of '/'";
      errors.push(forbiddenField('spec.persistentVolumeReclaimPolicy', detail));
    }
  }
  if (local !== undefined) errors.push(...pathErrors(local.path, 'spec.local.path'));
  if (nfs !== undefined) {
    if (!nfs.server) errors.push(required('spec.nfs.server'));
    if (!nfs.path) errors.push(required('spec.nfs.path'));
    else if (!nfs.path.startsWith('/')) {
      errors.push(invalidValue('spec.nfs.path', nfs.path, 'must be an absolute path'));
    }
  }
  if (iscsi !== undefined) {
    if (!iscsi.targetPortal) errors.push(required('spec.iscsi.targetPortal'));
    if (!iscsi.iqn) errors.push(required('spec.iscsi.iqn'));
    else if (!/^(iqn|eui|naa)/.test(iscsi.iqn)) {
      errors.push(invalidValue('spec.iscsi.iqn', iscsi.iqn, 'must be valid format'));
    }
  }
  if (csi !== undefined) {
    errors.push(...driverNameErrors(csi.driver, 'spec.csi.driver'));
    if (!csi.volumeHandle) errors.push(required('spec.csi.volumeHandle'));
    const secrets = {
      controllerPublishSecretRef: csi.controllerPublishSecretRef,
      controllerExpandSecretRef: csi.controllerExpandSecretRef,
      nodePublishSecretRef: csi.nodePublishSecretRef,
      nodeExpandSecretRef: csi.nodeExpandSecretRef,
      nodeStageSecretRef: csi.nodeStageSecretRef,
    };
    for (const [name, secret] of Object.entries(secrets)) {
      if (secret === undefined) continue;
      if (!secret.name) errors.push(required(`spec.csi.${name}.name`));
      if (!secret.namespace) errors.push(required(`spec.csi.${name}.namespace`));
    }
  }
  return errors;
}

/** Claims that a pod's volume names, or that are to be made for it. */
export function claimSourceErrors({ name, persistentVolumeClaim, ephemeral }: Volume, at: string): FieldError[] {
  const errors: FieldError[] = [];
  if (persistentVolumeClaim !== undefined && !persistentVolumeClaim.claimName) {
    errors.push(required(`${at}.persistentVolumeClaim.claimName`));
  }
  if (ephemeral === undefined || name === undefined) return errors;
  const template = ephemeral.volumeClaimTemplate;
  const field = `${at}.ephemeral.volumeClaimTemplate`;
  if (template === undefined) return [...errors, required(field)];
  for (const key of Object.keys(template.metadata ?? {})) {
    if (key !== 'labels' && key !== 'annotations')
      errors.push(forbiddenField(`${field}.metadata.${key}`, 'cannot be set'));
  }
  if (template.spec === undefined) errors.push(required(`${field}.spec`));
  return errors;
}

/** Of a CSI driver. */
export function driverNameErrors(name: string | undefined, field: string): FieldError[] {
  if (name === undefined || name === '') return [required(field)];
  const errors = name.length > 63 ? [tooLong(field, 63)] : [];
  return [...errors, ...subdomainProblems(name.toLowerCase()).map((problem) => invalidValue(field, name, problem))];
}

export function nameErrors(name: string | undefined, field: string): FieldError[] {
  if (name === undefined || name === '') return [];
  return subdomainProblems(name).map((problem) => invalidValue(field, name, problem));
}

function pathErrors(path: string | undefined, field: string): FieldError[] {
  if (path === undefined || path === '') return [required(field)];
  return path.split('/').includes('..') ? [invalidValue(field, path, "must not contain '..'")] : [];
}

const hostPathTypes = [
  '',
  'BlockDevice',
  'CharDevice',
  'Directory',
  'DirectoryOrCreate',
  'File',
  'FileOrCreate',
  'Socket',
];

function hostPathTypeErrors(type: string | undefined, field: string): FieldError[] {
  return type === undefined || hostPathTypes.includes(type) ? [] : [notSupported(field, type, hostPathTypes)];
}
