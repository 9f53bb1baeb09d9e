import type { ReplicaSet } from '../../objects/generated/apps-v1.ts';
import { defaultPodSpec } from './pod-defaults.ts';
import { ensureTemplate, validateSelectorKept, validateTemplate } from './pod-template.ts';
import { replicaSetColumns } from './print-others.ts';
import { type Strategy, typed } from './resource.ts';

export const replicaSetStrategy: Strategy = {
  nameRule: 'subdomain',
  columns: replicaSetColumns,
  generationPart: ({ spec }) => spec,
  applyDefaults(object) {
    const { spec } = typed<ReplicaSet>(ensureTemplate(object));
    spec.replicas ??= 1;
    if (spec.template?.spec !== undefined) defaultPodSpec(spec.template.spec);
  },
  prepareCreate(object) {
    object['status'] = { replicas: 0 };
  },
  validate(object) {
    return validateTemplate('replicaset', typed<ReplicaSet>(object).spec, ['Always']);
  },
  validateUpdate(object, old) {
    return validateSelectorKept(typed<ReplicaSet>(object).spec.selector, typed<ReplicaSet>(old).spec.selector);
  },
};
