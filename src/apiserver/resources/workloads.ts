/** StatefulSets, DaemonSets, Jobs, CronJobs and ReplicationControllers: their defaults and what must hold of them. */
import type { DaemonSet, StatefulSet } from '../../objects/generated/apps-v1.ts';
import type { CronJob, Job } from '../../objects/generated/batch-v1.ts';
import type { ReplicationController } from '../../objects/generated/core-v1.ts';
import { type ApiObject, isJsonObject, isSameMeaning, textAt } from './api-object.ts';
import { type FieldError, forbiddenField, immutable, required } from './field-errors.ts';
import { defaultPodSpec } from './pod-defaults.ts';
import { ensureTemplate, validateSelectorKept, validateTemplate } from './pod-template.ts';
import { validatePodSpec } from './pod-validation.ts';
import {
  cronJobColumns,
  daemonSetColumns,
  jobColumns,
  replicationControllerColumns,
  statefulSetColumns,
} from './print-others.ts';
import { type Strategy, typed } from './resource.ts';

const generationPart = ({ spec }: ApiObject): unknown => spec;

export const statefulSetStrategy: Strategy = {
  nameRule: 'label',
  columns: statefulSetColumns,
  generationPart,
  applyDefaults(object) {
    const { spec } = typed<StatefulSet>(ensureTemplate(object));
    if (spec === undefined) return;
    spec.replicas ??= 1;
    spec.podManagementPolicy ||= 'OrderedReady';
    spec.updateStrategy ??= {};
    spec.updateStrategy.type ||= 'RollingUpdate';
    if (spec.updateStrategy.type === 'RollingUpdate') {
      spec.updateStrategy.rollingUpdate = { partition: 0, ...spec.updateStrategy.rollingUpdate };
    }
    spec.revisionHistoryLimit ??= 10;
    spec.persistentVolumeClaimRetentionPolicy = {
      whenDeleted: 'Retain',
      whenScaled: 'Retain',
      ...spec.persistentVolumeClaimRetentionPolicy,
    };
    spec.serviceName ??= '';
    for (const claim of spec.volumeClaimTemplates ?? []) {
      claim.kind ||= 'PersistentVolumeClaim';
      claim.apiVersion ||= 'v1';
      if (claim.spec !== undefined) claim.spec.volumeMode ||= 'Filesystem';
      claim.status ??= { phase: 'Pending' };
    }
    if (spec.template.spec !== undefined) defaultPodSpec(spec.template.spec);
  },
  prepareCreate(object) {
    object['status'] = { replicas: 0, availableReplicas: 0 };
  },
  validate: (object) => validateTemplate('statefulset', typed<StatefulSet>(object).spec ?? {}, ['Always']),
  validateUpdate(object, old): FieldError[] {
    if (isSameMeaning(fixedPart(typed<StatefulSet>(object)), fixedPart(typed<StatefulSet>(old)))) return [];
    return [
      forbiddenField(
        'spec',
        "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
      ),
    ];
  },
};

/** What of a StatefulSet's spec never changes. */
function fixedPart({ spec }: StatefulSet): object {
  return {
    ...spec,
    replicas: undefined,
    ordinals: undefined,
    template: undefined,
    updateStrategy: undefined,
    revisionHistoryLimit: undefined,
    persistentVolumeClaimRetentionPolicy: undefined,
    minReadySeconds: undefined,
  };
}

const templateGeneration = 'deprecated.daemonset.template.generation';

export const daemonSetStrategy: Strategy = {
  nameRule: 'subdomain',
  columns: daemonSetColumns,
  generationPart,
  applyDefaults(object) {
    const { spec } = typed<DaemonSet>(ensureTemplate(object));
    if (spec === undefined) return;
    spec.updateStrategy ??= {};
    spec.updateStrategy.type ||= 'RollingUpdate';
    if (spec.updateStrategy.type === 'RollingUpdate') {
      spec.updateStrategy.rollingUpdate = { maxUnavailable: 1, maxSurge: 0, ...spec.updateStrategy.rollingUpdate };
    }
    spec.revisionHistoryLimit ??= 10;
    if (spec.template.spec !== undefined) defaultPodSpec(spec.template.spec);
  },
  prepareCreate(object) {
    const { metadata } = object;
    metadata.annotations = { [templateGeneration]: '1', ...metadata.annotations };
    object['status'] = { currentNumberScheduled: 0, desiredNumberScheduled: 0, numberMisscheduled: 0, numberReady: 0 };
  },
  prepareUpdate(object, old) {
    const before = Number(old.metadata.annotations?.[templateGeneration] ?? '1');
    const isSame = isSameMeaning(typed<DaemonSet>(object).spec?.template, typed<DaemonSet>(old).spec?.template);
    object.metadata.annotations = {
      ...object.metadata.annotations,
      [templateGeneration]: String(isSame ? before : before + 1),
    };
  },
  validate: (object) => validateTemplate('daemonset', typed<DaemonSet>(object).spec ?? {}, ['Always']),
  validateUpdate: (object, old) =>
    validateSelectorKept(typed<DaemonSet>(object).spec?.selector, typed<DaemonSet>(old).spec?.selector),
};

export const jobStrategy: Strategy = {
  nameRule: 'subdomain',
  columns: jobColumns,
  generationPart,
  defaultPropagation: 'Orphan',
  selectableFields: { 'status.successful': (job) => textAt(job, 'status', 'succeeded') || '0' },
  applyDefaults(object) {
    const { spec } = typed<Job>(ensureTemplate(object));
    if (spec === undefined) return;
    if (spec.completions === undefined && spec.parallelism === undefined) spec.completions = 1;
    spec.parallelism ??= 1;
    spec.backoffLimit ??= spec.backoffLimitPerIndex === undefined ? 6 : 2_147_483_647;
    spec.completionMode ||= 'NonIndexed';
    spec.suspend ??= false;
    spec.podReplacementPolicy ||= spec.podFailurePolicy === undefined ? 'TerminatingOrFailed' : 'Failed';
    spec.manualSelector ??= false;
    for (const rule of spec.podFailurePolicy?.rules ?? []) {
      for (const pattern of rule.onPodConditions ?? []) pattern.status ||= 'True';
    }
    if (spec.template.spec !== undefined) defaultPodSpec(spec.template.spec);
  },
  prepareCreate(object) {
    const { spec, metadata } = typed<Job>(object);
    if (spec === undefined || spec.manualSelector === true) return;
    const uid = metadata.uid ?? '';
    spec.selector = { matchLabels: { 'batch.kubernetes.io/controller-uid': uid } };
    const labels = {
      ...spec.template.metadata?.labels,
      'controller-uid': uid,
      'job-name': metadata.name,
      'batch.kubernetes.io/controller-uid': uid,
      'batch.kubernetes.io/job-name': metadata.name,
    };
    Object.assign(spec.template, { metadata: { ...spec.template.metadata, labels } });
    metadata.labels ??= { ...labels };
  },
  validate(object) {
    const spec = typed<Job>(object).spec?.template.spec;
    if (spec === undefined) return [required('spec.template.spec')];
    const errors = validatePodSpec(spec, 'spec.template.spec');
    if (spec.restartPolicy !== 'OnFailure' && spec.restartPolicy !== 'Never') {
      errors.push(required('spec.template.spec.restartPolicy', 'valid values: "OnFailure", "Never"'));
    }
    return errors;
  },
  validateUpdate(object, old) {
    const now = typed<Job>(object).spec;
    const before = typed<Job>(old).spec;
    const kept = ['selector', 'completionMode', 'podFailurePolicy', 'backoffLimitPerIndex', 'managedBy'] as const;
    const errors = kept
      .filter((field) => !isSameMeaning(now?.[field], before?.[field]))
      .map((field) => immutable(`spec.${field}`, now?.[field]));
    if (before?.suspend !== true && !isSameMeaning(now?.template, before?.template)) {
      errors.push(immutable('spec.template', now?.template));
    }
    return errors;
  },
};

export const cronJobStrategy: Strategy = {
  nameRule: 'subdomain-52',
  columns: cronJobColumns,
  generationPart,
  applyDefaults(object) {
    object['spec'] ??= {};
    const { spec } = typed<CronJob>(object);
    if (spec === undefined) return;
    spec.concurrencyPolicy ||= 'Allow';
    spec.suspend ??= false;
    spec.successfulJobsHistoryLimit ??= 3;
    spec.failedJobsHistoryLimit ??= 1;
    const pod = spec.jobTemplate?.spec?.template?.spec;
    if (pod !== undefined) defaultPodSpec(pod);
  },
  validate(object) {
    const spec = typed<CronJob>(object).spec;
    const errors: FieldError[] = [];
    const schedule = spec?.schedule ?? '';
    if (schedule === '') errors.push(required('spec.schedule'));
    else if (!schedule.startsWith('@') && schedule.trim().split(/\s+/).length !== 5) {
      const fields = schedule.trim().split(/\s+/);
      errors.push({
        reason: 'FieldValueInvalid',
        field: 'spec.schedule',
        phrase: `Invalid value: ${JSON.stringify(schedule)}: expected exactly 5 fields, found ${fields.length}: [${fields.join(' ')}]`,
      });
    }
    const pod = spec?.jobTemplate?.spec?.template?.spec;
    if (pod === undefined) return [...errors, required('spec.jobTemplate.spec.template.spec')];
    return [...errors, ...validatePodSpec(pod, 'spec.jobTemplate.spec.template.spec')];
  },
};

export const replicationControllerStrategy: Strategy = {
  nameRule: 'subdomain',
  columns: replicationControllerColumns,
  generationPart,
  defaultPropagation: 'Orphan',
  selectableFields: { 'status.replicas': (controller) => textAt(controller, 'status', 'replicas') || '0' },
  applyDefaults(object) {
    const { spec, metadata } = typed<ReplicationController>(ensureTemplate(object));
    if (spec === undefined) return;
    spec.replicas ??= 1;
    const labels = spec.template?.metadata?.labels;
    if (labels !== undefined && Object.keys(spec.selector ?? {}).length === 0) spec.selector = { ...labels };
    if (labels !== undefined && !isJsonObject(metadata.labels)) metadata.labels = { ...labels };
    if (spec.template?.spec !== undefined) defaultPodSpec(spec.template.spec);
  },
  prepareCreate(object) {
    object['status'] = { replicas: 0 };
  },
  validate(object) {
    const pod = typed<ReplicationController>(object).spec?.template?.spec;
    return pod === undefined ? [required('spec.template.spec')] : validatePodSpec(pod, 'spec.template.spec');
  },
};
