/** What is checked of a container's own restart policy and its rules, in upstream's words. Pure. */
import type { Container, EphemeralContainer } from '../../objects/generated/core-v1.ts';
import {
  type FieldError,
  duplicate,
  forbiddenField,
  invalidValue,
  notSupported,
  required,
  tooMany,
} from './field-errors.ts';

export const restartRulesMax = 20;
export const exitCodesMax = 255;

export type ContainerList = 'initContainers' | 'containers' | 'ephemeralContainers';

export function validateRestartPolicy(
  container: Container | EphemeralContainer,
  list: ContainerList,
  at: string,
): FieldError[] {
  const { restartPolicy: policy, restartPolicyRules: rules = [] } = container;
  const hasPolicy = policy !== undefined && policy !== '';
  const rulesAt = `${at}.restartPolicyRules`;
  if (list === 'ephemeralContainers') {
    const phrase = 'cannot be set for an Ephemeral Container';
    return [
      ...(hasPolicy ? [forbiddenField(`${at}.restartPolicy`, phrase)] : []),
      ...(rules.length > 0 ? [forbiddenField(rulesAt, phrase)] : []),
    ];
  }
  const errors: FieldError[] = [];
  const policies = ['Always', 'Never', 'OnFailure'];
  if (hasPolicy && !policies.includes(policy)) errors.push(notSupported(`${at}.restartPolicy`, policy, policies));
  if (rules.length === 0) return errors;
  if (!hasPolicy) {
    errors.push(required(`${at}.restartPolicy`, 'must specify restartPolicy when restart rules are used'));
  }
  if (list === 'initContainers' && policy === 'Always') {
    errors.push(forbiddenField(rulesAt, 'may not be set for init containers with restartPolicy Always'));
  }
  if (rules.length > restartRulesMax) errors.push(tooMany(rulesAt, rules.length, restartRulesMax));
  for (const [i, { action, exitCodes }] of rules.entries()) {
    const actions = ['Restart', 'RestartAllContainers'];
    if (!actions.includes(action ?? '')) errors.push(notSupported(`${rulesAt}[${i}].action`, action ?? '', actions));
    const codesAt = `${rulesAt}[${i}].exitCodes`;
    if (exitCodes === undefined) {
      errors.push(required(codesAt, 'must be specified'));
      continue;
    }
    errors.push(...validateExitCodes(exitCodes, codesAt));
  }
  return errors;
}

function validateExitCodes(
  { operator, values = [] }: { operator?: string | undefined; values?: readonly number[] | undefined },
  at: string,
): FieldError[] {
  const errors: FieldError[] = [];
  const operators = ['In', 'NotIn'];
  if (!operators.includes(operator ?? '')) errors.push(notSupported(`${at}.operator`, operator ?? '', operators));
  if (values.length === 0) errors.push(required(`${at}.values`, 'must specify at least one exit code'));
  if (values.length > exitCodesMax) errors.push(tooMany(`${at}.values`, values.length, exitCodesMax));
  const seen = new Set<number>();
  for (const [i, code] of values.entries()) {
    if (seen.has(code)) errors.push(duplicate(`${at}.values[${i}]`, code));
    if (code < 0 || code > 255) {
      errors.push(invalidValue(`${at}.values[${i}]`, code, 'must be between 0 and 255, inclusive'));
    }
    seen.add(code);
  }
  return errors;
}
