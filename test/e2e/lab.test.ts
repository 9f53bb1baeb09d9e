import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createOciArchive } from '../../src/lab/images/oci-archive.ts';
import type { Node, Pod, Service } from '../../src/objects/generated/core-v1.ts';
import { describeAsRoot } from './support/as-root.ts';
import { eventually, TestLab, useLab } from './support/lab.ts';
import { hostRules, leftoversOf, nothing } from './support/leftovers.ts';

const sample = fileURLToPath(new URL('../../docs/samples/hello.yaml', import.meta.url));

interface List<T> {
  items: T[];
}

describeAsRoot('a lab with two nodes', () => {
  const lab = useLab({ nodes: 2 });
  let directory: string;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'gantry-e2e-files-'));
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  const get = (index: number, url: string): Promise<string> =>
    lab.onNode(index, 'busybox', 'timeout', '5', 'busybox', 'wget', '-q', '-O', '-', url).then((text) => text.trim());

  /** The running pods of the sample, by node. */
  const helloPods = (): Promise<Pod[]> =>
    eventually('two pods of the sample run', 60_000, async () => {
      const { items } = await lab.kubectlJson<List<Pod>>('get', 'pods', '--selector', 'app=hello');
      const ready = items.filter((pod) =>
        pod.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True'),
      );
      return ready.length === 2 ? ready : undefined;
    });

  it('is Ready when create returns, each node with its address and pod network', async () => {
    const { items } = await lab.kubectlJson<List<Node>>('get', 'nodes');
    expect(items.map(({ metadata }) => metadata.name).toSorted()).toEqual([lab.nodeName(0), lab.nodeName(1)]);
    for (const node of items) {
      expect(node.status?.conditions?.find(({ type }) => type === 'Ready')?.status).toBe('True');
    }
    expect(new Set(items.map(({ spec }) => spec?.podCIDR))).toEqual(new Set(['10.244.0.0/24', '10.244.1.0/24']));
  });

  it('runs the sample: ClusterIP and NodePort answer from every node and from this machine, and logs are there', async () => {
    await lab.kubectl('apply', '-f', sample);
    const pods = await helloPods();
    const names = pods.map(({ metadata }) => metadata.name);
    const service = await lab.kubectlJson<Service>('get', 'service', 'hello');
    const nodePort = service.spec?.ports?.[0]?.nodePort;
    const nodes = await lab.kubectlJson<List<Node>>('get', 'nodes');
    const nodeIps = nodes.items.map(
      ({ status }) => status?.addresses?.find(({ type }) => type === 'InternalIP')?.address,
    );
    for (const index of [0, 1]) {
      const answer = await eventually('the ClusterIP answers', 30_000, () =>
        get(index, `http://${service.spec?.clusterIP}/`),
      );
      expect(names).toContain(answer);
    }
    for (const ip of nodeIps) {
      const answer = await eventually('the NodePort answers', 30_000, async () => {
        const response = await fetch(`http://${ip}:${nodePort}/`, { signal: AbortSignal.timeout(2000) });
        return (await response.text()).trim();
      });
      expect(names).toContain(answer);
    }
    await eventually('a pod has logged a request', 30_000, async () => {
      const text = await lab.kubectl('logs', '--selector', 'app=hello', '--tail=-1');
      return text.includes('response:200') ? text : undefined;
    });
  });

  it('a pod reaches a pod on the other node with its own address', async () => {
    await lab.apply(pinnedPod('source', lab.nodeName(0)) + pinnedPod('target', lab.nodeName(1)));
    const [source, target] = await Promise.all(['source', 'target'].map((name) => runningPod(name)));
    expect([source?.spec?.nodeName, target?.spec?.nodeName]).toEqual([lab.nodeName(0), lab.nodeName(1)]);
    const url = `http://${target?.status?.podIP}:8080/cgi-bin/env`;
    const answer = await lab.kubectl('exec', 'source', '--', 'timeout', '5', 'wget', '-q', '-O', '-', url);
    expect(answer).toContain('HOSTNAME=target');
    expect(answer).toContain(`REMOTE_ADDR=[::ffff:${source?.status?.podIP}]`);
    const service = await lab.kubectlJson<Service>('get', 'service', 'hello');
    const clusterUrl = `http://${service.spec?.clusterIP}/`;
    const viaService = await lab.kubectl('exec', 'source', '--', 'timeout', '5', 'wget', '-q', '-O', '-', clusterUrl);
    expect(viaService).toMatch(/^hello-/);
  });

  it('loads an image archive on every node', async () => {
    const archive = join(directory, 'own.tar');
    const content = readFileSync('/bin/busybox');
    const image = {
      name: 'localhost/own:1',
      layers: [[{ kind: 'file' as const, path: 'busybox', mode: 0o755, content }]],
      entrypoint: ['/busybox'],
    };
    writeFileSync(archive, createOciArchive([image], process.arch === 'x64' ? 'amd64' : process.arch));
    const { code, stdout } = await lab.gantry('lab', 'load', '--name', lab.name, archive);
    expect([code, stdout]).toEqual([0, `Loaded ${archive} on 2 of 2 nodes\n`]);
    for (const index of [0, 1]) {
      expect(await lab.onNode(index, 'ctr', '--namespace', 'k8s.io', 'images', 'list', '--quiet')).toContain(
        'localhost/own:1',
      );
    }
  });

  it('is listed, and gives its kubeconfig away', async () => {
    const { stdout } = await lab.gantry('lab', 'list');
    expect(stdout.split('\n')[1]).toMatch(new RegExp(`^${lab.name}\\s+running\\s+2\\s+https://10\\.77\\.`));
    const path = await lab.gantry('lab', 'kubeconfig', '--path', '--name', lab.name);
    expect(path.stdout.trim()).toBe(lab.kubeconfig);
    const printed = await lab.gantry('lab', 'kubeconfig', '--name', lab.name);
    expect(printed.stdout).toBe(readFileSync(lab.kubeconfig, 'utf8'));
  });

  it('exports logs of components and pods, and no keys', async () => {
    await lab.gantry('lab', 'export-logs', '--name', lab.name, directory);
    expect(existsSync(join(directory, 'components', `${lab.nodeName(1)}.agent.log`))).toBe(true);
    expect(readFileSync(join(directory, lab.nodeName(0), 'iptables.txt'), 'utf8')).toContain('KUBE-SERVICES');
    expect(readFileSync(join(directory, lab.nodeName(0), 'nftables.txt'), 'utf8')).toContain('gantry-pod-network');
    expect(textFiles(directory).filter((path) => readFileSync(path, 'utf8').includes('PRIVATE KEY'))).toEqual([]);
  });

  it('a node whose agent was killed goes on when the agent is started again, and its pods were not touched', async () => {
    const before = await lab.kubectlJson<List<Pod>>('get', 'pods', '--selector', 'app=hello');
    const started = (pods: List<Pod>): unknown =>
      pods.items.map(({ metadata, status }) => [
        metadata.name,
        status?.podIP,
        status?.containerStatuses?.map(({ containerID, restartCount, ready, state }) => [
          containerID,
          restartCount,
          ready,
          state?.running?.startedAt,
        ]),
      ]);
    await lab.stop(1, 'agent', 'SIGKILL');
    expect((await lab.gantry('lab', 'list')).stdout).toContain('degraded');
    await lab.start(1, 'agent');
    await eventually('the agent answers', 30_000, () =>
      lab.onNode(1, 'busybox', 'wget', '-q', '-O', '-', 'http://127.0.0.1:10248/healthz'),
    );
    expect(started(await lab.kubectlJson<List<Pod>>('get', 'pods', '--selector', 'app=hello'))).toEqual(
      started(before),
    );
    expect((await lab.gantry('lab', 'list')).stdout).toContain('running');
    const again = await lab.gantry('lab', 'start', 'agent', '--name', lab.name, '--node', lab.nodeName(1));
    expect([again.code, again.stderr]).toEqual([1, expect.stringContaining('it runs already')]);
  });

  it('a second one of the same name is refused with the way out', async () => {
    const { code, stderr } = await lab.gantry('lab', 'create', '--name', lab.name);
    expect(code).toBe(1);
    expect(stderr).toContain(
      `there is one already; choose another with --name, or run: gantry lab delete --name ${lab.name}`,
    );
  });

  function runningPod(name: string): Promise<Pod> {
    return eventually(`pod ${name} runs`, 60_000, async () => {
      const pod = await lab.kubectlJson<Pod>('get', 'pod', name);
      return pod.status?.phase === 'Running' ? pod : undefined;
    });
  }
});

describeAsRoot('the life of a lab', () => {
  it('is made in under 30 seconds, and leaves nothing behind with pods running', async () => {
    const lab = new TestLab();
    const rulesBefore = await hostRules();
    try {
      const output = await lab.create();
      expect(output).toContain('Timeline:');
      const totalSeconds = Number(/total\s+([\d.]+)s/.exec(output)?.[1]);
      expect(totalSeconds).toBeLessThan(30);
      await lab.kubectl('apply', '-f', sample);
      await eventually('a pod runs', 60_000, async () => {
        const { items } = await lab.kubectlJson<List<Pod>>('get', 'pods');
        return items.find(({ status }) => status?.phase === 'Running');
      });
    } finally {
      await lab.delete();
    }
    expect(await leftoversOf(lab)).toEqual(nothing);
    expect(await hostRules()).toBe(rulesBefore);
  });
});

/** All but image archives. */
function textFiles(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.name.endsWith('.tar'))
    .map((entry) => join(entry.parentPath, entry.name));
}

function pinnedPod(name: string, node: string): string {
  return `---
apiVersion: v1
kind: Pod
metadata: {name: ${name}}
spec:
  nodeName: ${node}
  containers:
  - {name: web, image: "gantry.local/web:1", imagePullPolicy: IfNotPresent}
`;
}
