/** Which address families a Service has in this cluster: filled in, and checked. Pure. */
import type { Service } from '../../objects/generated/core-v1.ts';
import { type FieldError, duplicate, invalidValue, notSupported } from './field-errors.ts';
import { type IpFamily, familyOfIp } from './service-ip-range.ts';

type Families = readonly [IpFamily, ...IpFamily[]];

/** Fills in what the client left out, from the addresses that it asks for and from what the cluster has, primary first. */
export function fillFamilies({ spec }: Service, cluster: Families): void {
  if (spec.type === 'ExternalName') {
    delete spec.ipFamilies;
    delete spec.ipFamilyPolicy;
    return;
  }
  const asked = (spec.clusterIPs ?? []).map(familyOfIp);
  const isHeadless = spec.clusterIP === 'None' || spec.clusterIPs?.[0] === 'None';
  if (isHeadless && Object.keys(spec.selector ?? {}).length === 0) {
    // nobody knows which addresses its endpoints will have
    spec.ipFamilyPolicy ??=
      spec.ipFamilies === undefined || spec.ipFamilies.length > 1 ? 'RequireDualStack' : 'SingleStack';
    spec.ipFamilies ??= [cluster[0]];
    if (spec.ipFamilyPolicy !== 'SingleStack') addOther(spec, ['IPv4', 'IPv6']);
    return;
  }
  spec.ipFamilyPolicy ??= 'SingleStack';
  spec.ipFamilies ??= [];
  for (const [i, family] of asked.entries()) {
    if (family !== undefined && spec.ipFamilies[i] === undefined) spec.ipFamilies[i] = family;
  }
  if (spec.ipFamilies.length === 0) spec.ipFamilies.push(cluster[0]);
  if (spec.ipFamilyPolicy !== 'SingleStack') addOther(spec, cluster);
}

function addOther(spec: Service['spec'], families: readonly string[]): void {
  const [first] = spec.ipFamilies ?? [];
  if (spec.ipFamilies?.length !== 1) return;
  const other = families.find((family) => family !== first);
  if (other !== undefined) spec.ipFamilies.push(other);
}

/** A Service that goes back to one family keeps its first address. */
export function dropSecondFamily({ spec }: Service, old: Service): void {
  const isBack = spec.ipFamilyPolicy === 'SingleStack' && (old.spec.ipFamilyPolicy ?? 'SingleStack') !== 'SingleStack';
  if (!isBack) return;
  if (spec.clusterIPs?.length === 2 && spec.clusterIPs.join() === old.spec.clusterIPs?.join()) {
    spec.clusterIPs = spec.clusterIPs.slice(0, 1);
  }
  if (spec.ipFamilies?.length === 2 && spec.ipFamilies.join() === old.spec.ipFamilies?.join()) {
    spec.ipFamilies = spec.ipFamilies.slice(0, 1);
  }
}

/** Of a Service whose families are filled in. */
export function familyErrors({ spec }: Service, cluster: Families): FieldError[] {
  if (spec.type === 'ExternalName') return [];
  const errors: FieldError[] = [];
  const families = spec.ipFamilies ?? [];
  const ips = spec.clusterIPs ?? [];
  const isHeadless = ips[0] === 'None' || spec.clusterIP === 'None';
  const isSelectorless = Object.keys(spec.selector ?? {}).length === 0;
  const policies = ['PreferDualStack', 'RequireDualStack', 'SingleStack'];
  if (!policies.includes(spec.ipFamilyPolicy ?? '')) {
    errors.push(notSupported('spec.ipFamilyPolicy', spec.ipFamilyPolicy, policies));
  }
  if (spec.ipFamilyPolicy === 'SingleStack') {
    for (const [what, list] of Object.entries({ clusterIPs: ips, ipFamilies: families })) {
      if (list.length < 2) continue;
      const message = `must be RequireDualStack or PreferDualStack when multiple '${what}' are specified`;
      errors.push(invalidValue('spec.ipFamilyPolicy', spec.ipFamilyPolicy, message));
    }
  }
  if (spec.ipFamilyPolicy === 'RequireDualStack' && cluster.length < 2 && !(isHeadless && isSelectorless)) {
    const message = 'this cluster is not configured for dual-stack services';
    errors.push(invalidValue('spec.ipFamilyPolicy', spec.ipFamilyPolicy, message));
  }
  for (const [i, family] of families.entries()) {
    const at = `spec.ipFamilies[${i}]`;
    if (family !== 'IPv4' && family !== 'IPv6') errors.push(notSupported(at, family, ['IPv4', 'IPv6']));
    else if (families.indexOf(family) < i) errors.push(duplicate(at, family));
    else if (!cluster.includes(family) && !(isHeadless && isSelectorless)) {
      errors.push(invalidValue(at, family, 'not configured on this cluster'));
    }
  }
  if (families.length > 2) errors.push(invalidValue('spec.ipFamilies', families, 'may only hold up to 2 values'));
  if (ips.length > 2) errors.push(invalidValue('spec.clusterIPs', ips, 'may only hold up to 2 values'));
  if (isHeadless && ips.length > 1) {
    errors.push(invalidValue('spec.clusterIPs', ips, "'None' must be the first and only value"));
    return errors;
  }
  if (spec.clusterIP && ips[0] !== undefined && spec.clusterIP !== ips[0]) {
    errors.push(invalidValue('spec.clusterIPs[0]', ips[0], 'must match `clusterIP`'));
  }
  for (const [i, ip] of ips.entries()) {
    if (ip === 'None') continue;
    const at = `spec.clusterIPs[${i}]`;
    const family = familyOfIp(ip);
    if (family === undefined)
      errors.push(invalidValue(at, ip, 'must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'));
    else if (families[i] !== undefined && families[i] !== family) {
      errors.push(invalidValue(at, ip, `expected an ${families[i]} value as indicated by \`ipFamilies[${i}]\``));
    }
  }
  return errors;
}

/** What stays as it is once a Service has it. */
export function changedAddressErrors(service: Service, old: Service): FieldError[] {
  const now = service.spec;
  const before = old.spec;
  if (before.type === 'ExternalName' || now.type === 'ExternalName' || !before.clusterIP) return [];
  const errors: FieldError[] = [];
  if (now.clusterIP !== before.clusterIP || now.clusterIPs?.[0] !== before.clusterIPs?.[0]) {
    errors.push(invalidValue('spec.clusterIPs[0]', now.clusterIPs ?? [], 'may not change once set'));
  }
  const [, second] = now.clusterIPs ?? [];
  const [, secondBefore] = before.clusterIPs ?? [];
  if (second !== undefined && secondBefore !== undefined && second !== secondBefore) {
    errors.push(invalidValue('spec.clusterIPs[1]', now.clusterIPs ?? [], 'may not change once set'));
  }
  for (const i of [0, 1]) {
    const [family, familyBefore] = [now.ipFamilies?.[i], before.ipFamilies?.[i]];
    if (family !== undefined && familyBefore !== undefined && family !== familyBefore) {
      errors.push(invalidValue(`spec.ipFamilies[${i}]`, family, 'may not change once set'));
    }
  }
  return errors;
}
