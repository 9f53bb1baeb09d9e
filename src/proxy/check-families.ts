/** Configuration that does not fit the IP families of the node: what is fatal and what is only said. Pure. */
import { familyOfIp, parseCidr } from './compute/ip-ranges.ts';
import type { ProxyConfig } from './proxy-config.ts';
import type { IpFamily } from './proxy-model.ts';

export interface FamilyFacts {
  /** Of the node's first address. */
  primary: IpFamily;
  /** Those that the mode can serve here. */
  families: readonly IpFamily[];
  podCidrs: readonly string[];
}

type Config = Pick<
  ProxyConfig,
  'mode' | 'localDetection' | 'nodePortAddresses' | 'ipvs' | 'healthz' | 'metrics' | 'bindAddress'
>;

export function checkFamilies(config: Config, facts: FamilyFacts): { fatal: string[]; warnings: string[] } {
  const { primary, families, podCidrs } = facts;
  const isDual = families.length > 1;
  const other: IpFamily = primary === 'IPv4' ? 'IPv6' : 'IPv4';
  const cluster = isDual ? `${primary}-primary` : `${primary}-only`;
  const fatal: string[] = [];
  const warnings: string[] = [];
  const areAllOther = (cidrs: readonly string[]): boolean =>
    cidrs.length > 0 && cidrs.every((cidr) => parseCidr(cidr)?.family === other);

  if (config.nodePortAddresses.length === 0) {
    warnings.push(
      'nodePortAddresses is unset; NodePort connections will be accepted on all local IPs. Consider using `--nodeport-addresses primary`',
    );
  } else if (areAllOther(config.nodePortAddresses)) {
    warnings.push(`cluster is ${cluster} but nodePortAddresses contains only ${other} addresses`);
  }
  const detection = config.localDetection;
  if (detection.mode === 'ClusterCIDR') {
    if (areAllOther(detection.clusterCidrs)) {
      const problem = `cluster is ${cluster} but clusterCIDRs contains only ${other} addresses`;
      (isDual ? warnings : fatal).push(problem);
    }
    for (const family of families) {
      if (detection.clusterCidrs.some((cidr) => parseCidr(cidr)?.family === family)) continue;
      warnings.push(`detect-local-mode set to ClusterCIDR, but no cluster CIDR specified for ${family}`);
    }
  }
  if (detection.mode === 'NodeCIDR' && areAllOther(podCidrs)) {
    fatal.push(`cluster is ${cluster} but node.spec.podCIDRs contains only ${other} addresses`);
  }
  if (detection.mode === 'NodeCIDR') {
    for (const family of families) {
      if (podCidrs.some((cidr) => parseCidr(cidr)?.family === family)) continue;
      warnings.push(`detect-local-mode set to NodeCIDR, but no PodCIDR defined at node for ${family}`);
    }
  }
  if (config.mode === 'ipvs' && areAllOther(config.ipvs.excludeCidrs)) {
    warnings.push(`cluster is ${cluster} but ipvs.excludeCIDRs contains only ${other} addresses`);
  }
  for (const [name, address] of [
    ['healthzBindAddress', config.healthz],
    ['metricsBindAddress', config.metrics],
  ] as const) {
    if (address !== undefined && familyOfIp(address.host) === other) {
      warnings.push(`cluster is ${cluster} but ${name} is ${other}`);
    }
  }
  return { fatal, warnings };
}

/** Of the node's address when it is known, else what the configured address suggests. */
export function primaryFamily(nodeIps: readonly string[], bindAddress: string): IpFamily {
  return familyOfIp(nodeIps[0] ?? '') ?? familyOfIp(bindAddress) ?? 'IPv4';
}
