/** One service port as iptables rules: its lines in the shared chains, and its own chains. Pure. */
import {
  type Endpoint,
  type IpFamily,
  type NodeFacts,
  type ServicePort,
  endpointAddress,
  servicePortName,
} from '../../proxy-model.ts';
import { cidrContains, parseCidr } from '../ip-ranges.ts';
import type { LocalTraffic } from '../local-traffic.ts';
import {
  type SelectedEndpoints,
  isExternallyAccessible,
  selectEndpoints,
  usesClusterEndpoints,
  usesLocalEndpoints,
} from '../select-endpoints.ts';
import { endpointChainName, serviceChainNames } from './chain-names.ts';

/** What is the same for all service ports of a sync. */
export interface RuleContext {
  readonly family: IpFamily;
  readonly node: NodeFacts;
  readonly localTraffic: LocalTraffic | undefined;
  readonly masqueradeAll: boolean;
  /** Many endpoints: comments on their rules are left out. */
  readonly isLargeCluster: boolean;
  /** Connections to NodePorts on 127.0.0.1 are counted: NodePorts answer there, and the counter exists. */
  readonly countsLocalhost: boolean;
}

/** Chains that all Services share; their content is each service port's lines, one after the other. */
export type SharedChain =
  | 'filter KUBE-SERVICES'
  | 'filter KUBE-EXTERNAL-SERVICES'
  | 'filter KUBE-NODEPORTS'
  | 'filter KUBE-PROXY-FIREWALL'
  | 'nat KUBE-SERVICES'
  | 'nat KUBE-NODEPORTS';

export interface ServiceRules {
  readonly shared: ReadonlyArray<{ readonly chain: SharedChain; readonly rule: string }>;
  /** In table nat. */
  readonly chains: ReadonlyArray<{ readonly chain: string; readonly rules: readonly string[] }>;
  /** Endpoints exist, but a Local policy finds none on this node. */
  readonly lacksLocal: { readonly internal: boolean; readonly external: boolean };
}

/** Connections to NodePorts that came by 127.0.0.0/8, as the kernel counts them. */
export const localhostCounter = 'localhost_nps_accepted_pkts';

export function serviceRules(port: ServicePort, endpoints: readonly Endpoint[], context: RuleContext): ServiceRules {
  const selected = selectEndpoints(port, endpoints, context.node);
  const internalEndpoints = port.isInternalPolicyLocal ? selected.local : selected.cluster;
  const externalEndpoints = port.isExternalPolicyLocal ? selected.local : selected.cluster;
  const isExternal = isExternallyAccessible(port);
  return {
    shared: sharedRules(port, selected, context),
    chains: selected.hasAny ? ownChains(port, selected, context) : [],
    lacksLocal: {
      internal: port.isInternalPolicyLocal && selected.hasAny && internalEndpoints.length === 0,
      external: isExternal && port.isExternalPolicyLocal && selected.hasAny && externalEndpoints.length === 0,
    },
  };
}

function sharedRules(
  port: ServicePort,
  selected: SelectedEndpoints,
  { countsLocalhost }: RuleContext,
): ServiceRules['shared'] {
  const name = servicePortName(port);
  const chains = serviceChainNames(port);
  const { hasAny } = selected;
  const internalEndpoints = port.isInternalPolicyLocal ? selected.local : selected.cluster;
  const externalEndpoints = port.isExternalPolicyLocal ? selected.local : selected.cluster;
  const rules: Array<{ chain: SharedChain; rule: string }> = [];
  const add = (chain: SharedChain, rule: string): void => {
    rules.push({ chain, rule });
  };
  const to = (ip: string): string => `${protocolMatch(port)} -d ${ip} --dport ${port.port}`;
  const refusal = hasAny
    ? { why: `"${name} has no local endpoints"`, verdict: 'DROP' }
    : { why: `"${name} has no endpoints"`, verdict: 'REJECT' };

  if (internalEndpoints.length > 0) {
    const target = port.isInternalPolicyLocal ? chains.local : chains.cluster;
    add('nat KUBE-SERVICES', `-m comment --comment "${name} cluster IP" ${to(port.clusterIp)} -j ${target}`);
  } else {
    add('filter KUBE-SERVICES', `-m comment --comment ${refusal.why} ${to(port.clusterIp)} -j ${refusal.verdict}`);
  }
  for (const ip of port.externalIps) {
    if (hasAny) {
      add('nat KUBE-SERVICES', `-m comment --comment "${name} external IP" ${to(ip)} -j ${chains.external}`);
    }
    if (externalEndpoints.length === 0) {
      add('filter KUBE-EXTERNAL-SERVICES', `-m comment --comment ${refusal.why} ${to(ip)} -j ${refusal.verdict}`);
    }
  }
  for (const ip of port.loadBalancerIps) {
    const isGuarded = port.sourceRanges.length > 0;
    if (hasAny) {
      const target = isGuarded ? chains.firewall : chains.external;
      add('nat KUBE-SERVICES', `-m comment --comment "${name} loadbalancer IP" ${to(ip)} -j ${target}`);
      if (isGuarded) {
        const why = `"${name} traffic not accepted by ${chains.firewall}"`;
        add('filter KUBE-PROXY-FIREWALL', `-m comment --comment ${why} ${to(ip)} -j DROP`);
      }
    }
    if (externalEndpoints.length === 0) {
      add('filter KUBE-EXTERNAL-SERVICES', `-m comment --comment ${refusal.why} ${to(ip)} -j ${refusal.verdict}`);
    }
  }
  if (port.nodePort !== 0) {
    const match = `${protocolMatch(port)} --dport ${port.nodePort}`;
    if (hasAny && countsLocalhost) {
      add(
        'nat KUBE-NODEPORTS',
        `-m comment --comment ${name} ${protocolMatch(port)} -d 127.0.0.0/8 --dport ${port.nodePort} -m nfacct --nfacct-name ${localhostCounter} -j ${chains.external}`,
      );
    }
    if (hasAny) add('nat KUBE-NODEPORTS', `-m comment --comment ${name} ${match} -j ${chains.external}`);
    if (externalEndpoints.length === 0) {
      add(
        'filter KUBE-EXTERNAL-SERVICES',
        `-m comment --comment ${refusal.why} -m addrtype --dst-type LOCAL ${match} -j ${refusal.verdict}`,
      );
    }
  }
  if (port.healthCheckNodePort !== 0) {
    add(
      'filter KUBE-NODEPORTS',
      `-m comment --comment "${name} health check node port" -m tcp -p tcp --dport ${port.healthCheckNodePort} -j ACCEPT`,
    );
  }
  return rules;
}

function ownChains(port: ServicePort, selected: SelectedEndpoints, context: RuleContext): ServiceRules['chains'] {
  const name = servicePortName(port);
  const names = serviceChainNames(port);
  const usesCluster = selected.cluster.length > 0 && usesClusterEndpoints(port);
  const usesLocal = selected.local.length > 0 && usesLocalEndpoints(port);
  const chains: Array<{ chain: string; rules: string[] }> = [];
  const sepNames = new Map(selected.reachable.map((endpoint) => [endpoint, endpointChainName(port, endpoint)]));

  const firstRules = masqueradeOutsiders(port, context);
  const isClusterInternal = !port.isInternalPolicyLocal;
  if (usesCluster) {
    chains.push({
      chain: names.cluster,
      rules: [...(isClusterInternal ? firstRules : []), ...balance(port, selected.cluster, sepNames, context)],
    });
  }
  if (usesLocal) {
    chains.push({
      chain: names.local,
      rules: [...(isClusterInternal ? [] : firstRules), ...balance(port, selected.local, sepNames, context)],
    });
  }
  if (isExternallyAccessible(port)) {
    chains.push({ chain: names.external, rules: externalRules(port, usesCluster, usesLocal, context) });
    if (port.sourceRanges.length > 0 && port.loadBalancerIps.length > 0) {
      chains.push({ chain: names.firewall, rules: firewallRules(port, name, context) });
    }
  }
  for (const [endpoint, chain] of sepNames)
    chains.push({ chain, rules: endpointRules(port, endpoint, chain, context) });
  return chains;
}

/** Replies to clients that are no pods must come back through this node. */
function masqueradeOutsiders(port: ServicePort, { masqueradeAll, localTraffic }: RuleContext): string[] {
  const match = `-m comment --comment "${servicePortName(port)} cluster IP" ${protocolMatch(port)} -d ${port.clusterIp} --dport ${port.port}`;
  if (masqueradeAll) return [`${match} -j KUBE-MARK-MASQ`];
  return localTraffic === undefined ? [] : [`${match} ${fromElsewhere(localTraffic)} -j KUBE-MARK-MASQ`];
}

function externalRules(port: ServicePort, usesCluster: boolean, usesLocal: boolean, context: RuleContext): string[] {
  const { cluster, local } = serviceChainNames(port);
  const about = (text: string): string =>
    `-m comment --comment "${text} for ${servicePortName(port)} external destinations"`;
  if (!port.isExternalPolicyLocal) {
    const rules = [`${about('masquerade traffic')} -j KUBE-MARK-MASQ`];
    return usesCluster ? [...rules, `-j ${cluster}`] : rules;
  }
  const rules: string[] = [];
  if (usesCluster) {
    // pods and the node itself may go to any endpoint: for them it is as if they had used the cluster IP
    if (context.localTraffic !== undefined) {
      rules.push(`${about('pod traffic')} ${fromHere(context.localTraffic)} -j ${cluster}`);
    }
    rules.push(`${about('masquerade LOCAL traffic')} -m addrtype --src-type LOCAL -j KUBE-MARK-MASQ`);
    rules.push(`${about('route LOCAL traffic')} -m addrtype --src-type LOCAL -j ${cluster}`);
  }
  return usesLocal ? [...rules, `-j ${local}`] : rules;
}

function firewallRules(port: ServicePort, name: string, { node }: RuleContext): string[] {
  const { external } = serviceChainNames(port);
  const match = `-m comment --comment "${name} loadbalancer IP"`;
  const rules = port.sourceRanges.map((range) => `${match} -s ${range} -j ${external}`);
  const nodeIp = node.ip;
  const admitsNode = port.sourceRanges.some((range) => {
    const cidr = parseCidr(range);
    return cidr !== undefined && nodeIp !== undefined && cidrContains(cidr, nodeIp);
  });
  // a packet from this node to the balancer's address has that very address as its source
  if (admitsNode) rules.push(...port.loadBalancerIps.map((ip) => `${match} -s ${ip} -j ${external}`));
  return [...rules, `-m comment --comment "other traffic to ${name} will be dropped by KUBE-PROXY-FIREWALL"`];
}

function balance(
  port: ServicePort,
  endpoints: readonly Endpoint[],
  sepNames: ReadonlyMap<Endpoint, string>,
  { isLargeCluster }: RuleContext,
): string[] {
  const name = servicePortName(port);
  const comment = (endpoint: Endpoint): string =>
    isLargeCluster ? '' : `-m comment --comment "${name} -> ${endpointAddress(endpoint)}" `;
  const targets = endpoints.map((endpoint) => ({ comment: comment(endpoint), sep: sepNames.get(endpoint) ?? '' }));
  const sticky =
    port.affinitySeconds === undefined
      ? []
      : targets.map(
          ({ comment: c, sep }) =>
            `${c}-m recent --name ${sep} --rcheck --seconds ${port.affinitySeconds} --reap -j ${sep}`,
        );
  const random = targets.map(({ comment: c, sep }, i) => {
    const left = targets.length - i;
    // of those left over by the rules before, every one has the same chance
    return left > 1
      ? `${c}-m statistic --mode random --probability ${(1 / left).toFixed(10)} -j ${sep}`
      : `${c}-j ${sep}`;
  });
  return [...sticky, ...random];
}

function endpointRules(
  port: ServicePort,
  endpoint: Endpoint,
  chain: string,
  { isLargeCluster }: RuleContext,
): string[] {
  const comment = isLargeCluster ? '' : `-m comment --comment ${servicePortName(port)} `;
  const remember = port.affinitySeconds === undefined ? '' : `-m recent --name ${chain} --set `;
  return [
    // an endpoint that calls its own Service must not see its own address as the client's
    `${comment}-s ${endpoint.ip} -j KUBE-MARK-MASQ`,
    `${comment}${remember}${protocolMatch(port)} -j DNAT --to-destination ${endpointAddress(endpoint)}`,
  ];
}

function protocolMatch({ protocol }: ServicePort): string {
  return `-m ${protocol} -p ${protocol}`;
}

function fromHere(local: LocalTraffic): string {
  return local.kind === 'source' ? `-s ${local.cidr}` : `-i ${local.pattern}`;
}

function fromElsewhere(local: LocalTraffic): string {
  return local.kind === 'source' ? `! -s ${local.cidr}` : `! -i ${local.pattern}`;
}
