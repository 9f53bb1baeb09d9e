import type { Service, ServicePort } from '../../objects/generated/core-v1.ts';
import { textAt } from './api-object.ts';
import { type FieldError, duplicate, forbiddenField, invalidValue, notSupported, required } from './field-errors.ts';
import { portNameErrors } from './pod-validation.ts';
import { serviceColumns } from './print-others.ts';
import { type Reservation, type Strategy, typed } from './resource.ts';
import { AllocationError, type ServiceAllocator, clusterIpsOf, nodePortsOf, ownerOf } from './service-allocator.ts';
import { changedAddressErrors, dropSecondFamily, familyErrors, fillFamilies } from './service-families.ts';
import { usualIp } from './service-ip-range.ts';
import { invalid } from './status-error.ts';
import { labelProblems } from './validate-names.ts';

const hasNodePorts = ({ spec }: Service): boolean => spec.type === 'NodePort' || spec.type === 'LoadBalancer';

export function serviceStrategy(allocator: ServiceAllocator): Strategy {
  return {
    nameRule: 'label',
    deleteReturnsObject: true,
    updateMayCreate: true,
    columns: serviceColumns,
    selectableFields: {
      'spec.clusterIP': (service) => textAt(service, 'spec', 'clusterIP'),
      'spec.type': (service) => textAt(service, 'spec', 'type'),
    },

    applyDefaults(object) {
      object['spec'] ??= {};
      const { spec } = typed<Service>(object);
      spec.type ||= 'ClusterIP';
      spec.sessionAffinity ||= 'None';
      if (spec.sessionAffinity === 'ClientIP') {
        spec.sessionAffinityConfig ??= {};
        spec.sessionAffinityConfig.clientIP ??= {};
        spec.sessionAffinityConfig.clientIP.timeoutSeconds ??= 10_800;
      }
      for (const port of spec.ports ?? []) {
        port.protocol ||= 'TCP';
        if (port.targetPort === undefined || port.targetPort === 0 || port.targetPort === '')
          port.targetPort = port.port;
      }
      if (spec.type !== 'ExternalName') spec.internalTrafficPolicy ||= 'Cluster';
      const isExternal =
        spec.type === 'NodePort' || spec.type === 'LoadBalancer' || (spec.externalIPs ?? []).length > 0;
      if (isExternal && spec.type !== 'ExternalName') spec.externalTrafficPolicy ||= 'Cluster';
      if (spec.type === 'LoadBalancer') spec.allocateLoadBalancerNodePorts ??= true;
    },

    prepareCreate(object) {
      object['status'] = { loadBalancer: {} };
      fillFamilies(typed<Service>(object), allocator.families);
    },

    prepareUpdate(object, old) {
      carryOver(typed<Service>(object), typed<Service>(old));
      dropSecondFamily(typed<Service>(object), typed<Service>(old));
      fillFamilies(typed<Service>(object), allocator.families);
    },

    reserve(object, old) {
      const service = typed<Service>(object);
      return reserveFor(service, old === undefined ? undefined : typed<Service>(old), allocator);
    },

    afterDelete(object) {
      allocator.drop(typed<Service>(object));
    },

    validate(object) {
      const service = typed<Service>(object);
      return [...validateService(service), ...familyErrors(service, allocator.families)];
    },

    validateUpdate(object, old) {
      return changedAddressErrors(typed<Service>(object), typed<Service>(old));
    },
  };
}

/** What the client left out stays: the address, the ports by name. */
function carryOver(service: Service, old: Service): void {
  const { spec } = service;
  if (spec.type === 'ExternalName') {
    if (spec.clusterIP === old.spec.clusterIP) {
      delete spec.clusterIP;
      delete spec.clusterIPs;
    }
  } else if (old.spec.type !== 'ExternalName') {
    const [firstIp] = spec.clusterIPs ?? [];
    if (firstIp === undefined && (!spec.clusterIP || spec.clusterIP === old.spec.clusterIP)) {
      spec.clusterIP = old.spec.clusterIP;
      spec.clusterIPs = old.spec.clusterIPs;
    }
    spec.ipFamilies ??= old.spec.ipFamilies;
    spec.ipFamilyPolicy ??= old.spec.ipFamilyPolicy;
  }
  if (hasNodePorts(service)) {
    const taken = new Set((spec.ports ?? []).map(({ nodePort }) => nodePort ?? 0));
    for (const port of spec.ports ?? []) {
      if (port.nodePort) continue;
      const before = old.spec.ports?.find((one) => samePort(one, port))?.nodePort;
      if (before && !taken.has(before)) port.nodePort = before;
    }
    if (hasNodePorts(old)) spec.healthCheckNodePort ??= old.spec.healthCheckNodePort;
  } else {
    const before = new Set(nodePortsOf(old));
    for (const port of spec.ports ?? []) if (before.has(port.nodePort ?? 0)) delete port.nodePort;
    if (spec.healthCheckNodePort === old.spec.healthCheckNodePort) delete spec.healthCheckNodePort;
  }
}

const samePort = (a: ServicePort, b: ServicePort): boolean =>
  (a.name ?? '') === (b.name ?? '') && (a.name !== undefined || (a.port === b.port && a.protocol === b.protocol));

/** Takes what the Service needs and is not its own yet; after the write, what the old one had too much is given back. */
function reserveFor(service: Service, old: Service | undefined, allocator: ServiceAllocator): Reservation {
  const { spec } = service;
  const owner = ownerOf(service);
  const undo: Array<() => void> = [];
  const release = (): void => {
    for (const step of undo) step();
  };
  const errors: FieldError[] = [];
  const attempt = (field: string, value: unknown, take: () => void): void => {
    try {
      take();
    } catch (err) {
      if (!(err instanceof AllocationError)) throw err;
      errors.push(invalidValue(field, value, err.message));
    }
  };

  const oldIps = old === undefined ? [] : clusterIpsOf(old);
  if (spec.type !== 'ExternalName') {
    const wanted = spec.clusterIPs ?? (spec.clusterIP ? [spec.clusterIP] : []);
    if (wanted[0] === 'None') {
      spec.clusterIP = 'None';
      spec.clusterIPs = ['None'];
    } else {
      const ips = (spec.ipFamilies ?? []).map((family, i) => {
        const ip = wanted[i];
        if (ip !== undefined && ip !== '') {
          if (!oldIps.includes(usualIp(ip))) {
            attempt('spec.clusterIPs', wanted, () => {
              allocator.takeIp(ip, owner);
              undo.push(() => allocator.releaseIp(ip, owner));
            });
          }
          return ip;
        }
        const any = allocator.takeAnyIp(owner, family);
        undo.push(() => allocator.releaseIp(any, owner));
        return any;
      });
      spec.clusterIP = ips[0];
      spec.clusterIPs = ips;
    }
  }
  const own = new Set(old === undefined ? [] : nodePortsOf(old));
  const takePort = (port: number | undefined, field: string): number => {
    if (port && own.has(port)) return port;
    if (port) {
      attempt(field, port, () => {
        allocator.takePort(port, owner);
        own.add(port);
        undo.push(() => allocator.releasePort(port, owner));
      });
      return port;
    }
    const any = allocator.takeAnyPort(owner);
    undo.push(() => allocator.releasePort(any, owner));
    return any;
  };
  if (hasNodePorts(service)) {
    const isWanted = spec.type === 'NodePort' || spec.allocateLoadBalancerNodePorts !== false;
    for (const [i, port] of (spec.ports ?? []).entries()) {
      if (port.nodePort || isWanted) port.nodePort = takePort(port.nodePort, `spec.ports[${i}].nodePort`);
    }
    if (spec.type === 'LoadBalancer' && spec.externalTrafficPolicy === 'Local') {
      spec.healthCheckNodePort = takePort(spec.healthCheckNodePort, 'spec.healthCheckNodePort');
    }
  }
  if (errors.length > 0) {
    release();
    throw invalid({ group: '', kind: 'Service' }, service.metadata.name, errors);
  }
  return {
    release,
    keep: () => {
      if (old === undefined) return;
      const keptIps = clusterIpsOf(service);
      for (const ip of oldIps) if (!keptIps.includes(ip)) allocator.releaseIp(ip, owner);
      const kept = new Set(nodePortsOf(service));
      for (const port of nodePortsOf(old)) if (!kept.has(port)) allocator.releasePort(port, owner);
    },
  };
}

function validateService({ spec }: Service): FieldError[] {
  const errors: FieldError[] = [];
  const types = ['ClusterIP', 'ExternalName', 'LoadBalancer', 'NodePort'];
  if (!types.includes(spec.type ?? '')) errors.push(notSupported('spec.type', spec.type, types));
  const ports = spec.ports ?? [];
  const isHeadless = spec.clusterIP === 'None';
  if (ports.length === 0 && !isHeadless && spec.type !== 'ExternalName') errors.push(required('spec.ports'));
  if (isHeadless && (spec.type === 'NodePort' || spec.type === 'LoadBalancer')) {
    errors.push(invalidValue('spec.clusterIPs[0]', 'None', `may not be set to 'None' for ${spec.type} services`));
  }
  if (spec.type === 'ExternalName') {
    if (!spec.externalName) errors.push(required('spec.externalName'));
    if (spec.clusterIP) {
      errors.push(forbiddenField('spec.clusterIPs', "may not be set when `type` is 'ExternalName'"));
    }
  }
  const names = new Set<string>();
  const pairs = new Set<string>();
  for (const [i, port] of ports.entries()) {
    const at = `spec.ports[${i}]`;
    if (port.name) {
      for (const problem of labelProblems(port.name)) errors.push(invalidValue(`${at}.name`, port.name, problem));
      if (names.has(port.name)) errors.push(duplicate(`${at}.name`, port.name));
      names.add(port.name);
    } else if (ports.length > 1) {
      errors.push(required(`${at}.name`));
    }
    if (!isPort(port.port))
      errors.push(invalidValue(`${at}.port`, port.port ?? 0, 'must be between 1 and 65535, inclusive'));
    const protocols = ['SCTP', 'TCP', 'UDP'];
    if (!protocols.includes(port.protocol ?? '')) errors.push(notSupported(`${at}.protocol`, port.protocol, protocols));
    if (typeof port.targetPort === 'number' && !isPort(port.targetPort)) {
      errors.push(invalidValue(`${at}.targetPort`, port.targetPort, 'must be between 1 and 65535, inclusive'));
    }
    if (typeof port.targetPort === 'string') errors.push(...portNameErrors(port.targetPort, `${at}.targetPort`));
    if (spec.type === 'ClusterIP' && port.nodePort) {
      errors.push(forbiddenField(`${at}.nodePort`, "may not be used when `type` is 'ClusterIP'"));
    }
    const pair = `${port.protocol}/${port.port}`;
    if (pairs.has(pair)) errors.push(duplicate(at, { protocol: port.protocol, port: port.port }));
    pairs.add(pair);
  }
  if (!['ClientIP', 'None'].includes(spec.sessionAffinity ?? '')) {
    errors.push(notSupported('spec.sessionAffinity', spec.sessionAffinity, ['ClientIP', 'None']));
  }
  const seconds = spec.sessionAffinityConfig?.clientIP?.timeoutSeconds;
  if (spec.sessionAffinity === 'ClientIP' && seconds !== undefined && !(seconds > 0 && seconds <= affinitySecondsMax)) {
    const at = 'spec.sessionAffinityConfig.clientIP.timeoutSeconds';
    errors.push(invalidValue(at, seconds, `must be greater than 0 and less than ${affinitySecondsMax}`));
  }
  const choices = {
    internalTrafficPolicy: ['Cluster', 'Local'],
    externalTrafficPolicy: ['Cluster', 'Local'],
    trafficDistribution: ['PreferClose', 'PreferSameNode', 'PreferSameZone'],
  } as const;
  for (const field of ['internalTrafficPolicy', 'externalTrafficPolicy', 'trafficDistribution'] as const) {
    const value = spec[field];
    const known: readonly string[] = choices[field];
    if (value && !known.includes(value)) errors.push(notSupported(`spec.${field}`, value, known));
  }
  const isExternal = spec.type === 'NodePort' || spec.type === 'LoadBalancer' || (spec.externalIPs ?? []).length > 0;
  if (spec.externalTrafficPolicy && !isExternal) {
    errors.push(
      invalidValue(
        'spec.externalTrafficPolicy',
        spec.externalTrafficPolicy,
        'may only be set for externally-accessible services',
      ),
    );
  }
  return errors;
}

/** A day. */
const affinitySecondsMax = 86_400;

const isPort = (port: number | undefined): boolean => port !== undefined && port >= 1 && port <= 65_535;
