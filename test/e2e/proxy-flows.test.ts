import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { awaitUntil } from '../await-until.ts';
import { TestNode, missingForNamespaces } from './network-namespace.ts';

const missing = missingForNamespaces(['iptables', 'iptables-restore', 'conntrack', 'sysctl', 'busybox']);
if (missing !== undefined) console.warn(`skipped: flows of kube-proxy in a network namespace ${missing}`);

const proxyProcess = new URL('proxy-process.ts', import.meta.url).pathname;
const peerProcess = new URL('udp-peer-process.ts', import.meta.url).pathname;
const config = {
  clusterCIDR: '10.77.0.0/24',
  hostnameOverride: 'node-1',
  healthzBindAddress: '127.0.0.1:10256',
  metricsBindAddress: '127.0.0.1:10249',
  iptables: { syncPeriod: '5s', minSyncPeriod: '50ms' },
};

const service = (name: string, clusterIP: string, protocol: 'UDP' | 'SCTP' | 'TCP', nodePort?: number): object => ({
  kind: 'Service',
  metadata: { namespace: 'net', name },
  spec: {
    type: nodePort === undefined ? 'ClusterIP' : 'NodePort',
    clusterIP,
    clusterIPs: [clusterIP],
    ipFamilies: ['IPv4'],
    ports: [{ port: 53, protocol, ...(nodePort === undefined ? {} : { nodePort }) }],
  },
});
const slice = (of: string, addresses: readonly string[], protocol: 'UDP' | 'SCTP' | 'TCP' = 'UDP'): object => ({
  kind: 'EndpointSlice',
  metadata: { namespace: 'net', name: `${of}-1`, labels: { 'kubernetes.io/service-name': of } },
  addressType: 'IPv4',
  endpoints: addresses.map((address) => ({ addresses: [address], conditions: { ready: true } })),
  ports: [{ name: '', port: 5353, protocol }],
});

const [ipA, ipB] = ['10.77.0.2', '10.77.0.3'];
const dns = service('dns', '10.96.0.53', 'UDP', 30_053);
const steady = service('steady', '10.96.0.54', 'UDP');
const late = service('late', '10.96.0.55', 'UDP');
const calls = service('calls', '10.96.0.56', 'SCTP');
const web = service('web', '10.96.0.57', 'TCP');
const serviceCidr = { kind: 'ServiceCIDR', metadata: { name: 'kubernetes' }, spec: { cidrs: ['10.96.0.0/16'] } };

describe.skipIf(missing !== undefined)('flows of UDP and SCTP in a network namespace', () => {
  let node: TestNode;
  let proxy: ReturnType<TestNode['start']>;
  const put = (object: object): void => proxy.write(JSON.stringify({ put: object }));
  const remove = (object: object): void => proxy.write(JSON.stringify({ delete: object }));
  const startProxy = (objects: readonly object[]): void => {
    proxy = node.start(['ip', 'netns', 'exec', node.name, process.execPath, proxyProcess, JSON.stringify(config)]);
    for (const object of objects) put(object);
    proxy.write('{"synced":true}');
  };
  const inPod = (podName: string, ...args: string[]): ReturnType<TestNode['start']> =>
    node.start(['ip', 'netns', 'exec', `${node.name}-${podName}`, process.execPath, peerProcess, ...args]);
  /** The table's entries for an address, with their ids. */
  const entries = (toIp: string, protocol = 'udp'): string[] =>
    node
      .run('conntrack', '-L', '-p', protocol, '--orig-dst', toIp, '-o', 'id')
      .split('\n')
      .map((line) => `${/\bsrc=\S+ dst=\S+ sport=\d+ dport=\d+/.exec(line)?.[0]} ${/\bid=\d+/.exec(line)?.[0]}`)
      .filter((line) => line.includes('id='))
      .toSorted();
  /** Asks from the same port again and again until `name` answers. */
  const answeredBy = async (client: ReturnType<TestNode['start']>, name: string): Promise<void> => {
    await awaitUntil(`"${name}" to answer`, () => {
      const heard = client.output.splice(0);
      client.write('');
      return heard.includes(name);
    });
  };
  const insert = (protocol: 'sctp' | 'tcp', clientPort: number, to: string, from: string): void => {
    const state = protocol === 'sctp' ? ['--orig-vtag', '1', '--reply-vtag', '2'] : [];
    const ends = ['-s', '10.77.0.4', '-d', to, '--sport', String(clientPort), '--dport', '53'];
    const reply = ['-r', from, '-q', '10.77.0.4', '--reply-port-src', '5353', '--reply-port-dst', String(clientPort)];
    node.run('conntrack', '-I', '-p', protocol, ...ends, ...reply, '-t', '300', '--state', 'ESTABLISHED', ...state);
  };
  const metric = (name: string): number =>
    Number(
      new RegExp(`^kubeproxy_${name}\\{ip_family="IPv4"\\} (\\d+)`, 'm').exec(
        node.fetch('http://127.0.0.1:10249/metrics'),
      )?.[1],
    );

  let client: ReturnType<TestNode['start']>;
  let other: ReturnType<TestNode['start']>;
  let steadyEntry: string[] = [];

  beforeAll(async () => {
    node = new TestNode(`gantry-e2e-flows-${process.pid}`);
    for (const [podName, address] of [
      ['a', ipA],
      ['b', ipB],
      ['c', '10.77.0.4'],
    ] as const)
      node.addPod(podName, address);
    const peers = [inPod('a', 'serve', 'a', '5353'), inPod('b', 'serve', 'b', '5353')];
    client = inPod('c', 'ask', '40000', '10.96.0.53', '53');
    other = inPod('c', 'ask', '40001', '10.96.0.54', '53');
    await awaitUntil('the peers', () => [...peers, client, other].every(({ output }) => output.includes('ready')));
    startProxy([
      serviceCidr,
      dns,
      slice('dns', [ipA]),
      steady,
      slice('steady', [ipB]),
      calls,
      slice('calls', [ipA, ipB], 'SCTP'),
      web,
      slice('web', [ipA, ipB], 'TCP'),
    ]);
    await answeredBy(client, 'a');
    await answeredBy(other, 'b');
    steadyEntry = entries('10.96.0.54');
    expect(steadyEntry).toHaveLength(1);
  });

  afterAll(() => node.remove());

  it('a client that keeps its port gets to the new endpoint', async () => {
    put(slice('dns', [ipB]));
    await answeredBy(client, 'b');
    expect(metric('conntrack_reconciler_stale_entries_total')).toBeGreaterThan(0);
    expect(metric('conntrack_reconciler_deleted_entries_total')).toBeGreaterThan(0);
  });

  it('also through the node port', async () => {
    const viaNode = inPod('c', 'ask', '40002', '10.77.0.1', '30053');
    await answeredBy(viaNode, 'b');
    put(slice('dns', [ipA]));
    await answeredBy(viaNode, 'a');
    await viaNode.stop();
  });

  it('nothing goes on to an endpoint that was the last one', async () => {
    await answeredBy(client, 'a');
    put(slice('dns', []));
    await awaitUntil('the flow to end', () => entries('10.96.0.53').length === 0);
    put(slice('dns', [ipA]));
    await answeredBy(client, 'a');
  });

  it('a client that was there before the Service gets to its first endpoint', async () => {
    const early = inPod('c', 'ask', '40003', '10.96.0.55', '53');
    await awaitUntil('the entry of a flow that goes nowhere', () => {
      early.write('');
      return entries('10.96.0.55').length === 1;
    });
    put(late);
    put(slice('late', [ipB]));
    await answeredBy(early, 'b');
    await early.stop();
  });

  it('nothing goes on to the endpoint of a Service that is gone', async () => {
    remove(late);
    await awaitUntil('the flow to end', () => entries('10.96.0.55').length === 0);
  });

  it('flows of SCTP end, too; those of TCP are left alone', async () => {
    insert('sctp', 40_010, '10.96.0.56', ipA);
    insert('sctp', 40_011, '10.96.0.56', ipB);
    insert('tcp', 40_012, '10.96.0.57', ipA);
    const [good] = entries('10.96.0.56', 'sctp').filter((entry) => entry.includes('sport=40011'));
    for (const object of [slice('web', [ipB], 'TCP'), slice('calls', [ipB], 'SCTP')]) put(object);
    await awaitUntil('the stale flow to end', () => entries('10.96.0.56', 'sctp').length === 1);
    expect(entries('10.96.0.56', 'sctp')).toEqual([good]);
    expect(entries('10.96.0.57', 'tcp')).toHaveLength(1);
  });

  it('what has changed while no proxy ran is seen at its start', async () => {
    await answeredBy(client, 'a');
    await proxy.stop();
    startProxy([serviceCidr, dns, slice('dns', [ipB]), steady, slice('steady', [ipB])]);
    await answeredBy(client, 'b');
    // a Service that went meanwhile: its endpoint is none any more
    await awaitUntil('the flow of SCTP to end', () => entries('10.96.0.56', 'sctp').length === 0);
    expect(entries('10.96.0.57', 'tcp')).toHaveLength(1);
  });

  it('a good flow has kept its entry through all of it', async () => {
    expect(entries('10.96.0.54')).toEqual(steadyEntry);
    await answeredBy(other, 'b');
    expect(entries('10.96.0.54')).toEqual(steadyEntry);
  });
});
