/** What a pod must be before it may run, whoever has looked at it before. Pure; every problem at once. */
import type { Container, Pod } from '../../objects/generated/core-v1.ts';
import type { ObjectMeta } from '../../objects/generated/meta-v1.ts';

const label = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const subdomain = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

/** Uids are parts of paths. */
const uidPattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$/;

/** Who a pod of the API is: all that is needed to answer for it. */
export function identityProblems({ name, namespace = '', uid = '' }: ObjectMeta): string[] {
  return [
    ...(name.length <= 253 && subdomain.test(name) ? [] : [`metadata.name: Invalid value: ${shown(name)}`]),
    ...(namespace.length <= 63 && label.test(namespace)
      ? []
      : [`metadata.namespace: Invalid value: ${shown(namespace)}`]),
    ...(uidPattern.test(uid) ? [] : [`metadata.uid: Invalid value: ${shown(uid)}`]),
  ];
}

const shown = (text: string): string => JSON.stringify(text.slice(0, 60));

/** @param pod parsed from a file: nothing of its shape is certain but its name */
export function validatePod(pod: Partial<Pod>): string[] {
  const problems: string[] = [];
  const name = pod.metadata?.name ?? '';
  if (name.length > 253 || !subdomain.test(name))
    problems.push(`metadata.name: Invalid value: "${name}": must be a lowercase RFC 1123 subdomain`);
  const namespace: unknown = pod.metadata?.namespace;
  if (
    namespace !== undefined &&
    namespace !== '' &&
    !(typeof namespace === 'string' && namespace.length <= 63 && label.test(namespace))
  ) {
    problems.push(`metadata.namespace: Invalid value: "${namespace}": must be a lowercase RFC 1123 label`);
  }
  problems.push(
    ...stringMap(pod.metadata?.labels, 'metadata.labels'),
    ...stringMap(pod.metadata?.annotations, 'metadata.annotations'),
  );
  const spec: unknown = pod.spec;
  if (!isObject(spec)) return [...problems, 'spec: Required value'];
  const containers: unknown = spec['containers'];
  if (!Array.isArray(containers) || containers.length === 0) return [...problems, 'spec.containers: Required value'];
  const names = new Set<string>();
  problems.push(...validateContainers(containers, 'spec.containers', names));
  for (const field of ['initContainers', 'ephemeralContainers']) {
    const list: unknown = spec[field];
    if (list === undefined || list === null) continue;
    if (!Array.isArray(list)) problems.push(`spec.${field}: expected a list`);
    else problems.push(...validateContainers(list, `spec.${field}`, names));
  }
  const restartPolicy: unknown = spec['restartPolicy'];
  if (restartPolicy !== undefined && !['Always', 'OnFailure', 'Never'].includes(String(restartPolicy))) {
    problems.push(
      `spec.restartPolicy: Unsupported value: "${restartPolicy}": supported values: "Always", "OnFailure", "Never"`,
    );
  }
  const grace: unknown = spec['terminationGracePeriodSeconds'];
  if (grace !== undefined && !(typeof grace === 'number' && Number.isInteger(grace) && grace >= 0)) {
    problems.push(
      `spec.terminationGracePeriodSeconds: Invalid value: ${JSON.stringify(grace)}: must be greater than or equal to 0`,
    );
  }
  return [...problems, ...validateVolumes(spec['volumes'], containers as Container[])];
}

function validateContainers(list: readonly unknown[], path: string, names: Set<string>): string[] {
  return list.flatMap((item, i) => {
    const at = `${path}[${i}]`;
    if (!isObject(item)) return [`${at}: expected a container`];
    const problems: string[] = [];
    const { name, image } = item;
    if (typeof name !== 'string' || name === '') problems.push(`${at}.name: Required value`);
    else if (name.length > 63 || !label.test(name))
      problems.push(`${at}.name: Invalid value: "${name}": must be a lowercase RFC 1123 label`);
    else if (names.has(name)) problems.push(`${at}.name: Duplicate value: "${name}"`);
    else names.add(name);
    if (typeof image !== 'string' || image.trim() === '') problems.push(`${at}.image: Required value`);
    const { restartPolicy } = item;
    if (restartPolicy !== undefined && !['Always', 'Never', 'OnFailure'].includes(String(restartPolicy))) {
      problems.push(
        `${at}.restartPolicy: Unsupported value: "${String(restartPolicy)}": supported values: "Always", "Never", "OnFailure"`,
      );
    }
    for (const field of ['command', 'args']) {
      const value = item[field];
      if (value !== undefined && !(Array.isArray(value) && value.every((word) => typeof word === 'string'))) {
        problems.push(`${at}.${field}: expected a list of strings`);
      }
    }
    for (const field of ['env', 'envFrom', 'ports', 'volumeMounts', 'volumeDevices']) {
      const value = item[field];
      if (value !== undefined && !(Array.isArray(value) && value.every(isObject)))
        problems.push(`${at}.${field}: expected a list of objects`);
    }
    for (const field of [
      'resources',
      'securityContext',
      'livenessProbe',
      'readinessProbe',
      'startupProbe',
      'lifecycle',
    ]) {
      const value = item[field];
      if (value !== undefined && !isObject(value)) problems.push(`${at}.${field}: expected an object`);
      else if (field.endsWith('Probe') && value !== undefined) problems.push(...validateProbe(value, `${at}.${field}`));
    }
    return problems;
  });
}

function validateProbe(probe: Record<string, unknown>, at: string): string[] {
  const fields = ['initialDelaySeconds', 'timeoutSeconds', 'periodSeconds', 'successThreshold', 'failureThreshold'];
  const problems = fields.flatMap((field) => {
    const value = probe[field];
    const isCount = value === undefined || (typeof value === 'number' && value >= 0);
    return isCount
      ? []
      : [`${at}.${field}: Invalid value: ${JSON.stringify(value)}: must be greater than or equal to 0`];
  });
  const handlers = ['exec', 'httpGet', 'tcpSocket', 'grpc'].filter((handler) => probe[handler] !== undefined);
  if (handlers.length === 0) problems.push(`${at}: Required value: must specify a handler type`);
  if (handlers.length > 1) problems.push(`${at}: Forbidden: may not specify more than 1 handler type`);
  return problems;
}

function validateVolumes(volumes: unknown, containers: readonly Container[]): string[] {
  if (volumes !== undefined && !(Array.isArray(volumes) && volumes.every(isObject)))
    return ['spec.volumes: expected a list of objects'];
  const known = new Set<string>();
  const problems: string[] = [];
  for (const [i, { name, ...sources }] of (volumes ?? []).entries()) {
    const [, ...others] = Object.keys(sources).filter(
      (source) => sources[source] !== undefined && sources[source] !== null,
    );
    for (const other of others)
      problems.push(`spec.volumes[${i}].${other}: Forbidden: may not specify more than 1 volume type`);
    if (typeof name !== 'string' || name.length > 63 || !label.test(name))
      problems.push(`spec.volumes[${i}].name: Invalid value: "${String(name)}": must be a lowercase RFC 1123 label`);
    else if (known.has(name)) problems.push(`spec.volumes[${i}].name: Duplicate value: "${name}"`);
    else known.add(name);
  }
  for (const [i, container] of containers.entries()) {
    if (!Array.isArray(container?.volumeMounts)) continue;
    for (const [j, mount] of container.volumeMounts.entries()) {
      if (!known.has(mount?.name))
        problems.push(`spec.containers[${i}].volumeMounts[${j}].name: Not found: "${mount?.name}"`);
    }
  }
  return problems;
}

function stringMap(value: unknown, path: string): string[] {
  if (value === undefined || value === null) return [];
  if (!isObject(value)) return [`${path}: expected an object`];
  return Object.entries(value)
    .filter(([, item]) => typeof item !== 'string')
    .map(([key, item]) => `${path}[${key}]: expected a string, found ${JSON.stringify(item)}`);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
