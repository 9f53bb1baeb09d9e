/**
 * kube-proxy in mode ipvs on a machine whose kernel has virtual servers: real clients in pods, on the node and outside,
 * an endpoint that goes while somebody talks to it, a restart, rules flushed by hand, and the clean-up.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { awaitUntil } from '../await-until.ts';
import { machineAddress, machineName } from './support/machine-files.ts';
import { MachineNode, patienceMs } from './support/machine-node.ts';
import { SmallNetwork, addresses, nodeAddress, servedPort } from './support/small-network.ts';
import { missingForMachines } from './support/virtual-machine.ts';

const missing = missingForMachines();
if (missing !== undefined) console.warn(`skipped: mode ipvs ${missing}`);

const patience = { timeoutMs: patienceMs, periodMs: 1000 };
const config = {
  clusterCIDR: '10.77.0.0/24',
  ipvs: { tcpFinTimeout: '5s', excludeCIDRs: ['192.0.2.0/24'] },
};
const externalIp = '203.0.113.10';
const balancerIp = '203.0.113.20';
const guardedIp = '203.0.113.21';
const foreignServer = '192.0.2.1:7';

interface ServiceFields {
  clusterIP: string;
  [field: string]: unknown;
}

describe.skipIf(missing !== undefined)('kube-proxy in mode ipvs', () => {
  let node: MachineNode;
  let network: SmallNetwork;

  const run = (script: string): Promise<string> => node.machine.run(script);
  const call = async (method: string, path: string, body: unknown, contentType = 'application/json'): Promise<void> => {
    const answer = await node.server.call(method, path, { body, contentType });
    if (answer.code >= 300) throw new Error(`${method} ${path}: ${answer.text}`);
  };
  const slices = '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices';
  const services = '/api/v1/namespaces/default/services';
  const endpointsOf = (...names: Array<'a' | 'b'>): object[] =>
    names.map((name) => ({ addresses: [addresses[name]], nodeName: machineName, conditions: { ready: true } }));
  const serve = async (
    name: string,
    spec: ServiceFields,
    names: Array<'a' | 'b'>,
    ingress: string[] = [],
  ): Promise<void> => {
    const ports = (['TCP', 'UDP'] as const).map((protocol) => ({
      name: protocol.toLowerCase(),
      port: servedPort,
      protocol,
    }));
    await call('POST', slices, {
      metadata: { name, labels: { 'kubernetes.io/service-name': name } },
      addressType: 'IPv4',
      endpoints: endpointsOf(...names),
      ports,
    });
    await call('POST', services, { metadata: { name }, spec: { ports: [{ name: 'tcp', port: 80 }], ...spec } });
    const status = { loadBalancer: { ingress: ingress.map((ip) => ({ ip })) } };
    if (ingress.length > 0) {
      await call('PATCH', `${services}/${name}/status`, { status }, 'application/merge-patch+json');
    }
  };
  const servers = (): Promise<string> => run('ipvsadm -S -n');
  const sets = async (): Promise<string[]> => (await run('ipset save')).trim().split('\n').toSorted();
  const kubeRules = (): Promise<string> => run('(iptables-save; ip6tables-save) | grep KUBE- || true');
  const awaitAnswer = (address: string): Promise<unknown> =>
    awaitUntil(`an answer of ${address}`, async () => !(await network.ask('client', address)).includes('-'), patience);

  beforeAll(async () => {
    node = await MachineNode.make();
    await node.machine.boot();
    network = await SmallNetwork.make(node.machine);
    await call('POST', '/api/v1/nodes', { metadata: { name: machineName }, spec: {} });
    const status = { addresses: [{ type: 'InternalIP', address: machineAddress }] };
    await call('PATCH', `/api/v1/nodes/${machineName}/status`, { status }, 'application/merge-patch+json');
    const two: Array<'a' | 'b'> = ['a', 'b'];
    const bothPorts = [
      { name: 'tcp', port: 80, nodePort: 30080 },
      { name: 'udp', port: 53, protocol: 'UDP', nodePort: 30053 },
    ];
    await serve(
      'web',
      { clusterIP: '10.96.0.10', type: 'LoadBalancer', externalIPs: [externalIp], ports: bothPorts },
      two,
      [balancerIp],
    );
    await serve('sticky', { clusterIP: '10.96.0.11', sessionAffinity: 'ClientIP' }, two);
    await serve(
      'local',
      {
        clusterIP: '10.96.0.12',
        type: 'NodePort',
        externalTrafficPolicy: 'Local',
        ports: [{ name: 'tcp', port: 80, nodePort: 30082 }],
      },
      two,
    );
    const ranges = { type: 'LoadBalancer', loadBalancerSourceRanges: ['10.99.0.0/16', '10.77.0.0/16'] };
    await serve('guarded', { clusterIP: '10.96.0.13', ...ranges }, two, [guardedIp]);
    await serve('slow', { clusterIP: '10.96.0.14' }, ['a']);
    await run('modprobe ip_vs');
    await run(`ipvsadm -A -t ${foreignServer} -s rr`);
    await node.configureProxy('ipvs', config);
    await run('systemctl start kube-proxy');
    await awaitAnswer('10.96.0.10:80');
  });
  afterAll(async () => {
    await node?.close();
  });

  it('sends each connection to the next endpoint, and shows servers the client where it can', async () => {
    const both = (client: string): string[] => [`a ${client}`, `b ${client}`];
    const seen = async (...question: Parameters<SmallNetwork['ask']>): Promise<string[]> =>
      [...new Set(await network.ask(...question))].toSorted();
    const { client, outside } = addresses;
    expect(await seen('client', '10.96.0.10:80', 4)).toEqual(both(client));
    expect(await seen('client', '10.96.0.10:53', 4, 'udp')).toEqual(both(client));
    expect(await seen('node', '10.96.0.10:80', 4)).toEqual(both(nodeAddress.inside));
    for (const address of [`${externalIp}:80`, `${balancerIp}:80`, `${nodeAddress.outside}:30080`]) {
      expect(await seen('outside', address, 4), address).toEqual(both(nodeAddress.inside));
    }
    expect(await seen('outside', `${machineAddress}:30053`, 4, 'udp')).toEqual(both(nodeAddress.inside));
    // policy Local keeps the client's address
    expect(await seen('outside', `${nodeAddress.outside}:30082`, 4)).toEqual(both(outside));
    // nothing is served on 127.0.0.1, and on a Service's address only its ports
    expect(await seen('node', '127.0.0.1:30080')).toEqual(['-']);
    expect(await seen('client', '10.96.0.10:22')).toEqual(['-']);
  });

  it('lets a pod talk to itself through its Service', async () => {
    const answers = await network.ask('a', '10.96.0.10:80', 4);
    expect(new Set(answers)).toEqual(new Set([`a ${nodeAddress.inside}`, `b ${addresses.a}`]));
  });

  it('keeps a client at its endpoint, and clients out that no source range names', async () => {
    expect(new Set(await network.ask('client', '10.96.0.11:80', 6)).size).toBe(1);
    expect(await network.ask('client', `${guardedIp}:80`)).not.toEqual(['-']);
    expect(await network.ask('outside', `${guardedIp}:80`)).toEqual(['-']);
  });

  it('lets an open connection go on when its endpoint leaves, sends new ones elsewhere, and forgets it then', async () => {
    await network.open('client', '10.96.0.14:80');
    const fromA = `a ${addresses.client}`;
    expect(await network.askOpen()).toBe(fromA);
    await call('PATCH', `${slices}/slow`, { endpoints: endpointsOf('b') }, 'application/merge-patch+json');
    const leaving = `-a -t 10.96.0.14:80 -r ${addresses.a}:${servedPort} -m -w 0`;
    await awaitUntil('the endpoint to drain', async () => (await servers()).includes(leaving), patience);
    expect(new Set(await network.ask('client', '10.96.0.14:80', 3))).toEqual(new Set([`b ${addresses.client}`]));
    expect(await network.askOpen()).toBe(fromA);
    await network.hangUp();
    await awaitUntil('the endpoint to go', async () => !(await servers()).includes(leaving), patience);
  });

  it('changes nothing when it starts again', async () => {
    expect(await run('ipvsadm -L --timeout')).toMatch(/: 900 5 300$/m);
    const [serversBefore, setsBefore, rulesBefore] = [await servers(), await sets(), await kubeRules()];
    expect(serversBefore).toContain(`-A -t ${foreignServer} -s rr\n`);
    const synced =
      "busybox wget -q -O - http://127.0.0.1:10249/metrics | grep '^kubeproxy_sync_proxy_rules_last_timestamp'";
    await run('systemctl restart kube-proxy');
    await awaitUntil('a sync', async () => (await node.machine.try(synced)).stdout.includes('IPv4'), patience);
    expect(await servers()).toBe(serversBefore);
    expect(await sets()).toEqual(setsBefore);
    expect(await kubeRules()).toBe(rulesBefore);
  });

  it('puts back what somebody has taken away', async () => {
    const rulesBefore = await kubeRules();
    await run('iptables -t nat -F; iptables -F; ipvsadm -C; ip link del kube-ipvs0');
    await awaitAnswer('10.96.0.10:80');
    expect((await kubeRules()).split('\n').toSorted()).toEqual(rulesBefore.split('\n').toSorted());
    expect(new Set(await network.ask('outside', `${balancerIp}:80`, 2)).has('-')).toBe(false);
  });

  it('leaves nothing behind when it is told to clean up', async () => {
    await run('systemctl stop kube-proxy; ipset create foreign hash:ip; iptables -N FOREIGN');
    await run('gantry kube-proxy --cleanup');
    expect(await servers()).toBe('');
    expect(await kubeRules()).toBe('');
    expect(await run('ipset list -n; ls /sys/class/net | grep kube || true')).toBe('foreign\n');
    await run('iptables -S FOREIGN');
  });
});
