/**
 * Every type and field of Services, tried in a lab of three nodes by clients in pods, on nodes and outside. What counts is
 * what the server has seen: which pod has answered, and which source address it was shown.
 */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Service } from '../../src/objects/generated/core-v1.ts';
import type { EndpointSlice } from '../../src/objects/generated/discovery-v1.ts';
import { describeAsRoot } from './support/as-root.ts';
import { eventually, useLab } from './support/lab.ts';
import { makePeerImage, peerImage } from './support/peer-image.ts';
import { type List, applyObjects, awaitPod, awaitReady, patienceMs } from './support/pods.ts';
import { type ServiceClient, ServiceClients } from './support/service-clients.ts';

const directory = mkdtempSync(join(tmpdir(), 'gantry-e2e-service-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));
const sctpReason = existsSync('/proc/net/sctp') ? 'the servers do not speak' : 'this kernel has not';
console.warn(`not tried: Services with SCTP, which ${sctpReason}`);

/** Load balancers' addresses, routed by the client outside to one node each. */
const vips = {
  lb: '203.0.113.10',
  'lb-local': '203.0.113.11',
  'lb-local-far': '203.0.113.12',
  'lb-ranges': '203.0.113.13',
  external: '203.0.113.20',
  'external-local': '203.0.113.21',
  'external-local-far': '203.0.113.22',
} as const;
const outsidePort = 9000;
const triesPerRow = 12;
const servers = ['s1', 's2'];
/** Nobody answers, in whichever way. */
const silence = 'nothing';

type ClientName = 'pod c0' | 'pod c1' | 'pod s1' | 'node 0' | 'node 1' | 'node 2' | 'outside';

interface World {
  services: ReadonlyMap<string, Service>;
  pods: ReadonlyMap<string, string>;
  nodeIps: readonly string[];
  /** Two of the client's beyond the nodes. */
  outside: readonly [string, string];
}

interface Row {
  name: string;
  from: ClientName;
  to: (world: World) => { ip: string; port: number; from?: string };
  /** Names of those that all answer and nobody else; or how it fails. */
  by: readonly string[] | 'refused' | typeof silence;
  /** Source addresses that the servers may see. */
  seen?: (world: World) => readonly string[];
  protocols?: readonly ('TCP' | 'UDP')[];
  /** The server's port. */
  at?: number;
}

const clusterIp =
  (name: string, port = 80) =>
  ({ services }: World): { ip: string; port: number } => ({ ip: services.get(name)?.spec.clusterIP ?? '', port });
const nodePort =
  (name: string, node: number) =>
  ({ services, nodeIps }: World): { ip: string; port: number } => ({
    ip: nodeIps[node] ?? '',
    port: services.get(name)?.spec.ports?.[0]?.nodePort ?? 0,
  });
const vip =
  (name: keyof typeof vips, outsideAddress = 0) =>
  ({ outside }: World): { ip: string; port: number; from?: string } => ({
    ip: vips[name],
    port: 80,
    ...(outsideAddress === 0 ? {} : { from: outside[1] }),
  });
const pod =
  (name: string) =>
  ({ pods }: World): string[] => [pods.get(name) ?? ''];
/** A node's, towards other nodes and towards its own pods. */
const node =
  (index: number) =>
  ({ nodeIps }: World): string[] => [nodeIps[index] ?? '', `10.244.${index}.1`];
const kept = ({ outside }: World): string[] => [outside[0]];

const rows: Row[] = [
  { name: 'cluster IP from a pod', from: 'pod c0', to: clusterIp('cluster'), by: servers, seen: pod('c0') },
  { name: 'cluster IP from a pod beside one', from: 'pod c1', to: clusterIp('cluster'), by: servers, seen: pod('c1') },
  { name: 'cluster IP from a node', from: 'node 0', to: clusterIp('cluster'), by: servers, seen: node(0) },
  { name: 'cluster IP from a node with one', from: 'node 1', to: clusterIp('cluster'), by: servers, seen: node(1) },
  {
    name: 'second port',
    from: 'pod c0',
    to: clusterIp('cluster', 81),
    by: servers,
    seen: pod('c0'),
    at: 8081,
    protocols: ['TCP'],
  },
  {
    name: 'named target port',
    from: 'pod c0',
    to: clusterIp('cluster', 82),
    by: servers,
    seen: pod('c0'),
    at: 8081,
    protocols: ['UDP'],
  },
  { name: 'hairpin', from: 'pod s1', to: clusterIp('self'), by: ['s1'], seen: node(1) },
  { name: 'hairpin through a node port', from: 'pod s1', to: nodePort('self', 1), by: ['s1'], seen: node(1) },
  { name: 'no endpoints', from: 'pod c0', to: clusterIp('nobody'), by: 'refused' },
  { name: 'no endpoints, from a node', from: 'node 0', to: clusterIp('nobody'), by: 'refused' },
  { name: 'no endpoints, node port', from: 'outside', to: nodePort('nobody', 0), by: 'refused' },
  { name: 'endpoint that is not ready', from: 'pod c0', to: clusterIp('unready'), by: 'refused' },
  { name: 'publishNotReadyAddresses', from: 'pod c0', to: clusterIp('published'), by: ['late'], seen: pod('c0') },

  { name: 'node port from outside', from: 'outside', to: nodePort('port', 0), by: servers, seen: node(0) },
  {
    name: 'node port with an endpoint from outside',
    from: 'outside',
    to: nodePort('port', 1),
    by: servers,
    seen: node(1),
  },
  { name: 'node port on the node itself', from: 'node 0', to: nodePort('port', 0), by: servers, seen: node(0) },
  { name: 'node port of another node', from: 'node 0', to: nodePort('port', 2), by: servers, seen: node(2) },
  { name: "node port of a pod's own node", from: 'pod c0', to: nodePort('port', 0), by: servers, seen: node(0) },
  { name: 'node port from a pod elsewhere', from: 'pod c1', to: nodePort('port', 0), by: servers, seen: node(0) },
  { name: 'local node port with an endpoint', from: 'outside', to: nodePort('port-local', 1), by: ['s1'], seen: kept },
  { name: 'local node port without an endpoint', from: 'outside', to: nodePort('port-local', 0), by: silence },
  {
    name: 'local node port from its own node',
    from: 'node 0',
    to: nodePort('port-local', 0),
    by: servers,
    seen: node(0),
  },
  {
    name: 'local node port from a pod of the node',
    from: 'pod c0',
    to: nodePort('port-local', 0),
    by: servers,
    seen: pod('c0'),
  },
  { name: "local Service's cluster IP", from: 'pod c0', to: clusterIp('port-local'), by: servers, seen: pod('c0') },

  { name: 'load balancer from outside', from: 'outside', to: vip('lb'), by: servers, seen: node(0) },
  { name: 'load balancer from a pod', from: 'pod c1', to: vip('lb'), by: servers, seen: node(1) },
  { name: 'load balancer from a node', from: 'node 0', to: vip('lb'), by: servers, seen: node(0) },
  { name: 'local load balancer with an endpoint', from: 'outside', to: vip('lb-local'), by: ['s1'], seen: kept },
  { name: 'local load balancer without an endpoint', from: 'outside', to: vip('lb-local-far'), by: silence },
  { name: 'local load balancer from a pod', from: 'pod c0', to: vip('lb-local-far'), by: servers, seen: pod('c0') },
  { name: 'local load balancer from a node', from: 'node 0', to: vip('lb-local-far'), by: servers, seen: node(0) },
  {
    name: 'ipMode Proxy goes to the load balancer',
    from: 'pod c0',
    to: ({ outside }) => ({ ip: outside[0], port: outsidePort }),
    by: ['outside'],
    seen: node(0),
    at: outsidePort,
  },
  { name: 'source range', from: 'outside', to: vip('lb-ranges'), by: servers, seen: node(2) },
  { name: 'beyond the source ranges', from: 'outside', to: vip('lb-ranges', 1), by: silence },
  { name: 'a pod beyond the source ranges', from: 'pod c0', to: vip('lb-ranges'), by: silence },
  { name: 'source ranges and a node port', from: 'node 0', to: nodePort('lb-ranges', 1), by: servers, seen: node(1) },

  { name: 'external IP from outside', from: 'outside', to: vip('external'), by: servers, seen: node(1) },
  { name: 'external IP from a pod', from: 'pod c0', to: vip('external'), by: servers, seen: node(0) },
  { name: 'local external IP with an endpoint', from: 'outside', to: vip('external-local'), by: ['s1'], seen: kept },
  { name: 'local external IP without an endpoint', from: 'outside', to: vip('external-local-far'), by: silence },
  { name: 'local external IP from a pod', from: 'pod c0', to: vip('external-local'), by: servers, seen: pod('c0') },

  { name: 'internal policy with an endpoint', from: 'pod c1', to: clusterIp('internal'), by: ['s1'], seen: pod('c1') },
  { name: 'internal policy on its node', from: 'node 2', to: clusterIp('internal'), by: ['s2'], seen: node(2) },
  { name: 'internal policy without an endpoint', from: 'pod c0', to: clusterIp('internal'), by: silence },

  { name: 'zones, of the same', from: 'pod c0', to: clusterIp('near-zone'), by: ['s1'], seen: pod('c0') },
  { name: 'zones, of the other', from: 'node 2', to: clusterIp('near-zone'), by: ['s2'], seen: node(2) },
  { name: 'nodes, of the same', from: 'pod c1', to: clusterIp('near-node'), by: ['s1'], seen: pod('c1') },
  { name: 'nodes, none of the same', from: 'pod c0', to: clusterIp('near-node'), by: servers, seen: pod('c0') },
  { name: "another proxy's Service", from: 'pod c0', to: clusterIp('foreign'), by: silence },
];

const ports = ['TCP', 'UDP'].map((protocol) => ({
  name: protocol.toLowerCase(),
  protocol,
  port: 80,
  targetPort: 8080,
}));
const service = (name: string, spec: object, labels: object = {}): object => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, labels },
  spec: { selector: { app: 'server' }, ports, ...spec },
});
/** Both protocols on one node port. */
const withNodePort = (nodePortOfBoth: number): object => ({
  ports: ports.map((port) => ({ ...port, nodePort: nodePortOfBoth })),
});
const balanced = { type: 'LoadBalancer' };
const local = { externalTrafficPolicy: 'Local' };

function services([outside]: readonly string[]): object[] {
  return [
    service('cluster', {
      ports: [
        ...ports,
        { name: 'second', protocol: 'TCP', port: 81, targetPort: 8081 },
        { name: 'named', protocol: 'UDP', port: 82, targetPort: 'other' },
      ],
    }),
    service('self', { selector: { only: 's1' }, type: 'NodePort', ...withNodePort(30_001) }),
    service('nobody', { selector: { app: 'nobody' }, type: 'NodePort', ...withNodePort(30_002) }),
    service('unready', { selector: { app: 'late' } }),
    service('published', { selector: { app: 'late' }, publishNotReadyAddresses: true }),
    service('port', { type: 'NodePort', ...withNodePort(30_003) }),
    service('port-local', { type: 'NodePort', ...local, ...withNodePort(30_004) }),
    service('lb', balanced),
    service('lb-local', { ...balanced, ...local }),
    service('lb-proxy', { ...balanced, ports: ports.map((port) => ({ ...port, port: outsidePort })) }),
    service('lb-ranges', { ...balanced, ...withNodePort(30_005), loadBalancerSourceRanges: [`${outside}/32`] }),
    service('external', { externalIPs: [vips.external] }),
    service('external-local', { externalIPs: [vips['external-local'], vips['external-local-far']], ...local }),
    service('internal', { internalTrafficPolicy: 'Local' }),
    service('sticky', { sessionAffinity: 'ClientIP' }),
    service('headless', { clusterIP: 'None' }),
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'elsewhere' },
      spec: { type: 'ExternalName', externalName: 'a.example' },
    },
    service('near-zone', { selector: undefined }),
    service('near-node', { selector: undefined }),
    service('foreign', {}, { 'service.kubernetes.io/service-proxy-name': 'another' }),
    service('last', { selector: { app: 'last' } }),
  ];
}

const endpoint = (podName: string, address: string, nodeName: string, hints: object): object => ({
  addresses: [address],
  nodeName,
  conditions: { ready: true },
  hints,
  targetRef: { kind: 'Pod', name: podName, namespace: 'default' },
});

for (const mode of ['iptables', 'nftables'] as const)
  describeAsRoot(`Services of every kind, in mode ${mode}`, () => {
    const config = join(directory, `${mode}.yaml`);
    const head = 'kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\n';
    writeFileSync(config, `${head}networking: {kubeProxyMode: ${mode}}\n`);
    const lab = useLab({ nodes: 3, flags: ['--config', config] });
    const clients = new ServiceClients(lab);
    const from = new Map<ClientName, ServiceClient>();
    let world: World = { services: new Map(), pods: new Map(), nodeIps: [], outside: ['', ''] };

    const client = (name: ClientName): ServiceClient => {
      const found = from.get(name);
      if (found === undefined) throw new Error(`no client "${name}"`);
      return found;
    };
    const server = (name: string, index: number, labels: object, more: object = {}): object => ({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, labels },
      spec: {
        nodeName: lab.nodeName(index),
        terminationGracePeriodSeconds: 60,
        containers: [
          {
            name: 'main',
            image: peerImage,
            imagePullPolicy: 'IfNotPresent',
            args: ['8080', '8081'],
            ports: [
              { name: 'other', containerPort: 8081, protocol: 'UDP' },
              { name: 'main', containerPort: 8080 },
            ],
            ...more,
          },
        ],
      },
    });
    const slice = (name: string, hints: (index: number) => object): object => ({
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { name: `${name}-1`, labels: { 'kubernetes.io/service-name': name } },
      addressType: 'IPv4',
      endpoints: servers.map((podName, i) =>
        endpoint(podName, world.pods.get(podName) ?? '', lab.nodeName(i + 1), hints(i + 1)),
      ),
      ports: ports.map(({ name: portName, protocol }) => ({ name: portName, protocol, port: 8080 })),
    });
    const zoneOf = (index: number): string => (index === 2 ? 'b' : 'a');
    const rules = (index: number): Promise<string> =>
      mode === 'iptables'
        ? lab.onNode(index, 'iptables-save')
        : lab.onNode(index, 'nft', 'list', 'table', 'ip', 'kube-proxy');

    beforeAll(async () => {
      const archive = makePeerImage(directory, process.arch === 'x64' ? 'amd64' : process.arch);
      expect((await lab.gantry('lab', 'load', archive, '--name', lab.name)).code).toBe(0);
      const { plan } = clients;
      const nodeIps = plan.nodes.map(({ ip }) => ip);
      const outside = [200, 201].map((last) => plan.hostIp.replace(/\d+$/, String(last)));
      const never = { readinessProbe: { exec: { command: ['false'] } } };
      const slow = { lifecycle: { preStop: { exec: { command: ['sleep', '50'] } } } };
      await applyObjects(
        lab,
        ...services(outside),
        server('c0', 0, { app: 'client' }),
        server('c1', 1, { app: 'client' }),
        server('s1', 1, { app: 'server', only: 's1' }),
        server('s2', 2, { app: 'server' }),
        server('late', 2, { app: 'late' }, never),
        server('last', 2, { app: 'last' }, slow),
      );
      for (const [index, name] of plan.nodes.map(({ name: one }, i) => [i, one] as const)) {
        await lab.kubectl('label', 'node', name, `topology.kubernetes.io/zone=${zoneOf(index)}`);
      }
      for (const [name, ingress] of [
        ['lb', [{ ip: vips.lb, ipMode: 'VIP' }]],
        ['lb-local', [{ ip: vips['lb-local'], ipMode: 'VIP' }, { ip: vips['lb-local-far'] }]],
        ['lb-proxy', [{ ip: outside[0], ipMode: 'Proxy' }]],
        ['lb-ranges', [{ ip: vips['lb-ranges'] }]],
      ] as const) {
        const patch = JSON.stringify({ status: { loadBalancer: { ingress } } });
        await lab.kubectl('patch', 'service', name, '--subresource=status', '--type=merge', '--patch', patch);
      }
      const pods = new Map<string, string>();
      for (const name of ['c0', 'c1', 's1', 's2', 'last']) {
        pods.set(name, (await awaitReady(lab, name)).status?.podIP ?? '');
      }
      pods.set(
        'late',
        (await awaitPod(lab, 'late', 'address', ({ status }) => status?.podIP !== undefined)).status?.podIP ?? '',
      );
      const { items } = await lab.kubectlJson<List<Service>>('get', 'services');
      const named = new Map(items.map((one) => [one.metadata.name, one]));
      world = { services: named, pods, nodeIps, outside: [outside[0] ?? '', outside[1] ?? ''] };
      await applyObjects(
        lab,
        slice('near-zone', (index) => ({ forZones: [{ name: zoneOf(index) }] })),
        slice('near-node', (index) => ({ forNodes: [{ name: lab.nodeName(index) }] })),
      );
      for (const index of [0, 1, 2]) from.set(`node ${index}` as ClientName, await clients.onNode(index));
      for (const [name, index] of [
        ['c0', 0],
        ['c1', 1],
        ['s1', 1],
      ] as const) {
        from.set(`pod ${name}`, await clients.inPod(name, index));
      }
      const [n0 = '', n1 = '', n2 = ''] = nodeIps;
      const routes = {
        [vips.lb]: n0,
        [vips['lb-local']]: n1,
        [vips['lb-local-far']]: n0,
        [vips['lb-ranges']]: n2,
        [vips.external]: n1,
        [vips['external-local']]: n1,
        [vips['external-local-far']]: n0,
      };
      from.set('outside', await clients.outside(outside, routes, outsidePort));
    });

    afterAll(() => clients.close());

    /** What is not as the row says. */
    async function problemsOf(row: Row, protocol: 'TCP' | 'UDP'): Promise<string[]> {
      // refusals are ICMP messages, of which the kernel sends an address a few, and then one a second
      const length = row.by === 'refused' ? 1 : triesPerRow;
      const tries = Array.from({ length }, () => ({ protocol, ...row.to(world) }));
      const answers = await client(row.from).ask(tries);
      if (typeof row.by === 'string') return answers.filter((answer) => answer !== row.by);
      const heard = answers.map((answer) => answer.split(' '));
      const seen = row.seen?.(world) ?? [];
      const wrong = heard.filter(
        ([name = '', source = '', port]) =>
          !row.by.includes(name) || !seen.includes(source) || port !== String(row.at ?? 8080),
      );
      const silent = row.by.filter((name) => !heard.some(([one]) => one === name));
      return [...wrong.map((words) => words.join(' ')), ...silent.map((name) => `${name} has not answered`)];
    }

    const all = [
      ...rows,
      mode === 'iptables'
        ? {
            name: 'node port on 127.0.0.1',
            from: 'node 0',
            to: loopback,
            by: servers,
            seen: node(0),
            protocols: ['TCP'],
          }
        : { name: 'no node port on 127.0.0.1', from: 'node 0', to: loopback, by: 'refused', protocols: ['TCP'] },
    ] satisfies Row[];
    it.each(
      all.flatMap((row: Row) => (row.protocols ?? (['TCP', 'UDP'] as const)).map((protocol) => ({ ...row, protocol }))),
    )('$name, from $from, $protocol', async ({ protocol, ...row }) => {
      let problems: string[] = [];
      await eventually('the row', 15_000, async () => {
        problems = await problemsOf(row, protocol);
        return problems.length === 0 ? true : undefined;
      }).catch(() => {});
      expect(problems, JSON.stringify(row.to(world))).toEqual([]);
    });

    it.each(['TCP', 'UDP'] as const)(
      'a client of %s stays with its endpoint when the Service asks for it',
      async (protocol) => {
        for (const name of ['pod c0', 'pod c1', 'node 0'] as const) {
          const tries = Array.from({ length: triesPerRow }, () => ({ protocol, ...clusterIp('sticky')(world) }));
          const answers = await client(name).ask(tries);
          expect(new Set(answers)).toEqual(new Set([expect.stringMatching(/^s[12] /)]));
          expect(new Set(answers.map((answer) => answer.split(' ')[0])).size).toBe(1);
        }
      },
    );

    it('health check ports tell load balancers where endpoints are', async () => {
      const port = world.services.get('lb-local')?.spec.healthCheckNodePort;
      const count = async (index: number): Promise<unknown[]> => {
        const response = await fetch(`http://${world.nodeIps[index]}:${port}/`, { signal: AbortSignal.timeout(5000) });
        const { localEndpoints } = (await response.json()) as { localEndpoints: number };
        return [response.status, localEndpoints, response.headers.get('x-load-balancing-endpoint-weight')];
      };
      expect(await Promise.all([0, 1, 2].map(count))).toEqual([
        [503, 0, '0'],
        [200, 1, '1'],
        [200, 1, '1'],
      ]);
    });

    it('headless Services, external names and those of other proxies have no rules', async () => {
      const { items } = await lab.kubectlJson<List<EndpointSlice>>('get', 'endpointslices');
      const addressesOf = (name: string): string[] =>
        items
          .filter(({ metadata }) => metadata.labels?.['kubernetes.io/service-name'] === name)
          .flatMap((one) => one.endpoints?.flatMap(({ addresses }) => addresses) ?? []);
      expect(addressesOf('headless').toSorted()).toEqual(servers.flatMap((name) => pod(name)(world)).toSorted());
      expect(addressesOf('elsewhere')).toEqual([]);
      const text = await rules(0);
      expect(text).not.toMatch(/default\/(headless|elsewhere|foreign)/);
      const addresses = ['cluster', 'foreign'].map((name) => text.includes(clusterIp(name)(world).ip));
      expect(addresses).toEqual([true, false]);
    });

    it('the last endpoint answers while it terminates', async () => {
      await lab.kubectl('delete', 'pod', 'last', '--wait=false');
      await eventually('the slice to tell', patienceMs, async () => {
        const selector = ['--selector', 'kubernetes.io/service-name=last'];
        const { items } = await lab.kubectlJson<List<EndpointSlice>>('get', 'endpointslices', ...selector);
        const conditions = items[0]?.endpoints?.[0]?.conditions;
        return (conditions?.terminating && conditions.serving && !conditions.ready) || undefined;
      });
      for (const protocol of ['TCP', 'UDP'] as const) {
        for (let turn = 0; turn < 5; turn++) {
          const tries = Array.from({ length: triesPerRow }, () => ({ protocol, ...clusterIp('last')(world) }));
          expect(new Set(await client('pod c0').ask(tries))).toEqual(new Set([`last ${world.pods.get('c0')} 8080`]));
        }
      }
      await lab.kubectl('delete', 'pod', 'last', '--grace-period=0', '--force');
      await eventually('the refusal', patienceMs, async () => {
        const answers = await client('pod c0').ask([{ protocol: 'TCP', ...clusterIp('last')(world) }]);
        return answers[0] === 'refused' || undefined;
      });
    });
  });

function loopback({ services: named }: World): { ip: string; port: number } {
  return { ip: '127.0.0.1', port: named.get('port')?.spec.ports?.[0]?.nodePort ?? 0 };
}
