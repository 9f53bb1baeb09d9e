import type { Node } from '../../objects/generated/core-v1.ts';
import { isSameJson, isSameMeaning, textAt } from './api-object.ts';
import { type FieldError, duplicate, forbiddenField } from './field-errors.ts';
import { nodeColumns } from './print-others.ts';
import { type Strategy, typed } from './resource.ts';

export const nodeStrategy: Strategy = {
  nameRule: 'subdomain',
  keepsStatusOnCreate: true, // a kubelet registers with its status
  columns: nodeColumns,
  selectableFields: { 'spec.unschedulable': (node) => String(textAt(node, 'spec', 'unschedulable') === 'true') },

  applyDefaults(object) {
    object['spec'] ??= {};
    const node = typed<Node>(object);
    node.status ??= {};
    const { spec, status } = node;
    if (spec.podCIDRs?.[0] !== undefined) spec.podCIDR ||= spec.podCIDRs[0];
    else if (spec.podCIDR) spec.podCIDRs = [spec.podCIDR];
    if (status.capacity !== undefined) status.allocatable ??= { ...status.capacity };
    status.daemonEndpoints ??= { kubeletEndpoint: { Port: 0 } };
    status.nodeInfo ??= {
      machineID: '',
      systemUUID: '',
      bootID: '',
      kernelVersion: '',
      osImage: '',
      containerRuntimeVersion: '',
      kubeletVersion: '',
      kubeProxyVersion: '',
      operatingSystem: '',
      architecture: '',
    };
  },

  validate(object) {
    const seen = new Set<string>();
    return (typed<Node>(object).spec.taints ?? []).flatMap(({ key, effect }, i) => {
      const id = `${key}:${effect}`;
      if (seen.has(id)) return [duplicate(`metadata.taints[${i}]`, { Key: key, Effect: effect })];
      seen.add(id);
      return [];
    });
  },

  validateUpdate(object, old): FieldError[] {
    const node = typed<Node>(object);
    const before = typed<Node>(old);
    const errors: FieldError[] = [];
    const isChanged = (now: unknown, then: unknown): boolean =>
      !isSameMeaning(then, undefined) && !isSameJson(now, then);
    if (isChanged(node.spec.podCIDRs, before.spec.podCIDRs)) {
      errors.push(forbiddenField('spec.podCIDRs', 'node updates may not change podCIDR except from "" to valid'));
    }
    if (isChanged(node.spec.providerID, before.spec.providerID)) {
      errors.push(forbiddenField('spec.providerID', 'node updates may not change providerID except from "" to valid'));
    }
    return errors;
  },
};
