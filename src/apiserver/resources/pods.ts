import type { Pod } from '../../objects/generated/core-v1.ts';
import { computePodQos } from '../../objects/qos.ts';
import { textAt } from './api-object.ts';
import { type FieldError, forbiddenField } from './field-errors.ts';
import { defaultPodOnly, defaultPodSpec } from './pod-defaults.ts';
import { validatePodSpec, validatePodUpdate } from './pod-validation.ts';
import { podColumns } from './print-pod.ts';
import { type Strategy, typed } from './resource.ts';

export const podStrategy: Strategy = {
  nameRule: 'subdomain',
  deleteReturnsObject: true,
  columns: podColumns,
  keepsMetadataOnStatus: ['ownerReferences'],
  selectableFields: {
    'spec.nodeName': (pod) => textAt(pod, 'spec', 'nodeName'),
    'spec.host': (pod) => textAt(pod, 'spec', 'nodeName'),
    'spec.restartPolicy': (pod) => textAt(pod, 'spec', 'restartPolicy'),
    'spec.schedulerName': (pod) => textAt(pod, 'spec', 'schedulerName'),
    'spec.serviceAccountName': (pod) => textAt(pod, 'spec', 'serviceAccountName'),
    'spec.hostNetwork': (pod) => String(textAt(pod, 'spec', 'hostNetwork') === 'true'),
    'status.phase': (pod) => textAt(pod, 'status', 'phase'),
    'status.podIP': (pod) => textAt(pod, 'status', 'podIP'),
    'status.podIPs': (pod) => textAt(pod, 'status', 'podIP'),
    'status.nominatedNodeName': (pod) => textAt(pod, 'status', 'nominatedNodeName'),
  },
  generationPart: (pod) => pod['spec'],

  applyDefaults(object) {
    object['spec'] ??= {};
    const { spec } = typed<Pod>(object);
    defaultPodSpec(spec);
    defaultPodOnly(spec);
  },

  prepareCreate(object) {
    const pod = typed<Pod>(object);
    pod.status = { phase: 'Pending', qosClass: computePodQos(pod) };
    if ((pod.spec.schedulingGates ?? []).length > 0) {
      pod.status.conditions = [
        {
          type: 'PodScheduled',
          status: 'False',
          reason: 'SchedulingGated',
          message: 'Scheduling is blocked due to non-empty scheduling gates',
        },
      ];
    }
  },

  prepareUpdate(object, old) {
    // these are set once by admission; a client that leaves them out means no change
    const { spec } = typed<Pod>(object);
    const before = typed<Pod>(old).spec;
    spec.priority ??= before.priority;
    spec.preemptionPolicy ??= before.preemptionPolicy;
    spec.ephemeralContainers = before.ephemeralContainers;
  },

  prepareStatus(object, old) {
    const pod = typed<Pod>(object);
    const qosClass = typed<Pod>(old).status?.qosClass;
    pod.status = { ...pod.status, ...(qosClass === undefined ? {} : { qosClass }) };
  },

  validate(object) {
    return validatePodSpec(typed<Pod>(object).spec, 'spec');
  },

  validateUpdate(object, old): FieldError[] {
    return validatePodUpdate(typed<Pod>(object), typed<Pod>(old));
  },

  /** Nothing to wait for when no kubelet has the pod or it has finished; otherwise what was asked, or what the pod says. */
  graceSeconds(object, askedSeconds) {
    const { spec, status } = typed<Pod>(object);
    if (!spec.nodeName || status?.phase === 'Succeeded' || status?.phase === 'Failed') return 0;
    const seconds = askedSeconds ?? spec.terminationGracePeriodSeconds ?? 30;
    return seconds < 0 ? 1 : seconds;
  },
};

/** Ephemeral containers come with their own subresource only. */
export function validateNoEphemeral(pod: Pod): FieldError[] {
  return (pod.spec.ephemeralContainers ?? []).length === 0
    ? []
    : [forbiddenField('spec.ephemeralContainers', 'cannot be set on create')];
}
