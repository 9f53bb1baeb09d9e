import { describe, expect, it } from 'vitest';
import { explainService } from './explain-service.ts';
import { formatService } from './format-service.ts';
import { onlyPort } from './read-objects.ts';
import type { EndpointFact, FrontendFact, PodFact, ServiceFacts, ServiceSummary, TryFact } from './service-facts.ts';

const service: ServiceSummary = {
  type: 'ClusterIP',
  clusterIps: ['10.96.0.10'],
  externalName: undefined,
  selector: 'app=web',
  ports: [{ name: 'http', protocol: 'TCP', port: 80, targetPort: 'web' }],
  isInternalPolicyLocal: false,
  otherProxy: undefined,
};
const pod: PodFact = {
  name: 'web-1',
  node: 'n1',
  ip: '10.244.0.5',
  phase: 'Running',
  isReady: true,
  isDeleting: false,
  whyNot: '',
  ports: ['web 8080/TCP'],
};
const endpoint: EndpointFact = {
  address: '10.244.0.5:8080',
  portName: 'http',
  protocol: 'TCP',
  node: 'n1',
  pod: 'web-1',
  isReady: true,
  isServing: true,
  isTerminating: false,
};
const frontend: FrontendFact = {
  text: '10.96.0.10:80/tcp',
  kind: 'cluster IP',
  wanted: 'to 10.244.0.5:8080',
  installed: 'to 10.244.0.5:8080',
  isAsWanted: true,
};
const through: TryFact = {
  from: 'this node',
  to: '10.96.0.10:80',
  isDirect: false,
  outcome: 'connected',
  tookMs: 1.2,
  reached: '10.244.0.5:8080',
};
const direct: TryFact = { ...through, to: '10.244.0.5:8080', isDirect: true, reached: undefined };
const well: ServiceFacts = {
  namespace: 'default',
  name: 'web',
  node: 'n1',
  service,
  similar: [],
  pods: [pod],
  endpoints: [endpoint],
  proxy: { mode: 'nftables', isHealthy: true, silence: undefined },
  frontends: [frontend],
  tries: [through, direct],
  policies: [],
  flows: [],
  gaps: [],
};
const unready = { ...endpoint, isReady: false, isServing: false };
const missing = { ...frontend, installed: 'missing', isAsWanted: false };

describe('why a Service can or cannot be reached', () => {
  it.each<{ name: string; facts: Partial<ServiceFacts>; situation: string; cause: string }>([
    { name: 'all is well', facts: {}, situation: 'Works', cause: 'in 1.2 ms and reached 10.244.0.5:8080' },
    {
      name: 'no such Service',
      facts: { service: undefined, similar: ['default/webs'] },
      situation: 'Unknown',
      cause: 'There is no Service "web" in namespace "default"',
    },
    {
      name: 'a name for another',
      facts: { service: { ...service, type: 'ExternalName', externalName: 'db.example' } },
      situation: 'ExternalName',
      cause: 'another name for "db.example"',
    },
    {
      name: 'left to another proxy',
      facts: { service: { ...service, otherProxy: 'mesh' } },
      situation: 'OtherProxy',
      cause: 'left to the proxy "mesh"',
    },
    {
      name: 'a selector that matches nothing',
      facts: { pods: [], endpoints: [] },
      situation: 'SelectorMatchesNothing',
      cause: 'The selector app=web matches no pod of namespace "default"',
    },
    {
      name: 'no selector, and nobody made endpoints',
      facts: { service: { ...service, selector: undefined }, pods: [], endpoints: [] },
      situation: 'NoEndpoints',
      cause: 'no selector',
    },
    {
      name: 'a port name that no pod has',
      facts: { pods: [{ ...pod, ports: ['main 8080/TCP'] }], endpoints: [] },
      situation: 'PortMismatch',
      cause: 'the container port named "web", and no pod has one: they have main 8080/TCP',
    },
    {
      name: 'pods that are not ready',
      facts: {
        pods: [{ ...pod, isReady: false, whyNot: 'containers with unready status: [web]' }],
        endpoints: [unready],
      },
      situation: 'NoReadyEndpoints',
      cause: 'web-1 is Running (containers with unready status: [web])',
    },
    {
      name: 'pods that do not run yet',
      facts: { pods: [{ ...pod, phase: 'Pending', ip: '', isReady: false, whyNot: 'ErrImagePull' }], endpoints: [] },
      situation: 'NoReadyEndpoints',
      cause: 'web-1 is Pending (ErrImagePull)',
    },
    {
      name: 'the last pod on its way out still serves',
      facts: { endpoints: [{ ...endpoint, isReady: false, isTerminating: true }] },
      situation: 'Works',
      cause: 'was made',
    },
    {
      name: 'no proxy, no rules',
      facts: {
        proxy: { mode: undefined, isHealthy: false, silence: 'connect ECONNREFUSED 127.0.0.1:10249' },
        frontends: [missing],
      },
      situation: 'ProxyDown',
      cause: 'ECONNREFUSED 127.0.0.1:10249), and its rules are missing for 10.96.0.10:80/tcp',
    },
    {
      name: 'no proxy, and the rules are as they should be',
      facts: { proxy: { mode: undefined, isHealthy: false, silence: 'x' } },
      situation: 'Works',
      cause: 'was made',
    },
    {
      name: 'rules that somebody took away',
      facts: { frontends: [missing] },
      situation: 'RulesMissing',
      cause: 'no rule for 10.96.0.10:80/tcp, although kube-proxy (nftables)',
    },
    {
      name: 'rules of former endpoints',
      facts: { frontends: [{ ...frontend, installed: 'to 10.244.0.9:8080', isAsWanted: false }] },
      situation: 'RulesDiffer',
      cause: 'to 10.244.0.9:8080, wanted to 10.244.0.5:8080',
    },
    {
      name: 'rules that could not be read say nothing',
      facts: { frontends: [{ ...frontend, installed: undefined, isAsWanted: false }] },
      situation: 'Works',
      cause: 'was made',
    },
    {
      name: 'a policy',
      facts: {
        policies: [
          { from: 'pod a/b', to: '10.244.0.5:8080', isAllowed: false, words: 'policy "deny" isolates it' },
          { from: 'pod a/b', to: '10.244.0.6:8080', isAllowed: true, words: 'nothing isolates it' },
        ],
      },
      situation: 'PolicyDenies',
      cause: 'from pod a/b to 10.244.0.5:8080 (1 of 2 endpoints): policy "deny" isolates it',
    },
    {
      name: 'Local, and nobody here',
      facts: {
        service: { ...service, isInternalPolicyLocal: true },
        frontends: [{ ...frontend, wanted: 'drop', installed: 'drop' }],
        tries: [{ ...through, outcome: 'silent' }, direct],
      },
      situation: 'NoLocalEndpoints',
      cause: 'no endpoint is on this node',
    },
    {
      name: 'nobody listens in the pod',
      facts: {
        tries: [
          { ...through, outcome: 'refused' },
          { ...direct, outcome: 'refused' },
        ],
      },
      situation: 'EndpointRefuses',
      cause: 'Nothing listens at the endpoint 10.244.0.5:8080',
    },
    {
      name: 'one of several endpoints is deaf although another answered',
      facts: { tries: [through, { ...direct, outcome: 'silent', tookMs: 2000 }] },
      situation: 'EndpointSilent',
      cause: 'straight to the endpoint 10.244.0.5:8080 got no answer in 2000 ms',
    },
    {
      name: 'something else in the way',
      facts: { tries: [{ ...through, outcome: 'silent', tookMs: 2000 }, direct] },
      situation: 'ConnectionFails',
      cause: 'although the rules are in place and the endpoints answer directly',
    },
    {
      name: 'flows to what is gone',
      facts: { flows: [{ text: '10.0.0.1:5353 to 10.96.0.10:53/udp', isStale: true }] },
      situation: 'StaleFlows',
      cause: '10.0.0.1:5353 to 10.96.0.10:53/udp',
    },
    {
      name: 'headless',
      facts: { service: { ...service, clusterIps: ['None'] }, frontends: [], tries: [direct] },
      situation: 'Headless',
      cause: 'headless',
    },
    {
      name: 'headless, and the pod is deaf',
      facts: {
        service: { ...service, clusterIps: ['None'] },
        frontends: [],
        tries: [{ ...direct, outcome: 'refused' }],
      },
      situation: 'EndpointRefuses',
      cause: 'Nothing listens',
    },
    {
      name: 'no endpoints, and pods that may not be read',
      facts: { pods: [], endpoints: [], arePodsUnknown: true },
      situation: 'NoEndpoints',
      cause: 'the pods cannot be read',
    },
    {
      name: 'headless, and a policy keeps the client out',
      facts: {
        service: { ...service, clusterIps: ['None'] },
        frontends: [],
        tries: [{ ...direct, outcome: 'silent' }],
        policies: [{ from: 'pod default/client', to: direct.to, isAllowed: false, words: 'denied by "default/deny"' }],
      },
      situation: 'PolicyDenies',
      cause: 'denied by "default/deny"',
    },
    {
      name: 'nothing to try, and rules that cannot be read',
      facts: { tries: [], frontends: [{ ...frontend, installed: undefined, isAsWanted: false }] },
      situation: 'NotTried',
      cause: 'Endpoints are ready and nobody could read the rules; no connection could be tried.',
    },
    { name: 'nothing to try', facts: { tries: [] }, situation: 'NotTried', cause: 'no connection could be tried' },
  ])('$name: $situation', ({ facts, situation, cause }) => {
    const explanation = explainService({ ...well, ...facts });
    expect(explanation.situation).toBe(situation);
    expect(explanation.cause).toContain(cause);
  });

  it('looks at one port alone where one is asked for', () => {
    const two = { ...service, ports: [...service.ports, { name: 'dead', protocol: 'TCP', port: 81, targetPort: '9' }] };
    const dead = { ...endpoint, address: '10.244.0.5:9', portName: 'dead', isReady: false, isServing: false };
    expect(explainService({ ...well, service: two, endpoints: [endpoint, dead] }).situation).toBe('NoReadyEndpoints');
    for (const port of ['http', '80']) {
      const only = onlyPort(two, [endpoint, dead], port);
      expect(only.endpoints).toEqual([endpoint]);
      expect(explainService({ ...well, ...only }).situation).toBe('Works');
    }
    expect(() => onlyPort(two, [], '82')).toThrow('the Service has 80 (http), 81 (dead)');
  });

  it('passes nothing on to the terminal but text', () => {
    const pods = [{ ...pod, isReady: false, whyNot: '\u001b]0;x\u0007\nCause:   none\u009b2J' }];
    const facts = { ...well, pods, endpoints: [{ ...endpoint, isReady: false, isServing: false }] };
    const text = formatService(facts, explainService(facts));
    expect(text.split('\n').filter((line) => line.startsWith('Cause:'))).toHaveLength(1);
    expect(text.replaceAll('\n', '')).not.toMatch(/\p{Cc}/u);
  });

  it('is told to people as one sentence, what to do, and what it was read from', () => {
    const facts = { ...well, frontends: [missing], gaps: ['the connection table cannot be read: no conntrack'] };
    expect(formatService(facts, explainService(facts))).toBe(
      `Service: default/web (ClusterIP, 10.96.0.10, selector app=web)
Cause:   This node has no rule for 10.96.0.10:80/tcp, although kube-proxy (nftables) should have made it.
Next:    kube-proxy calls itself healthy: ask again in a few seconds, then read its log for "cannot install the rules"
Node:    n1, kube-proxy nftables
Note:    the connection table cannot be read: no conntrack

ADDRESS            KIND        WANTED              INSTALLED
10.96.0.10:80/tcp  cluster IP  to 10.244.0.5:8080  missing

ENDPOINT             STATE  POD    NODE
10.244.0.5:8080/tcp  ready  web-1  n1

CONNECTION                  FROM       OUTCOME    TOOK    REACHED
10.96.0.10:80               this node  connected  1.2 ms  10.244.0.5:8080
10.244.0.5:8080 (directly)  this node  connected  1.2 ms
`,
    );
  });
});
