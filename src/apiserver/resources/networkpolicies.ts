import type { LabelSelector } from '../../objects/generated/meta-v1.ts';
import type {
  IPBlock,
  NetworkPolicy,
  NetworkPolicyPeer,
  NetworkPolicyPort,
} from '../../objects/generated/networking-v1.ts';
import { BlockList, isIP } from 'node:net';
import { type FieldError, forbiddenField, invalidValue, notSupported, required } from './field-errors.ts';
import { networkPolicyColumns } from './print-others.ts';
import { portNameErrors } from './pod-validation.ts';
import { type Strategy, typed } from './resource.ts';
import { validateLabels } from './validate-names.ts';

const policyTypes = ['Egress', 'Ingress'];

export const networkPolicyStrategy: Strategy = {
  nameRule: 'subdomain',
  columns: networkPolicyColumns,
  generationPart: ({ spec }) => spec,

  applyDefaults(object) {
    const { spec } = typed<NetworkPolicy>(object);
    if (spec === undefined) return;
    for (const rule of [...(spec.ingress ?? []), ...(spec.egress ?? [])]) {
      for (const port of rule.ports ?? []) port.protocol ||= 'TCP';
    }
    if ((spec.policyTypes ?? []).length > 0) return;
    spec.policyTypes = (spec.egress ?? []).length > 0 ? ['Ingress', 'Egress'] : ['Ingress'];
  },

  validate(object): FieldError[] {
    const { spec = {} } = typed<NetworkPolicy>(object);
    const errors = selectorErrors(spec.podSelector ?? {}, 'spec.podSelector');
    for (const [i, { ports, from }] of (spec.ingress ?? []).entries()) {
      errors.push(...ruleErrors(ports, from, `spec.ingress[${i}]`, 'from'));
    }
    for (const [i, { ports, to }] of (spec.egress ?? []).entries()) {
      errors.push(...ruleErrors(ports, to, `spec.egress[${i}]`, 'to'));
    }
    const types = spec.policyTypes ?? [];
    if (types.length > policyTypes.length) {
      return [...errors, invalidValue('spec.policyTypes', types, 'may not specify more than two policyTypes')];
    }
    for (const [i, type] of types.entries()) {
      if (!policyTypes.includes(type)) errors.push(notSupported(`spec.policyTypes[${i}]`, type, policyTypes));
    }
    return errors;
  },
};

function ruleErrors(
  ports: readonly NetworkPolicyPort[] | undefined,
  peers: readonly NetworkPolicyPeer[] | undefined,
  field: string,
  peerField: string,
): FieldError[] {
  return [
    ...(ports ?? []).flatMap((port, i) => portErrors(port, `${field}.ports[${i}]`)),
    ...(peers ?? []).flatMap((peer, i) => peerErrors(peer, `${field}.${peerField}[${i}]`)),
  ];
}

function portErrors({ protocol, port, endPort }: NetworkPolicyPort, field: string): FieldError[] {
  const errors: FieldError[] = [];
  const protocols = ['SCTP', 'TCP', 'UDP'];
  if (protocol !== undefined && !protocols.includes(protocol)) {
    errors.push(notSupported(`${field}.protocol`, protocol, protocols));
  }
  const at = `${field}.endPort`;
  if (typeof port === 'number') {
    errors.push(...numberErrors(`${field}.port`, port));
    if (endPort === undefined) return errors;
    if (endPort < port) errors.push(invalidValue(at, port, 'must be greater than or equal to `port`'));
    errors.push(...numberErrors(at, endPort));
  } else if (typeof port === 'string') {
    if (endPort !== undefined) {
      errors.push(invalidValue(at, endPort, 'may not be specified when `port` is non-numeric'));
    }
    errors.push(...portNameErrors(port, `${field}.port`));
  } else if (endPort !== undefined) {
    errors.push(invalidValue(at, endPort, 'may not be specified when `port` is not specified'));
  }
  return errors;
}

function numberErrors(field: string, port: number): FieldError[] {
  return port >= 1 && port <= 65_535 ? [] : [invalidValue(field, port, 'must be between 1 and 65535, inclusive')];
}

function peerErrors({ ipBlock, namespaceSelector, podSelector }: NetworkPolicyPeer, field: string): FieldError[] {
  const errors: FieldError[] = [];
  if (podSelector !== undefined) errors.push(...selectorErrors(podSelector, `${field}.podSelector`));
  if (namespaceSelector !== undefined) errors.push(...selectorErrors(namespaceSelector, `${field}.namespaceSelector`));
  if (ipBlock !== undefined) errors.push(...blockErrors(ipBlock, `${field}.ipBlock`));
  const hasSelector = podSelector !== undefined || namespaceSelector !== undefined;
  if (!hasSelector && ipBlock === undefined) errors.push(required(field, 'must specify a peer'));
  if (hasSelector && ipBlock !== undefined) {
    errors.push(forbiddenField(field, 'may not specify both ipBlock and another peer'));
  }
  return errors;
}

function blockErrors({ cidr, except = [] }: IPBlock, field: string): FieldError[] {
  if (!cidr) return [required(`${field}.cidr`)];
  const noCidr = 'must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)';
  const block = parseCidr(cidr);
  if (block === undefined) return [invalidValue(`${field}.cidr`, cidr, noCidr)];
  return except.flatMap((text, i): FieldError[] => {
    const at = `${field}.except[${i}]`;
    const hole = parseCidr(text);
    if (hole === undefined) return [invalidValue(at, text, noCidr)];
    const list = new BlockList();
    list.addSubnet(block.address, block.prefix, block.family);
    const isInside = hole.family === block.family && list.check(hole.address, hole.family);
    return isInside && block.prefix < hole.prefix ? [] : [invalidValue(at, text, `must be a strict subset of ${cidr}`)];
  });
}

function parseCidr(text: string): { address: string; prefix: number; family: 'ipv4' | 'ipv6' } | undefined {
  const match = /^([^/%]+)\/(0|[1-9]\d{0,2})$/.exec(text);
  const address = match?.[1] ?? '';
  const prefix = Number(match?.[2]);
  const version = isIP(address);
  if (version === 0 || prefix > (version === 4 ? 32 : 128)) return undefined;
  return { address, prefix, family: version === 4 ? 'ipv4' : 'ipv6' };
}

function selectorErrors({ matchLabels, matchExpressions = [] }: LabelSelector, field: string): FieldError[] {
  const errors = validateLabels(matchLabels, `${field}.matchLabels`);
  for (const [i, { key, operator, values = [] }] of matchExpressions.entries()) {
    const at = `${field}.matchExpressions[${i}]`;
    switch (operator) {
      case 'In':
      case 'NotIn':
        if (values.length === 0) {
          errors.push(required(`${at}.values`, "must be specified when `operator` is 'In' or 'NotIn'"));
        }
        break;
      case 'Exists':
      case 'DoesNotExist':
        if (values.length > 0) {
          errors.push(
            forbiddenField(`${at}.values`, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"),
          );
        }
        break;
      default:
        errors.push(invalidValue(`${at}.operator`, operator, 'not a valid selector operator'));
    }
    errors.push(...validateLabels({ [key]: '' }, `${at}.key`));
    for (const [v, value] of values.entries()) errors.push(...validateLabels({ value }, `${at}.values[${v}]`));
  }
  return errors;
}
