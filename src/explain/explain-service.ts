/** Why a Service is as it is: one sentence of cause, and what to do about it. Pure. */
import type { EndpointFact, PodFact, ServiceFacts, ServiceSummary, TryFact } from './service-facts.ts';

/** Stable words, for programs. */
export type ServiceSituation =
  | 'Unknown'
  | 'ExternalName'
  | 'OtherProxy'
  | 'SelectorMatchesNothing'
  | 'NoEndpoints'
  | 'PortMismatch'
  | 'NoReadyEndpoints'
  | 'Headless'
  | 'ProxyDown'
  | 'RulesMissing'
  | 'RulesDiffer'
  | 'PolicyDenies'
  | 'NoLocalEndpoints'
  | 'EndpointRefuses'
  | 'EndpointSilent'
  | 'ConnectionFails'
  | 'StaleFlows'
  | 'NotTried'
  | 'Works';

export interface Explanation {
  readonly situation: ServiceSituation;
  readonly cause: string;
  readonly next: readonly string[];
}

export function explainService(facts: ServiceFacts): Explanation {
  const { service, namespace, name } = facts;
  if (service === undefined) {
    return say('Unknown', `There is no Service "${name}" in namespace "${namespace}".`, [
      `look at what there is: kubectl get services -n ${namespace}`,
    ]);
  }
  if (service.externalName !== undefined) {
    return say(
      'ExternalName',
      `The Service is another name for "${service.externalName}": cluster DNS answers with it, and no traffic passes through this node's rules.`,
      [`see whether that name resolves and answers: dig ${service.externalName}`],
    );
  }
  if (service.otherProxy !== undefined) {
    return say('OtherProxy', `The Service is left to the proxy "${service.otherProxy}": kube-proxy makes no rules.`, [
      'take the label service.kubernetes.io/service-proxy-name away to have kube-proxy serve it',
    ]);
  }
  return (
    explainEndpoints(facts, service) ??
    explainRules(facts) ??
    explainPolicies(facts) ??
    explainTries(facts, service) ??
    say('NotTried', `Endpoints are ready and ${rulesText(facts)}; no connection could be tried.`, [])
  );
}

const say = (situation: ServiceSituation, cause: string, next: readonly string[]): Explanation => ({
  situation,
  cause,
  next,
});

/** Undefined when every port has somebody who answers. */
function explainEndpoints(facts: ServiceFacts, service: ServiceSummary): Explanation | undefined {
  const { endpoints, pods, arePodsUnknown = false, namespace, name } = facts;
  if (endpoints.length === 0 && service.selector === undefined) {
    return say('NoEndpoints', 'The Service has no selector, and nobody has made an EndpointSlice for it.', [
      `make one with the label kubernetes.io/service-name: ${name}, or give the Service a selector`,
    ]);
  }
  if (endpoints.length === 0 && arePodsUnknown) {
    return say('NoEndpoints', 'No EndpointSlice has an endpoint, and the pods cannot be read: nobody knows why.', [
      `see whether the selector matches any: kubectl get pods -n ${namespace} -l ${service.selector ?? ''}`,
    ]);
  }
  if (endpoints.length === 0 && pods.length === 0) {
    return say(
      'SelectorMatchesNothing',
      `The selector ${service.selector ?? ''} matches no pod of namespace "${namespace}".`,
      [`compare it with the pods' labels: kubectl get pods -n ${namespace} --show-labels`],
    );
  }
  for (const port of service.ports) {
    const behind = endpoints.filter(({ portName, protocol }) => portName === port.name && protocol === port.protocol);
    const live = pods.filter(({ ip, phase }) => ip !== '' && phase === 'Running');
    if (behind.length === 0 && live.length > 0 && !/^\d+$/.test(port.targetPort)) {
      const has = [...new Set(live.flatMap(({ ports }) => ports))];
      return say(
        'PortMismatch',
        `Port ${portText(port)} goes to the container port named "${port.targetPort}", and no pod has one: ${has.length === 0 ? 'they name no ports' : `they have ${has.join(', ')}`}.`,
        ['correct targetPort in the Service, or the name of the port in the pods'],
      );
    }
    if (!behind.some(isUsable)) {
      return say(
        'NoReadyEndpoints',
        `No endpoint of port ${portText(port)} is ready: ${notReadyText(pods, behind)}.`,
        firstUnready(pods).map((pod) => `ask why on its node: gantry why pod ${namespace}/${pod.name}`),
      );
    }
  }
  return undefined;
}

function explainRules(facts: ServiceFacts): Explanation | undefined {
  const { service, frontends, proxy } = facts;
  if (service !== undefined && service.clusterIps.every((ip) => ip === 'None')) return explainHeadless(facts);
  const wrong = frontends.filter(({ isAsWanted, installed }) => !isAsWanted && installed !== undefined);
  if (wrong.length === 0) return undefined;
  const missing = wrong.filter(({ installed }) => installed === 'missing');
  const named = (missing.length > 0 ? missing : wrong).slice(0, 3).map(({ text }) => text);
  const few = `${named.join(', ')}${wrong.length > named.length && missing.length === 0 ? ' and others' : ''}`;
  if (proxy.mode === undefined) {
    return say(
      'ProxyDown',
      `kube-proxy does not answer on this node (${proxy.silence ?? 'no reason known'}), and its rules are ${missing.length > 0 ? 'missing' : 'old'} for ${few}.`,
      ['start it: systemctl status kube-proxy'],
    );
  }
  if (missing.length > 0) {
    return say(
      'RulesMissing',
      `This node has no rule for ${few}, although kube-proxy (${proxy.mode}) should have made it.`,
      [
        proxy.isHealthy
          ? 'kube-proxy calls itself healthy: ask again in a few seconds, then read its log for "cannot install the rules"'
          : 'kube-proxy calls itself unhealthy: read its log for "cannot install the rules"',
      ],
    );
  }
  const [first] = wrong;
  return say(
    'RulesDiffer',
    `The rules for ${few} are not those of the newest endpoints: ${first?.installed ?? ''}, wanted ${first?.wanted ?? ''}.`,
    ['a change takes up to a second: ask again, then read the log of kube-proxy'],
  );
}

function explainHeadless(facts: ServiceFacts): Explanation {
  const { tries } = facts;
  const denied = explainPolicies(facts); // its clients go straight to the pods: that is all that can be in the way
  if (denied !== undefined) return denied;
  const failed = tries.find(({ outcome }) => outcome !== 'connected');
  if (failed !== undefined) return explainDirect(failed);
  return say(
    'Headless',
    'The Service is headless: cluster DNS answers with the addresses of its ready pods, and kube-proxy takes no part.',
    [],
  );
}

function explainPolicies({ policies }: ServiceFacts): Explanation | undefined {
  const denied = policies.filter(({ isAllowed }) => !isAllowed);
  const [first] = denied;
  if (first === undefined) return undefined;
  const share = denied.length < policies.length ? ` (${denied.length} of ${policies.length} endpoints)` : '';
  return say(
    'PolicyDenies',
    `A NetworkPolicy denies traffic from ${first.from} to ${first.to}${share}: ${first.words}.`,
    ['add a rule that allows it, or change the labels that the policies look at'],
  );
}

function explainTries(facts: ServiceFacts, service: ServiceSummary): Explanation | undefined {
  const { tries, frontends, flows } = facts;
  const through = tries.filter(({ isDirect }) => !isDirect);
  const failed = through.find(({ outcome }) => outcome !== 'connected');
  const badDirect = tries.find(({ isDirect, outcome }) => isDirect && outcome !== 'connected');
  if (failed !== undefined || badDirect !== undefined) {
    const here = frontends.find(({ kind, wanted }) => kind === 'cluster IP' && wanted === 'drop');
    if (failed !== undefined && here !== undefined && service.isInternalPolicyLocal) {
      return say(
        'NoLocalEndpoints',
        `internalTrafficPolicy is Local and no endpoint is on this node: traffic to ${here.text} is dropped.`,
        ['run a pod of the Service on this node, or set internalTrafficPolicy: Cluster'],
      );
    }
    if (badDirect !== undefined) return explainDirect(badDirect);
    if (failed !== undefined) {
      return say(
        'ConnectionFails',
        `A connection from ${failed.from} to ${failed.to} ${outcomeText(failed)}, although ${rulesText(facts)} and the endpoints answer directly.`,
        [
          'look for rules of other programs in its way: iptables-save, nft list ruleset',
          'look whether the connection table is full: sysctl net.netfilter.nf_conntrack_count net.netfilter.nf_conntrack_max',
        ],
      );
    }
  }
  const stale = flows.filter(({ isStale }) => isStale);
  if (stale.length > 0) {
    return say(
      'StaleFlows',
      `${stale.length} remembered flows lead to endpoints that are gone, e.g. ${stale[0]?.text ?? ''}: their clients get no answer until the flows end.`,
      ['kube-proxy ends them after the next change of the Service; by hand: conntrack -D'],
    );
  }
  const [first] = through;
  if (first === undefined) return undefined;
  const reached = first.reached === undefined ? '' : ` and reached ${first.reached}`;
  return say('Works', `A connection from ${first.from} to ${first.to} was made in ${first.tookMs} ms${reached}.`, []);
}

function explainDirect(direct: TryFact): Explanation {
  if (direct.outcome === 'refused') {
    return say('EndpointRefuses', `Nothing listens at the endpoint ${direct.to}: it refuses connections.`, [
      'compare targetPort with the port that the program in the pod listens on, on all addresses and not only 127.0.0.1',
    ]);
  }
  return say(
    'EndpointSilent',
    `A connection from ${direct.from} straight to the endpoint ${direct.to} ${outcomeText(direct)}.`,
    [
      'see whether its node is up and whether a route leads there: ip route get',
      'see whether a NetworkPolicy or a firewall is in the way: ask again with --from POD',
    ],
  );
}

/** What is known of the rules when none is wrong. */
function rulesText({ frontends }: ServiceFacts): string {
  return frontends.some(({ installed }) => installed === undefined)
    ? 'nobody could read the rules'
    : 'the rules are in place';
}

function outcomeText({ outcome, tookMs }: TryFact): string {
  switch (outcome) {
    case 'refused':
      return 'was refused';
    case 'unreachable':
      return 'found no way there';
    case 'silent':
      return `got no answer in ${Math.round(tookMs)} ms`;
    case 'failed':
    case 'connected':
      return outcome;
  }
}

const isUsable = ({ isReady, isServing, isTerminating }: EndpointFact): boolean =>
  isReady || (isServing && isTerminating);

const portText = ({ name, port, protocol }: ServiceSummary['ports'][number]): string =>
  `${port}/${protocol.toLowerCase()}${name === '' ? '' : ` ("${name}")`}`;

function firstUnready(pods: readonly PodFact[]): PodFact[] {
  return pods.filter(({ isReady, isDeleting }) => !isReady && !isDeleting).slice(0, 1);
}

function notReadyText(pods: readonly PodFact[], behind: readonly EndpointFact[]): string {
  if (pods.length === 0) return behind.length === 0 ? 'it has none' : 'their EndpointSlices say so';
  const words = pods.slice(0, 3).map((pod) => {
    if (pod.isDeleting) return `${pod.name} is being deleted`;
    if (pod.isReady) return `${pod.name} is ready, but not in an EndpointSlice yet`;
    return `${pod.name} is ${pod.phase}${pod.whyNot === '' ? '' : ` (${pod.whyNot})`}`;
  });
  return `${words.join('; ')}${pods.length > 3 ? `; and ${pods.length - 3} more` : ''}`;
}
