/** What of a pod spec is checked before it is stored, in upstream's words. Pure. */
import type { Container, EphemeralContainer, Pod, PodSpec, Probe } from '../../objects/generated/core-v1.ts';
import { compareQuantity, parseQuantity } from '../../objects/quantity.ts';
import { stopSignals } from '../../objects/stop-signal.ts';
import { isSameMeaning } from './api-object.ts';
import {
  type FieldError,
  duplicate,
  fieldNotFound,
  forbiddenField,
  invalidValue,
  notSupported,
  required,
} from './field-errors.ts';
import { type ContainerList, validateRestartPolicy } from './restart-validation.ts';
import { validatePodResources, validateResizePolicies } from './pod-resize.ts';
import { labelProblems, subdomainProblems } from './validate-names.ts';
import { claimSourceErrors } from './volume-source-validation.ts';
import { validateClaimSpec } from './volume-validation.ts';

export function validatePodSpec(spec: PodSpec, field: string): FieldError[] {
  const errors: FieldError[] = [];
  const volumes = new Set<string>();
  for (const [i, volume] of (spec.volumes ?? []).entries()) {
    const at = `${field}.volumes[${i}]`;
    errors.push(...nameErrors(volume.name, `${at}.name`));
    if (volumes.has(volume.name)) errors.push(duplicate(`${at}.name`, volume.name));
    volumes.add(volume.name);
    const { name: _name, ...sources } = volume;
    const kinds = Object.values(sources).filter((source) => source !== undefined).length;
    if (kinds > 1) errors.push(forbiddenField(at, 'may not specify more than 1 volume type'));
    errors.push(...claimSourceErrors(volume, at));
    const claim = volume.ephemeral?.volumeClaimTemplate?.spec;
    if (claim !== undefined) errors.push(...validateClaimSpec(claim, `${at}.ephemeral.volumeClaimTemplate.spec`));
  }
  if (spec.containers.length === 0) errors.push(required(`${field}.containers`));
  const names = new Set<string>();
  const hostPorts = new Set<string>();
  const lists: Array<[ContainerList, Array<Container | EphemeralContainer>]> = [
    ['initContainers', spec.initContainers ?? []],
    ['containers', spec.containers],
    ['ephemeralContainers', spec.ephemeralContainers ?? []],
  ];
  for (const [list, containers] of lists) {
    for (const [i, container] of containers.entries()) {
      const at = `${field}.${list}[${i}]`;
      if (names.has(container.name)) errors.push(duplicate(`${at}.name`, container.name));
      names.add(container.name ?? '');
      errors.push(...validateContainer(container, at, volumes, hostPorts, spec.hostNetwork === true));
      errors.push(...validateRestartPolicy(container, list, at));
      errors.push(...stopSignalErrors(spec, container.lifecycle?.stopSignal, `${at}.lifecycle.stopSignal`));
    }
  }
  errors.push(...hostUsersErrors(spec, field));
  errors.push(...validateResizePolicies(spec, field), ...validatePodResources(spec, field));
  errors.push(...oneOf(spec.restartPolicy, `${field}.restartPolicy`, ['Always', 'OnFailure', 'Never']));
  errors.push(
    ...oneOf(spec.dnsPolicy, `${field}.dnsPolicy`, ['ClusterFirstWithHostNet', 'ClusterFirst', 'Default', 'None']),
  );
  if (spec.dnsPolicy === 'None' && (spec.dnsConfig?.nameservers ?? []).length === 0) {
    errors.push(
      required(`${field}.dnsConfig.nameservers`, 'must provide at least one DNS nameserver when `dnsPolicy` is None'),
    );
  }
  const deadline = spec.activeDeadlineSeconds;
  if (deadline !== undefined && (deadline < 1 || deadline > 2_147_483_647)) {
    errors.push(
      invalidValue(`${field}.activeDeadlineSeconds`, deadline, 'must be between 1 and 2147483647, inclusive'),
    );
  }
  for (const [i, toleration] of (spec.tolerations ?? []).entries()) {
    const at = `${field}.tolerations[${i}]`;
    if (!toleration.key && toleration.operator !== 'Exists') {
      errors.push(
        invalidValue(
          `${at}.operator`,
          toleration.operator ?? '',
          'operator must be Exists when `key` is empty, which means "match all values and all keys"',
        ),
      );
    }
    if (toleration.operator === 'Exists' && toleration.value) {
      errors.push(invalidValue(`${at}.operator`, toleration.value, "value must be empty when `operator` is 'Exists'"));
    }
    errors.push(...oneOf(toleration.operator, `${at}.operator`, ['Equal', 'Exists', 'Lt', 'Gt']));
    errors.push(...oneOf(toleration.effect, `${at}.effect`, ['NoSchedule', 'PreferNoSchedule', 'NoExecute']));
  }
  if (spec.nodeName) {
    for (const problem of subdomainProblems(spec.nodeName)) {
      errors.push(invalidValue(`${field}.nodeName`, spec.nodeName, problem));
    }
  }
  if (spec.hostname) {
    for (const problem of labelProblems(spec.hostname)) {
      errors.push(invalidValue(`${field}.hostname`, spec.hostname, problem));
    }
  }
  return errors;
}

/** A user namespace of its own goes with no other namespace of the host. */
function hostUsersErrors(spec: PodSpec, field: string): FieldError[] {
  if (spec.hostUsers !== false) return [];
  return (['hostNetwork', 'hostPID', 'hostIPC'] as const)
    .filter((name) => spec[name] === true)
    .map((name) => forbiddenField(`${field}.${name}`, 'when `hostUsers` is false'));
}

function stopSignalErrors(spec: PodSpec, signal: string | undefined, field: string): FieldError[] {
  if (signal === undefined || signal === '') return [];
  if (!spec.os?.name) return [forbiddenField(field, 'may not be set for containers with empty `spec.os.name`')];
  return oneOf(signal, field, stopSignals);
}

function nameErrors(name: string | undefined, field: string): FieldError[] {
  if (name === undefined || name === '') return [required(field)];
  return labelProblems(name).map((problem) => invalidValue(field, name, problem));
}

function oneOf(value: string | undefined, field: string, supported: readonly string[]): FieldError[] {
  if (value === undefined || value === '' || supported.includes(value)) return [];
  return [notSupported(field, value, supported)];
}

function validateContainer(
  container: Container | EphemeralContainer,
  at: string,
  volumes: ReadonlySet<string>,
  hostPorts: Set<string>,
  isHostNetwork: boolean,
): FieldError[] {
  const errors = nameErrors(container.name, `${at}.name`);
  const image = container.image ?? '';
  if (image === '') errors.push(required(`${at}.image`));
  else if (image !== image.trim()) {
    errors.push(invalidValue(`${at}.image`, image, 'must not have leading or trailing whitespace'));
  }
  errors.push(...oneOf(container.imagePullPolicy, `${at}.imagePullPolicy`, ['Always', 'IfNotPresent', 'Never']));
  errors.push(
    ...oneOf(container.terminationMessagePolicy, `${at}.terminationMessagePolicy`, ['File', 'FallbackToLogsOnError']),
  );
  const portNames = new Set<string>();
  for (const [i, port] of (container.ports ?? []).entries()) {
    const field = `${at}.ports[${i}]`;
    if (!port.containerPort) errors.push(required(`${field}.containerPort`));
    else if (!isPort(port.containerPort)) {
      errors.push(invalidValue(`${field}.containerPort`, port.containerPort, 'must be between 1 and 65535, inclusive'));
    }
    errors.push(...oneOf(port.protocol, `${field}.protocol`, ['SCTP', 'TCP', 'UDP']));
    if (port.name) {
      if (portNames.has(port.name)) errors.push(duplicate(`${field}.name`, port.name));
      portNames.add(port.name);
      errors.push(...portNameErrors(port.name, `${field}.name`));
    }
    if (port.hostPort) {
      if (!isPort(port.hostPort)) {
        errors.push(invalidValue(`${field}.hostPort`, port.hostPort, 'must be between 1 and 65535, inclusive'));
      }
      const key = `${port.protocol}/${port.hostIP ?? ''}/${port.hostPort}`;
      if (hostPorts.has(key)) errors.push(duplicate(`${field}.hostPort`, key));
      hostPorts.add(key);
      if (isHostNetwork && port.hostPort !== port.containerPort) {
        errors.push(
          invalidValue(`${field}.hostPort`, port.hostPort, 'must match `containerPort` when `hostNetwork` is true'),
        );
      }
    }
  }
  for (const [i, env] of (container.env ?? []).entries()) {
    const field = `${at}.env[${i}].name`;
    if (!env.name) errors.push(required(field));
    else if (!/^[\x20-\x3c\x3e-\x7e]+$/.test(env.name)) {
      errors.push(
        invalidValue(
          field,
          env.name,
          "a valid environment variable name must consist only of printable ASCII characters other than '='",
        ),
      );
    }
  }
  const mountPaths = new Set<string>();
  for (const [i, mount] of (container.volumeMounts ?? []).entries()) {
    const field = `${at}.volumeMounts[${i}]`;
    if (!mount.name) errors.push(required(`${field}.name`));
    else if (!volumes.has(mount.name)) errors.push(fieldNotFound(`${field}.name`, mount.name));
    if (!mount.mountPath) errors.push(required(`${field}.mountPath`));
    else if (mountPaths.has(mount.mountPath)) {
      errors.push(invalidValue(`${field}.mountPath`, mount.mountPath, 'must be unique'));
    }
    mountPaths.add(mount.mountPath ?? '');
    if ((mount.subPath ?? '').split('/').includes('..')) {
      errors.push(invalidValue(`${field}.subPath`, mount.subPath, "must not contain '..'"));
    }
  }
  for (const name of ['livenessProbe', 'readinessProbe', 'startupProbe'] as const) {
    const probe = container[name];
    if (probe !== undefined) errors.push(...validateProbe(probe, `${at}.${name}`, name !== 'readinessProbe'));
  }
  for (const [name, limit] of Object.entries(container.resources?.limits ?? {})) {
    const request = container.resources?.requests?.[name];
    if (request !== undefined && compareQuantity(parseQuantity(request), parseQuantity(limit)) > 0) {
      errors.push(
        invalidValue(`${at}.resources.requests`, request, `must be less than or equal to ${name} limit of ${limit}`),
      );
    }
  }
  return errors;
}

const isPort = (port: number): boolean => port >= 1 && port <= 65_535;

export function portNameErrors(name: string, field: string): FieldError[] {
  const problems: string[] = [];
  if (name.length > 15) problems.push('must be no more than 15 characters');
  if (!/^[-a-z0-9]+$/.test(name))
    problems.push('must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)');
  if (!/[a-z]/.test(name)) problems.push('must contain at least one letter (a-z)');
  if (name.includes('--')) problems.push('must not contain consecutive hyphens');
  if (name.startsWith('-') || name.endsWith('-')) problems.push('must not begin or end with a hyphen');
  return problems.map((problem) => invalidValue(field, name, problem));
}

function validateProbe(probe: Probe, at: string, mustSucceedOnce: boolean): FieldError[] {
  const errors: FieldError[] = [];
  const handlers = [probe.exec, probe.httpGet, probe.tcpSocket, probe.grpc].filter((one) => one !== undefined).length;
  if (handlers === 0) errors.push(required(at, 'must specify a handler type'));
  if (handlers > 1) errors.push(forbiddenField(at, 'may not specify more than 1 handler type'));
  if (mustSucceedOnce && probe.successThreshold !== 1) {
    errors.push(invalidValue(`${at}.successThreshold`, probe.successThreshold, 'must be 1'));
  }
  return errors;
}

const updatePhrase =
  'pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)';

/** What an update of the pod itself (no subresource) may change. */
export function validatePodUpdate(pod: Pod, old: Pod): FieldError[] {
  const errors: FieldError[] = [];
  const { spec } = pod;
  const oldDeadline = old.spec.activeDeadlineSeconds;
  if (oldDeadline !== undefined && (spec.activeDeadlineSeconds ?? Infinity) > oldDeadline) {
    errors.push(
      invalidValue(
        'spec.activeDeadlineSeconds',
        spec.activeDeadlineSeconds ?? null,
        `must be less than or equal to previous value`,
      ),
    );
  }
  for (const toleration of old.spec.tolerations ?? []) {
    if (
      !(spec.tolerations ?? []).some((one) =>
        isSameMeaning({ ...one, tolerationSeconds: 0 }, { ...toleration, tolerationSeconds: 0 }),
      )
    ) {
      errors.push(
        forbiddenField('spec.tolerations', 'existing toleration can not be modified except its tolerationSeconds'),
      );
    }
  }
  const gates = new Set((old.spec.schedulingGates ?? []).map(({ name }) => name));
  for (const [i, gate] of (spec.schedulingGates ?? []).entries()) {
    if (!gates.has(gate.name)) {
      errors.push(
        forbiddenField(
          `spec.schedulingGates[${i}].name`,
          "only deletion is allowed, but found new scheduling gate '" + gate.name + "'",
        ),
      );
    }
  }
  if (errors.length > 0) return errors;
  const isGated = gates.size > 0;
  const masked: PodSpec = {
    ...spec,
    containers: withImagesOf(spec.containers, old.spec.containers),
    ...(spec.initContainers === undefined
      ? {}
      : { initContainers: withImagesOf(spec.initContainers, old.spec.initContainers ?? []) }),
    activeDeadlineSeconds: oldDeadline,
    tolerations: old.spec.tolerations,
    schedulingGates: old.spec.schedulingGates,
    ...((old.spec.terminationGracePeriodSeconds ?? 0) < 0 && spec.terminationGracePeriodSeconds === 1
      ? { terminationGracePeriodSeconds: old.spec.terminationGracePeriodSeconds }
      : {}),
    ...(isGated ? { nodeSelector: old.spec.nodeSelector, affinity: old.spec.affinity } : {}),
  };
  return isSameMeaning(masked, old.spec) ? [] : [forbiddenField('spec', updatePhrase)];
}

function withImagesOf(containers: readonly Container[], old: readonly Container[]): Container[] {
  return containers.map((container, i) => {
    const before = old[i];
    return before === undefined ? container : { ...container, image: before.image };
  });
}
