/** The name service in a lab, asked by `dig` and by the resolvers of glibc and musl, from nodes and from pods. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Deployment } from '../../src/objects/generated/apps-v1.ts';
import type { Pod, Service } from '../../src/objects/generated/core-v1.ts';
import type { LoadFigures, LoadOptions } from '../bench/dns-load.ts';
import { describeAsRoot } from './support/as-root.ts';
import { eventually, useLab } from './support/lab.ts';
import { makeResolverImage, resolverImage } from './support/resolver-image.ts';

const loadFile = fileURLToPath(new URL('../bench/dns-load.ts', import.meta.url));
const dnsIp = '10.96.0.10';
const zone = 'default.svc.cluster.local';

/** Pods as Conformance has them: with a host name each, in the domain of a headless Service. */
function querier(name: string): string {
  return `
apiVersion: v1
kind: Pod
metadata: { name: ${name}, labels: { app: querier } }
spec:
  hostname: ${name}
  subdomain: dns-test-service
  terminationGracePeriodSeconds: 0
  containers:
    - { name: tools, image: "${resolverImage}", imagePullPolicy: IfNotPresent, command: [sleep, "3600"] }
---`;
}

const manifest = `${querier('dns-querier-1')}${querier('dns-querier-2')}
apiVersion: v1
kind: Service
metadata: { name: dns-test-service }
spec: { clusterIP: None, selector: { app: querier }, ports: [{ name: http, port: 80, protocol: TCP }] }
---
apiVersion: v1
kind: Service
metadata: { name: test-service-2 }
spec: { clusterIP: 10.96.0.77, selector: { app: querier }, ports: [{ name: http, port: 80, protocol: TCP }] }
---
apiVersion: v1
kind: Service
metadata: { name: changing }
spec: { type: ExternalName, externalName: foo.example.com }
`;

describeAsRoot('the name service of a lab with two nodes', () => {
  const lab = useLab({ nodes: 2, hasClusterDns: true });
  let directory: string;
  const podIps = new Map<string, string>();

  const lines = (text: string): string[] => text.trim().split('\n');
  const inPod = async (...command: string[]): Promise<string[]> =>
    lines(await lab.kubectl('exec', 'dns-querier-1', '--', ...command));
  /** Several commands at once, each with a line as its answer; a failure is told as one. */
  const inPodEach = (commands: readonly string[]): Promise<string[]> =>
    inPod('sh', '-c', commands.map((command) => `echo $(${command} || echo failed)`).join('\n'));
  const onNode = async (...args: string[]): Promise<string[]> =>
    lines(await lab.onNode(1, 'dig', `@${dnsIp}`, ...args));
  const load = async (options: Partial<LoadOptions>): Promise<LoadFigures> => {
    const all = {
      host: dnsIp,
      port: 53,
      names: [{ name: `kubernetes.${zone}`, answers: 1 }],
      isPatient: true,
      ...options,
    };
    return JSON.parse(await lab.onNode(1, process.execPath, loadFile, JSON.stringify(all))) as LoadFigures; // our own
  };

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'gantry-e2e-dns-'));
    const archive = makeResolverImage(directory, process.arch === 'x64' ? 'amd64' : process.arch);
    expect((await lab.gantry('lab', 'load', archive, '--name', lab.name)).code).toBe(0);
    await lab.apply(manifest);
    await lab.kubectl('wait', '--for=condition=Ready', 'pod', '--all', '--timeout=60s');
    await lab.kubectl(
      '-n',
      'kube-system',
      'wait',
      '--for=condition=Available',
      'deployment/cluster-dns',
      '--timeout=60s',
    );
    const { items } = await lab.kubectlJson<{ items: Pod[] }>('get', 'pods');
    for (const { metadata, status } of items) podIps.set(metadata.name, status?.podIP ?? '');
    await eventually('both pods have names', 30_000, async () => {
      const found = await onNode('+short', `dns-test-service.${zone}`);
      return found.length === 2 ? found : undefined;
    });
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  it('is two pods on two nodes behind the Service that kubelets tell pods of', async () => {
    const { spec } = await lab.kubectlJson<Service>('-n', 'kube-system', 'get', 'service', 'kube-dns');
    expect(spec.clusterIP).toBe(dnsIp);
    const { status } = await lab.kubectlJson<Deployment>('-n', 'kube-system', 'get', 'deployment', 'cluster-dns');
    expect(status?.readyReplicas).toBe(2);
    const { items } = await lab.kubectlJson<{ items: Pod[] }>(
      '-n',
      'kube-system',
      'get',
      'pods',
      '-l',
      'k8s-app=kube-dns',
    );
    expect(new Set(items.map((pod) => pod.spec.nodeName)).size).toBe(2);
    expect((await inPod('cat', '/etc/resolv.conf'))[0]).toContain(`${zone} svc.cluster.local cluster.local`);
  });

  it.each(['+notcp', '+tcp'])('answers with %s, on a node and in a pod', async (transport) => {
    const name = `kubernetes.${zone}`;
    expect(await onNode('+short', transport, name)).toEqual(['10.96.0.1']);
    const first = podIps.get('dns-querier-1') ?? '';
    const second = podIps.get('dns-querier-2') ?? '';
    const reverse = first.split('.').toReversed().join('.');
    const dig = `dig +short ${transport}`;
    expect(
      await inPodEach([
        `${dig} ${name} A`,
        `${dig} ${name} AAAA`,
        `${dig} dns-version.cluster.local TXT`,
        `${dig} dns-querier-2.dns-test-service.${zone} A`,
        `${dig} _http._tcp.test-service-2.${zone} SRV`,
        `${dig} -x 10.96.0.77`,
        `dig +noall +answer ${transport} ${reverse}.in-addr.arpa PTR`,
        `${dig} +search test-service-2 A`,
        `${dig} +search test-service-2.default A`,
        `${dig} +search test-service-2.default.svc A`,
        `${dig} +search _http._tcp.test-service-2.default.svc SRV`,
        `${dig} ${second.replaceAll('.', '-')}.default.pod.cluster.local A`,
      ]),
    ).toEqual([
      '10.96.0.1',
      '',
      '"1.1.0"',
      second,
      `0 100 80 test-service-2.${zone}.`,
      `test-service-2.${zone}.`,
      `${reverse}.in-addr.arpa. 30 IN PTR dns-querier-1.dns-test-service.${zone}.`,
      '10.96.0.77',
      '10.96.0.77',
      '10.96.0.77',
      `0 100 80 test-service-2.${zone}.`,
      second,
    ]);
    const srv = await inPod('dig', '+short', transport, `_http._tcp.dns-test-service.${zone}`, 'SRV');
    expect(srv.toSorted()).toEqual([1, 2].map((i) => `0 50 80 dns-querier-${i}.dns-test-service.${zone}.`));
  });

  it('glibc and musl find names through the search path, and know what there is not', async () => {
    const first = podIps.get('dns-querier-1') ?? '';
    const second = podIps.get('dns-querier-2') ?? '';
    const names = [
      'kubernetes',
      'test-service-2.default',
      'dns-querier-2.dns-test-service',
      // not by the search path: in the end that asks for a name outside of the cluster, of which nobody knows here
      `nothing.${zone}.`,
      'nothing.svc.cluster.local.',
    ];
    const want = ['10.96.0.1', '10.96.0.77', second];
    expect(await inPod('musl-lookup', ...names)).toEqual([...want, 'EAI_NONAME', 'EAI_NONAME']);
    const getent = await inPodEach(names.map((name) => `getent ahostsv4 ${name}`));
    expect(getent.map((line) => line.split(' ')[0])).toEqual([...want, 'failed', 'failed']);
    // as Conformance looks for them: from /etc/hosts, and of the other pod
    const own = `dns-querier-1.dns-test-service.${zone}`;
    const both = await inPodEach([`getent hosts ${own}`, 'getent hosts dns-querier-1', 'getent hosts 10.96.0.77']);
    expect(both).toEqual([
      `${first} ${own} dns-querier-1`,
      `${first} ${own} dns-querier-1`,
      `10.96.0.77 test-service-2.${zone}`,
    ]);
    const all = await inPod('musl-lookup', 'dns-test-service');
    expect(all[0]?.split(' ').toSorted()).toEqual([first, second].toSorted());
  });

  it('an ExternalName is its target, then the next one, then a Service', async () => {
    const cname = (): Promise<string[]> => onNode('+short', `changing.${zone}`, 'CNAME');
    expect(await cname()).toEqual(['foo.example.com.']);
    await lab.kubectl(
      'patch',
      'service',
      'changing',
      '--type=merge',
      '-p',
      '{"spec":{"externalName":"bar.example.com"}}',
    );
    await eventually('the new target', 30_000, async () =>
      (await cname())[0] === 'bar.example.com.' ? true : undefined,
    );
    const spec = {
      type: 'ClusterIP',
      externalName: null,
      ports: [{ name: 'http', port: 80 }],
      clusterIP: '10.96.0.78',
    };
    await lab.kubectl('patch', 'service', 'changing', '--type=merge', '-p', JSON.stringify({ spec }));
    await eventually('the address', 30_000, async () =>
      (await onNode('+short', `changing.${zone}`, 'A'))[0] === '10.96.0.78' ? true : undefined,
    );
  });

  it('questions are answered while its pods are replaced, and while one is killed', async () => {
    const system = ['-n', 'kube-system'];
    const quiet = load({ perSecond: 100, seconds: 10 });
    await lab.kubectl(...system, 'rollout', 'restart', 'deployment/cluster-dns');
    await lab.kubectl(...system, 'rollout', 'status', 'deployment/cluster-dns', '--timeout=60s');
    const restarted = await quiet;
    expect(restarted).toMatchObject({ lost: 0, wrong: 0, skipped: 0 });
    expect(restarted.answered).toBe(1000);
    const { items } = await lab.kubectlJson<{ items: Pod[] }>(...system, 'get', 'pods', '-l', 'k8s-app=kube-dns');
    const victim = items.find((pod) => pod.metadata.deletionTimestamp === undefined)?.metadata.name ?? '';
    const disturbed = load({ perSecond: 100, seconds: 5 });
    await lab.kubectl(...system, 'delete', 'pod', victim, '--grace-period=0', '--force');
    const killed = await disturbed;
    expect(killed).toMatchObject({ lost: 0, wrong: 0, skipped: 0 });
    process.stderr.write(`tried again: ${restarted.late} of 1000 while replaced, ${killed.late} of 500 while killed\n`);
  });
});
