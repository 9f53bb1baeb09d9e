/** The network agent and two address families, in a lab of real nodes. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type Server, createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Event, Node, Pod, Service } from '../../src/objects/generated/core-v1.ts';
import type { ClusterPlan } from '../../src/lab/plan-cluster.ts';
import { runInside } from '../../src/adapters/namespaces/namespaces.ts';
import { clusterPaths, readProcesses } from '../../src/lab/cluster-state.ts';
import { inNode } from '../../src/lab/node-files.ts';
import { describeAsRoot } from './support/as-root.ts';
import { hostRules } from './support/leftovers.ts';
import { eventually, mainFile, useLab } from './support/lab.ts';
import { type List, applyObjects, awaitReady, conditionOf, patienceMs } from './support/pods.ts';

const head = 'kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\n';
const never = new AbortController().signal;
const directory = mkdtempSync(join(tmpdir(), 'gantry-e2e-pod-network-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

function configFile(networking: string): string {
  const path = join(directory, `${networking.replace(/\W+/g, '-')}.yaml`);
  writeFileSync(path, `${head}networking: {${networking}}\n`);
  return path;
}

describeAsRoot('the pod network of a lab of two families', () => {
  const lab = useLab({ nodes: 3, flags: ['--config', configFile('ipFamily: dual')] });
  const conflist = '/etc/cni/net.d/10-gantry.conflist';
  const agent = 'network-agent';
  const plan = (): ClusterPlan => JSON.parse(readFileSync(join(lab.directory, 'cluster.json'), 'utf8')) as ClusterPlan;
  /** Without the program around it, which takes a second to start. */
  const sh = async (index: number, script: string): Promise<string> => {
    const records = await readProcesses(clusterPaths(lab.directory));
    const init = records.find(({ node, component }) => node === lab.nodeName(index) && component === 'init');
    return (await runInside(init?.id.pid ?? 0, ['sh', '-c', script], {}, never)).stdout;
  };
  const until = (what: string, isSo: () => Promise<boolean>): Promise<true> =>
    eventually(what, patienceMs, async () => ((await isSo()) ? true : undefined));
  const routes = (index: number): Promise<string> =>
    sh(index, 'ip -4 route show proto 107; ip -6 route show proto 107');
  const door = (index: number, path: string): Promise<string> =>
    sh(index, `printf 'GET ${path} HTTP/1.0\\r\\n\\r\\n' | busybox nc 127.0.0.1 10262`);
  const rules = (index: number): Promise<string> => sh(index, 'nft list table inet gantry-pod-network');
  const logOf = (index: number): string =>
    readFileSync(join(lab.directory, 'logs', `${lab.nodeName(index)}.${agent}.log`), 'utf8');
  const from = (pod: string, url: string): Promise<string> =>
    lab.kubectl('exec', pod, '--', 'timeout', '5', 'wget', '-q', '-O', '-', url);
  const pods: Pod[] = [];
  const hostPort = 18_080;
  const podIp = (pod: number, family: number): string => pods[pod]?.status?.podIPs?.[family]?.ip ?? '';
  /** A Node object without a machine. */
  const makeNode = async (name: string, podCIDRs: string[], address: string): Promise<void> => {
    const metadata = { name };
    await applyObjects(lab, { apiVersion: 'v1', kind: 'Node', metadata, spec: { podCIDR: podCIDRs[0], podCIDRs } });
    await moveNode(name, address);
  };
  const moveNode = async (name: string, address: string): Promise<void> => {
    const status = { addresses: [{ type: 'InternalIP', address }] };
    const patch = JSON.stringify({ status });
    await lab.kubectl('patch', 'node', name, '--subresource=status', '--type=merge', '--patch', patch);
  };

  beforeAll(async () => {
    const web = (name: string, node: number): object => ({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, labels: { app: 'web' } },
      spec: {
        nodeName: lab.nodeName(node),
        containers: [
          {
            name: 'main',
            image: 'gantry.local/web:1',
            imagePullPolicy: 'IfNotPresent',
            ...(name === 'b' ? { ports: [{ containerPort: 8080, hostPort }] } : {}),
          },
        ],
      },
    });
    await applyObjects(lab, web('a', 0), web('b', 1), web('b2', 1));
    for (const name of ['a', 'b', 'b2']) pods.push(await awaitReady(lab, name));
  });

  it('pods keep their own address towards pods, of the same node and of others, in both families', async () => {
    const { items } = await lab.kubectlJson<List<Node>>('get', 'nodes');
    for (const { status, spec } of items) {
      expect(status?.addresses?.filter(({ type }) => type === 'InternalIP')).toHaveLength(2);
      expect(spec.podCIDRs).toHaveLength(2);
    }
    for (const [client, server] of [
      ['a', 1],
      ['b2', 1],
    ] as const) {
      const index = ['a', 'b', 'b2'].indexOf(client);
      const v4 = await from(client, `http://${podIp(server, 0)}:8080/cgi-bin/env`);
      expect(v4).toContain('HOSTNAME=b\n');
      expect(v4).toContain(`REMOTE_ADDR=[::ffff:${podIp(index, 0)}]`);
      const v6 = await from(client, `http://[${podIp(server, 1)}]:8080/cgi-bin/env`);
      expect(v6).toContain('HOSTNAME=b\n');
      expect(v6).toContain(`REMOTE_ADDR=[${podIp(index, 1)}]`);
    }
  });

  it('a Service has an address of each family, which answer in pods and on nodes', async () => {
    const spec = {
      ipFamilyPolicy: 'RequireDualStack',
      selector: { app: 'web' },
      ports: [{ port: 80, targetPort: 8080 }],
    };
    await applyObjects(lab, { apiVersion: 'v1', kind: 'Service', metadata: { name: 'web' }, spec });
    const service = await lab.kubectlJson<Service>('get', 'service', 'web');
    expect(service.spec.ipFamilies).toEqual(['IPv4', 'IPv6']);
    const [v4 = '', v6 = ''] = service.spec.clusterIPs ?? [];
    for (const host of [v4, `[${v6}]`]) {
      await until(`${host} answers in a pod`, async () =>
        (await from('a', `http://${host}/cgi-bin/env`)).includes('HOSTNAME='),
      );
      await until(`${host} answers on a node`, async () =>
        (await sh(2, `busybox wget -Y off -q -O - http://${host}/cgi-bin/env`)).includes('HOSTNAME='),
      );
    }
    await lab.kubectl('patch', 'service', 'web', '--patch', '{"spec":{"ipFamilyPolicy":"SingleStack"}}');
    expect((await lab.kubectlJson<Service>('get', 'service', 'web')).spec.clusterIPs).toEqual([v4]);
  });

  it('a pod reaches itself through its Service, and its host port answers from outside and on the node', async () => {
    const ports = [{ port: 80, targetPort: 8080 }];
    await lab.kubectl('label', 'pod', 'a', 'self=yes');
    const spec = { selector: { self: 'yes' }, ports };
    await applyObjects(lab, { apiVersion: 'v1', kind: 'Service', metadata: { name: 'self' }, spec });
    const { clusterIP } = (await lab.kubectlJson<Service>('get', 'service', 'self')).spec;
    await until('it answers itself', async () =>
      (await from('a', `http://${clusterIP}/cgi-bin/env`)).includes('HOSTNAME=a\n'),
    );
    const { nodes, ipv6 } = plan();
    expect(ipv6).toBeDefined();
    for (const host of [nodes[1]?.ip, `[${nodes[1]?.ipv6}]`]) {
      const response = await fetch(`http://${host}:${hostPort}/cgi-bin/env`, { signal: AbortSignal.timeout(5000) });
      expect(await response.text()).toContain('HOSTNAME=b\n');
    }
    const own = `busybox wget -Y off -q -O - http://127.0.0.1:${hostPort}/cgi-bin/env`;
    expect(await sh(1, own)).toContain('HOSTNAME=b\n');
  });

  it("what leaves the cluster has the node's address", async () => {
    const { hostIp, ipv6, nodes } = plan();
    for (const [host, url, nodeIp] of [
      [hostIp, `http://${hostIp}`, `${nodes[1]?.ip}`],
      [ipv6?.hostIp ?? '', `http://[${ipv6?.hostIp}]`, `${nodes[1]?.ipv6}`],
    ] as const) {
      const server = await listen(host);
      try {
        const address = server.address();
        const port = typeof address === 'object' ? address?.port : undefined;
        expect(await from('b', `${url}:${port}/`)).toBe(nodeIp);
      } finally {
        server.close();
      }
    }
  });

  it('routes follow nodes that come, move and go; one in another network is named', async () => {
    const v4 = plan().hostIp;
    const other = v4.replace(/\d+$/, '9');
    await makeNode('guest', ['10.244.77.0/24'], v4);
    await until('there is a route', async () => (await routes(0)).includes(`10.244.77.0/24 via ${v4} `));
    expect(await rules(0)).toContain('10.244.77.0/24');
    await moveNode('guest', other);
    await until('the route has moved', async () => (await routes(1)).includes(`10.244.77.0/24 via ${other} `));
    await makeNode('far', ['10.244.78.0/24', 'fd00:10:244:78::/64'], '192.0.2.77');
    const health = await eventually('health names the node', patienceMs, async () => {
      const text = await door(0, '/healthz');
      return text.includes('503 ') && text.includes('via 192.0.2.77') ? text : undefined;
    });
    expect(health).toContain(
      'pods of node "far" are not reachable: no route to 10.244.78.0/24 via 192.0.2.77 is possible',
    );
    expect(health).toContain('pods of node "far" in fd00:10:244:78::/64 are not reachable: it has no IPv6 InternalIP');
    await until('an event names it', async () => {
      const { items } = await lab.kubectlJson<List<Event>>(
        'get',
        'events',
        '--field-selector',
        'reason=PodRouteMissing',
      );
      return items.some(
        ({ message, involvedObject }) => message?.includes('"far"') && involvedObject.name === lab.nodeName(0),
      );
    });
    await lab.kubectl('delete', 'node', 'guest', 'far');
    await until('their routes are gone', async () => !/10\.244\.7[78]/.test(await routes(0)));
    await until('health is good again', async () => (await door(0, '/healthz')).includes('200 OK'));
  });

  it('a killed agent changes nothing, and what changed meanwhile is made up for', async () => {
    await makeNode('brief', ['10.244.79.0/24'], plan().hostIp);
    await until('there is a route', async () => (await routes(0)).includes('10.244.79.0/24'));
    const before = [await routes(0), await rules(0), await sh(0, `cat ${conflist}; stat -c %Y%i ${conflist}`)];
    await lab.stop(0, agent, 'SIGKILL');
    await sh(0, 'iptables -P FORWARD DROP');
    expect([await routes(0), await rules(0), await sh(0, `cat ${conflist}; stat -c %Y%i ${conflist}`)]).toEqual(before);
    await lab.kubectl('delete', 'node', 'brief');
    await lab.start(0, agent);
    await until('the way is said to be barred', async () => logOf(0).includes('iptables -P FORWARD ACCEPT'));
    await sh(0, 'iptables -P FORWARD ACCEPT');
    expect(await from('a', `http://${podIp(1, 0)}:8080/cgi-bin/env`)).toContain('HOSTNAME=b\n');
    await until('the route is gone', async () => !(await routes(0)).includes('10.244.79.0/24'));
    expect(await sh(0, `cat ${conflist}; stat -c %Y%i ${conflist}`)).toBe(before[2]);
  });

  it('what somebody takes away comes back: configuration, rules, and routes after the link was down', async () => {
    const before = [await routes(2), await rules(2), await sh(2, `cat ${conflist}`)];
    const { hostIp, ipv6, nodes } = plan();
    const address6 = nodes[2]?.ipv6 ?? '';
    // addresses of IPv6 and hand-made routes go with the link: whoever configures the machine brings them back
    const up = `ip link set eth0 up; ip address add ${address6}/64 dev eth0 nodad; ip route add default via ${hostIp}; ip route add default via ${ipv6?.hostIp}`;
    await sh(2, `ip link set eth0 down; ${up}; rm ${conflist}; nft delete table inet gantry-pod-network`);
    await until('all is as before', async () => {
      const now = [await routes(2), await rules(2), await sh(2, `cat ${conflist}`)];
      return JSON.stringify(now) === JSON.stringify(before);
    });
  });

  it("other programs' configurations are left alone, and told", async () => {
    const other = '/etc/cni/net.d/05-other.conflist';
    const own = await sh(1, `cat ${conflist}`);
    await sh(1, `echo '{"name":"other"}' > ${other}`);
    await until('it is told', async () => (await door(1, '/metrics')).includes('gantry_pod_network_foreign_config 1'));
    expect(logOf(1)).toContain("another program's CNI configuration comes first");
    expect(await sh(1, `cat ${other} ${conflist}`)).toBe(`{"name":"other"}\n${own}`);
    await sh(1, `rm ${other}; echo '{"name":"mine"}' > ${conflist}`);
    await until('it is told', async () =>
      (await door(1, '/healthz')).includes('"10-gantry.conflist" was written by somebody else'),
    );
    expect(await sh(1, `cat ${conflist}`)).toBe('{"name":"mine"}\n');
    await sh(1, `rm ${conflist}`);
    await until('ours is back', async () => (await sh(1, `cat ${conflist}`)) === own);
    await until('health is good again', async () => (await door(1, '/healthz')).includes('200 OK'));
  });

  it('a node that registers anew gets a network as any other; without a Node object its own stays as it is', async () => {
    const [own, conflistBefore] = [await routes(2), await sh(2, `cat ${conflist}`)];
    await lab.stop(2, 'agent');
    await lab.kubectl('delete', 'node', lab.nodeName(2));
    await until('others have no way to it', async () => !(await routes(0)).includes(plan().nodes[2]?.ip ?? ''));
    expect([await routes(2), await sh(2, `cat ${conflist}`)]).toEqual([own, conflistBefore]);
    await lab.start(2, 'agent');
    const node = await eventually('it has a network', patienceMs, async () => {
      const found = await lab.kubectlJson<Node>('get', 'node', lab.nodeName(2));
      return found.spec.podCIDRs === undefined ? undefined : found;
    });
    expect(node.spec.podCIDRs).toHaveLength(2);
    for (const cidr of node.spec.podCIDRs ?? []) {
      await until('others have a way to it', async () => (await routes(0)).includes(`${cidr} via `));
      await until('its pods get such addresses', async () => (await sh(2, `cat ${conflist}`)).includes(cidr));
    }
  });

  it("new pods' packets are as long as those between nodes may be", async () => {
    expect(await sh(1, `cat ${conflist}`)).toContain('"mtu": 1500');
    await sh(1, 'ip link set eth0 mtu 1400');
    await until('it is written', async () => (await sh(1, `cat ${conflist}`)).includes('"mtu": 1400'));
  });

  it('--cleanup takes all of it away, and nothing else', async () => {
    await lab.stop(2, agent);
    const flags = `--kubeconfig=${inNode.networkAgentKubeconfig} --hostname-override=${lab.nodeName(2)} --masquerade=false`;
    const other = `setsid ${process.execPath} ${mainFile} ${agent} ${flags}`;
    const pid = await sh(2, `${other} >/dev/null 2>&1 </dev/null & echo $!`);
    await until('nothing is masqueraded any more', async () => !(await sh(2, 'nft list tables')).includes('gantry'));
    expect(await routes(2)).not.toBe('');
    await sh(2, `kill ${pid}`);
    const others = await sh(2, 'ip route show | grep -v 107; iptables-save | grep -c KUBE');
    await lab.onNode(2, process.execPath, mainFile, agent, '--cleanup');
    expect(await routes(2)).toBe('');
    expect(await sh(2, `ls /etc/cni/net.d; nft list tables | grep -c gantry || true`)).toBe('0\n');
    expect(await sh(2, 'ip route show | grep -v 107; iptables-save | grep -c KUBE')).toBe(others);
    expect(await hostRules()).not.toContain('gantry-pod-network');
  });
});

describeAsRoot('a lab without network and proxy', () => {
  const lab = useLab({ flags: ['--config', configFile('disableDefaultCNI: true, kubeProxyMode: none')] });

  it('has neither, and its node waits for an add-on', async () => {
    const node = await lab.kubectlJson<Node>('get', 'node', lab.nodeName(0));
    const ready = node.status?.conditions?.find(({ type }) => type === 'Ready');
    expect(ready?.status).toBe('False');
    expect(ready?.message).toContain('network');
    const outcome = await lab.onNode(0, 'sh', '-c', 'ls /etc/cni/net.d; iptables-save; nft list tables');
    expect(outcome).not.toMatch(/KUBE-SERVICES|gantry-pod-network|conflist/);
    await applyObjects(lab, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'host' },
      spec: {
        hostNetwork: true,
        tolerations: [{ operator: 'Exists' }],
        containers: [{ name: 'main', image: 'gantry.local/web:1', imagePullPolicy: 'IfNotPresent' }],
      },
    });
    expect(conditionOf(await awaitReady(lab, 'host'), 'Ready')).toContain('True');
  });
});

/** A server beyond the nodes that answers a client's address. */
async function listen(host: string): Promise<Server> {
  const server = createServer((request, response) => response.end(request.socket.remoteAddress));
  await new Promise<void>((resolve) => server.listen({ host, port: 0 }, resolve));
  return server;
}
