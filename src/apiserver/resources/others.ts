/** Kinds that need little more than the generic path: a default here, a rule there. One entry each. */
import type { ClusterRoleBinding } from '../../objects/generated/rbac-v1.ts';
import { type ApiObject, isSameMeaning, listAt, textAt } from './api-object.ts';
import { type FieldError, forbiddenField, immutable, invalidValue } from './field-errors.ts';
import {
  ingressClassColumns,
  podDisruptionBudgetColumns,
  priorityClassColumns,
  runtimeClassColumns,
} from './print-others.ts';
import { networkPolicyStrategy } from './networkpolicies.ts';
import { defaultColumns, nameAndAge } from './print-table.ts';
import { type Strategy, typed } from './resource.ts';

const plain: Strategy = { nameRule: 'subdomain', columns: nameAndAge };
const generationPart = ({ spec }: ApiObject): unknown => spec;

/** These may not change after creation. */
function kept(...fields: string[]): (object: ApiObject, old: ApiObject) => FieldError[] {
  return (object, old) =>
    fields.filter((field) => !isSameMeaning(object[field], old[field])).map((field) => immutable(field, object[field]));
}

const binding: Strategy = {
  nameRule: 'segment',
  columns: nameAndAge,
  updateMayCreate: true,
  applyDefaults(object) {
    const { roleRef, subjects } = typed<ClusterRoleBinding>(object);
    if (roleRef !== undefined) roleRef.apiGroup ||= 'rbac.authorization.k8s.io';
    for (const subject of subjects ?? []) {
      if (subject.kind === 'User' || subject.kind === 'Group') subject.apiGroup ||= 'rbac.authorization.k8s.io';
    }
  },
  validateUpdate: (object, old) =>
    isSameMeaning(object['roleRef'], old['roleRef'])
      ? []
      : [invalidValue('roleRef', object['roleRef'], 'cannot change roleRef')],
};

const role: Strategy = { nameRule: 'segment', columns: defaultColumns, updateMayCreate: true };

export const otherStrategies: Readonly<Record<string, Strategy>> = {
  podtemplates: { ...plain, deleteReturnsObject: true },
  resourcequotas: { ...plain, deleteReturnsObject: true },
  limitranges: { ...plain, columns: defaultColumns, updateMayCreate: true },
  'controllerrevisions.apps': { ...plain, validateUpdate: kept('data') },
  'horizontalpodautoscalers.autoscaling': {
    ...plain,
    applyDefaults(object) {
      const spec = object['spec'];
      if (typeof spec === 'object' && spec !== null && !('minReplicas' in spec))
        Object.assign(spec, { minReplicas: 1 });
    },
  },
  'poddisruptionbudgets.policy': {
    ...plain,
    columns: podDisruptionBudgetColumns,
    updateNeedsRevision: true,
    generationPart,
    validate(object) {
      const both = textAt(object, 'spec', 'minAvailable') !== '' && textAt(object, 'spec', 'maxUnavailable') !== '';
      return both ? [invalidValue('spec', object['spec'], 'minAvailable and maxUnavailable cannot be both set')] : [];
    },
  },
  'priorityclasses.scheduling.k8s.io': {
    ...plain,
    columns: priorityClassColumns,
    generationPart: () => undefined,
    applyDefaults(object) {
      object['preemptionPolicy'] ??= 'PreemptLowerPriority';
    },
    validate(object) {
      const value = Number(object['value'] ?? 0);
      const { name } = object.metadata;
      const system: Record<string, number> = {
        'system-node-critical': 2_000_001_000,
        'system-cluster-critical': 2_000_000_000,
      };
      if (name.startsWith('system-')) {
        if (system[name] === value) return [];
        return [
          forbiddenField(
            'metadata.name',
            `priority class names with 'system-' prefix are reserved for system use only. error: ${name} is not a known system priority class`,
          ),
        ];
      }
      return value <= 1_000_000_000
        ? []
        : [forbiddenField('value', 'maximum allowed value of a user defined priority is 1000000000')];
    },
    validateUpdate: (object, old) =>
      object['value'] === old['value'] ? [] : [forbiddenField('value', 'may not be changed in an update.')],
  },
  'runtimeclasses.node.k8s.io': {
    ...plain,
    columns: runtimeClassColumns,
    updateNeedsRevision: true,
    updateMayCreate: true,
    validateUpdate: kept('handler'),
  },
  'ingressclasses.networking.k8s.io': { ...plain, columns: ingressClassColumns, generationPart },
  'ingresses.networking.k8s.io': { ...plain, generationPart },
  'networkpolicies.networking.k8s.io': networkPolicyStrategy,
  'ipaddresses.networking.k8s.io': { ...plain, nameRule: 'segment', validateUpdate: kept('spec') },
  'roles.rbac.authorization.k8s.io': role,
  'clusterroles.rbac.authorization.k8s.io': role,
  'rolebindings.rbac.authorization.k8s.io': binding,
  'clusterrolebindings.rbac.authorization.k8s.io': binding,
  'customresourcedefinitions.apiextensions.k8s.io': {
    ...plain,
    columns: defaultColumns,
    updateNeedsRevision: true,
    generationPart,
  },
  'apiservices.apiregistration.k8s.io': { ...plain, updateNeedsRevision: true },
  'resourceslices.resource.k8s.io': {
    ...plain,
    deleteReturnsObject: true,
    generationPart,
    selectableFields: {
      'spec.nodeName': (slice) => textAt(slice, 'spec', 'nodeName'),
      'spec.driver': (slice) => textAt(slice, 'spec', 'driver'),
    },
  },
  'resourceclaims.resource.k8s.io': { ...plain, deleteReturnsObject: true, validateUpdate: kept('spec') },
  'resourceclaimtemplates.resource.k8s.io': { ...plain, deleteReturnsObject: true, validateUpdate: kept('spec') },
  'deviceclasses.resource.k8s.io': { ...plain, deleteReturnsObject: true, generationPart },
  ...Object.fromEntries(
    [
      'mutatingwebhookconfigurations',
      'validatingwebhookconfigurations',
      'mutatingadmissionpolicies',
      'mutatingadmissionpolicybindings',
      'validatingadmissionpolicies',
      'validatingadmissionpolicybindings',
    ].map((name) => [
      `${name}.admissionregistration.k8s.io`,
      {
        ...plain,
        updateNeedsRevision: true,
        generationPart: (object: ApiObject) => object['spec'] ?? listAt(object, 'webhooks'),
      },
    ]),
  ),
};

/** For a resource without an entry. */
export const plainStrategy: Strategy = plain;
