/** What all kinds with a pod template share. */
import type { PodTemplateSpec } from '../../objects/generated/core-v1.ts';
import type { LabelSelector } from '../../objects/generated/meta-v1.ts';
import { matchesLabelSelector } from '../../objects/label-selector.ts';
import { type ApiObject, isJsonObject, isSameMeaning } from './api-object.ts';
import { type FieldError, immutable, invalidValue, notSupported, required } from './field-errors.ts';
import { validatePodSpec } from './pod-validation.ts';
import { validateLabels } from './validate-names.ts';

/** Gives the object a spec with a template, so that defaults have a place. */
export function ensureTemplate(object: ApiObject): ApiObject {
  const spec = isJsonObject(object['spec']) ? object['spec'] : {};
  object['spec'] = spec;
  const template = isJsonObject(spec['template']) ? spec['template'] : {};
  spec['template'] = template;
  template['metadata'] ??= {};
  template['spec'] ??= {};
  return object;
}

interface WithTemplate {
  replicas?: number | undefined;
  selector?: LabelSelector | undefined;
  template?: PodTemplateSpec | undefined;
}

export function validateTemplate(
  what: string,
  { replicas, selector, template }: WithTemplate,
  restartPolicies: readonly string[],
): FieldError[] {
  const errors: FieldError[] = [];
  if (replicas !== undefined && replicas < 0) {
    errors.push(invalidValue('spec.replicas', replicas, 'must be greater than or equal to 0'));
  }
  const labels = template?.metadata?.labels;
  if (selector === undefined) errors.push(required('spec.selector'));
  else if (Object.keys(selector.matchLabels ?? {}).length + (selector.matchExpressions ?? []).length === 0) {
    errors.push(invalidValue('spec.selector', selector, `empty selector is invalid for ${what}`));
  } else if (!matchesSafely(selector, labels)) {
    errors.push(
      invalidValue('spec.template.metadata.labels', labels ?? null, '`selector` does not match template `labels`'),
    );
  }
  errors.push(...validateLabels(labels, 'spec.template.labels'));
  const spec = template?.spec;
  if (spec === undefined) return [...errors, required('spec.template.spec')];
  errors.push(...validatePodSpec(spec, 'spec.template.spec'));
  if (spec.restartPolicy !== undefined && !restartPolicies.includes(spec.restartPolicy)) {
    errors.push(notSupported('spec.template.spec.restartPolicy', spec.restartPolicy, restartPolicies));
  }
  return errors;
}

function matchesSafely(selector: LabelSelector, labels: Record<string, string> | undefined): boolean {
  try {
    return matchesLabelSelector(selector, labels);
  } catch {
    return false; // an operator that does not exist matches nothing
  }
}

export function validateSelectorKept(
  selector: LabelSelector | undefined,
  old: LabelSelector | undefined,
): FieldError[] {
  return isSameMeaning(selector, old) ? [] : [immutable('spec.selector', selector)];
}
