import type { Deployment } from '../../objects/generated/apps-v1.ts';
import { type FieldError, forbiddenField, invalidValue } from './field-errors.ts';
import { defaultPodSpec } from './pod-defaults.ts';
import { deploymentColumns } from './print-others.ts';
import { type Strategy, typed } from './resource.ts';
import { ensureTemplate, validateSelectorKept, validateTemplate } from './pod-template.ts';

export const deploymentStrategy: Strategy = {
  nameRule: 'subdomain',
  columns: deploymentColumns,
  keepsMetadataOnStatus: ['labels'],
  generationPart: ({ metadata, spec }) => ({ spec, annotations: metadata.annotations }),

  applyDefaults(object) {
    const spec = typed<Deployment>(ensureTemplate(object)).spec;
    spec.replicas ??= 1;
    spec.strategy ??= {};
    spec.strategy.type ||= 'RollingUpdate';
    if (spec.strategy.type === 'RollingUpdate') {
      spec.strategy.rollingUpdate = { maxUnavailable: '25%', maxSurge: '25%', ...spec.strategy.rollingUpdate };
    }
    spec.revisionHistoryLimit ??= 10;
    spec.progressDeadlineSeconds ??= 600;
    if (spec.template.spec !== undefined) defaultPodSpec(spec.template.spec);
  },

  validate(object): FieldError[] {
    const { spec } = typed<Deployment>(object);
    const errors = validateTemplate('deployment', spec, ['Always']);
    const { type, rollingUpdate } = spec.strategy ?? {};
    if (type === 'Recreate' && rollingUpdate !== undefined) {
      errors.push(
        forbiddenField('spec.strategy.rollingUpdate', "may not be specified when strategy `type` is 'Recreate'"),
      );
    }
    if (type === 'RollingUpdate' && isNothing(rollingUpdate?.maxUnavailable) && isNothing(rollingUpdate?.maxSurge)) {
      errors.push(
        invalidValue(
          'spec.strategy.rollingUpdate.maxUnavailable',
          rollingUpdate?.maxUnavailable,
          'may not be 0 when `maxSurge` is 0',
        ),
      );
    }
    if (spec.progressDeadlineSeconds !== undefined && spec.progressDeadlineSeconds <= (spec.minReadySeconds ?? 0)) {
      errors.push(
        invalidValue(
          'spec.progressDeadlineSeconds',
          spec.progressDeadlineSeconds,
          'must be greater than minReadySeconds',
        ),
      );
    }
    return errors;
  },

  validateUpdate(object, old) {
    return validateSelectorKept(typed<Deployment>(object).spec.selector, typed<Deployment>(old).spec.selector);
  },
};

const isNothing = (value: number | string | undefined): boolean => value === 0 || value === '0%' || value === '0';
