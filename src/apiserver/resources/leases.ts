import type { Lease } from '../../objects/generated/coordination-v1.ts';
import { type FieldError, invalidValue } from './field-errors.ts';
import { leaseColumns } from './print-others.ts';
import { type Strategy, typed } from './resource.ts';

export const leaseStrategy: Strategy = {
  nameRule: 'subdomain',
  columns: leaseColumns,
  updateNeedsRevision: true,
  updateMayCreate: true,
  applyDefaults(object) {
    object['spec'] ??= {};
  },
  validate(object): FieldError[] {
    const { leaseDurationSeconds, leaseTransitions } = typed<Lease>(object).spec;
    const errors: FieldError[] = [];
    if (leaseDurationSeconds !== undefined && leaseDurationSeconds <= 0) {
      errors.push(invalidValue('spec.leaseDurationSeconds', leaseDurationSeconds, 'must be greater than 0'));
    }
    if (leaseTransitions !== undefined && leaseTransitions < 0) {
      errors.push(invalidValue('spec.leaseTransitions', leaseTransitions, 'must be greater than or equal to 0'));
    }
    return errors;
  },
};
