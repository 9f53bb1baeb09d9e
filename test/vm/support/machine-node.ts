/**
 * A node of its own machine: our kubelet as its systemd unit, with containerd, in a virtual machine; and its API server
 * in the test's process, which does not notice when the machine loses its power.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { MemoryStorage } from '../../../src/apiserver/storage/memory-storage.ts';
import { systemClock } from '../../../src/base/clock.ts';
import { isNotFound } from '../../../src/base/errors.ts';
import { writeKubeconfig } from '../../../src/bootstrap/kubeconfig-file.ts';
import { users } from '../../../src/bootstrap/pki.ts';
import { HttpApiClient } from '../../../src/client/http-api-client.ts';
import { loadKubeconfig } from '../../../src/client/kubeconfig.ts';
import { namespaces, nodes, pods, serviceAccounts } from '../../../src/client/resource-types.ts';
import { labImages } from '../../../src/lab/images/lab-images.ts';
import type { Node, Pod, ResourceRequirements } from '../../../src/objects/generated/core-v1.ts';
import { awaitUntil } from '../../await-until.ts';
import { podOf } from '../../e2e/support/pods.ts';
import type { ProxyMode } from '../../../src/proxy/proxy-config.ts';
import { type TestServer, startTestServer } from '../../integration/apiserver-fixture.ts';
import { hostAddress, machineName } from './machine-files.ts';
import { VirtualMachine } from './virtual-machine.ts';

export type CgroupDriver = 'systemd' | 'cgroupfs';

const never = new AbortController().signal;
/** An emulated machine takes its time. */
export const patienceMs = 300_000;
const namespace = 'default';

export class MachineNode {
  readonly machine: VirtualMachine;
  readonly server: TestServer;
  readonly admin: HttpApiClient;

  private constructor(machine: VirtualMachine, server: TestServer, admin: HttpApiClient) {
    this.machine = machine;
    this.server = server;
    this.admin = admin;
  }

  /** A machine that has booted, with containerd and its images, and no kubelet yet. */
  static async make(): Promise<MachineNode> {
    const machine = await VirtualMachine.make();
    const server = await startTestServer(new MemoryStorage(), { otherIps: [hostAddress] });
    const admin = new HttpApiClient({
      access: await loadKubeconfig(await kubeconfigOf(server, 'admin.conf', server.url, users.admin)),
      clock: systemClock,
      userAgentName: 'test',
    });
    await admin.create(namespaces, { metadata: { name: namespace } }, never).catch(() => {});
    await admin.create(serviceAccounts, { metadata: { name: 'default', namespace } }, never);
    return new MachineNode(machine, server, admin);
  }

  /** Writes the files that both daemons read, for this driver. */
  async configure(driver: CgroupDriver, more: Record<string, unknown> = {}): Promise<void> {
    const { server, machine } = this;
    const kubeconfig = await kubeconfigOf(server, 'kubelet.conf', insideUrl(server), users.kubelet(machineName));
    await machine.write('/etc/kubernetes/kubelet.conf', await readFile(kubeconfig, 'utf8'));
    await machine.write('/etc/kubernetes/ca.crt', server.pki.caPem);
    await machine.write('/var/lib/kubelet/config.yaml', stringify(kubeletConfig(driver, more)));
    await machine.write('/etc/containerd/config.toml', containerdConfig(driver));
    await machine.run('mkdir -p /etc/kubernetes/manifests');
  }

  async configureProxy(mode: ProxyMode = 'iptables', more: Record<string, unknown> = {}): Promise<void> {
    const path = '/var/lib/kube-proxy/kubeconfig.conf';
    const kubeconfig = await kubeconfigOf(this.server, 'kube-proxy.conf', insideUrl(this.server), users.kubeProxy);
    await this.machine.write(path, await readFile(kubeconfig, 'utf8'));
    const config = {
      apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
      kind: 'KubeProxyConfiguration',
      clientConnection: { kubeconfig: path },
      mode,
      ...more,
    };
    await this.machine.write('/var/lib/kube-proxy/config.conf', stringify(config));
  }

  async awaitReady(): Promise<Node> {
    return awaitUntil(
      'the node to be Ready',
      async () => {
        const node = await this.admin.get(nodes, { name: machineName }, never);
        return node.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') && node;
      },
      { timeoutMs: patienceMs, periodMs: 500 },
    );
  }

  create(pod: Pod): Promise<Pod> {
    return this.admin.create(pods, pod, never);
  }

  async pod(name: string): Promise<Pod | undefined> {
    try {
      return await this.admin.get(pods, { namespace, name }, never);
    } catch (err) {
      if (isNotFound(err)) return undefined;
      throw err;
    }
  }

  async awaitPod(name: string, what: string, fits: (pod: Pod) => boolean): Promise<Pod> {
    let last: Pod | undefined;
    try {
      return await awaitUntil(
        `${what} of pod ${name}`,
        async () => {
          last = await this.pod(name);
          return last !== undefined && fits(last) && last;
        },
        { timeoutMs: patienceMs, periodMs: 250 },
      );
    } catch (err) {
      throw new Error(`pod ${name}: no ${what}; its status: ${JSON.stringify(last?.status)}`, { cause: err });
    }
  }

  async resize(name: string, resources: ResourceRequirements): Promise<void> {
    const path = `/api/v1/namespaces/${namespace}/pods/${name}/resize`;
    const contentType = 'application/strategic-merge-patch+json';
    const answer = await this.server.call('PATCH', path, {
      body: { spec: { containers: [{ name: 'main', resources }] } },
      contentType,
    });
    if (answer.code !== 200) throw new Error(`resize of pod ${name}: ${answer.code} ${answer.text}`);
  }

  async delete(name: string): Promise<void> {
    await this.admin.delete(pods, { namespace, name }, {}, never);
    await this.awaitGone(name);
  }

  async awaitGone(name: string): Promise<void> {
    await awaitUntil(`the end of pod ${name}`, async () => (await this.pod(name)) === undefined, {
      timeoutMs: patienceMs,
      periodMs: 250,
    });
  }

  async close(): Promise<void> {
    await this.machine.close();
    this.admin.close();
    await this.server.stop();
  }
}

/** A pod for this node that nobody else needs to place. */
export function machinePod(...[name, content, spec]: Parameters<typeof podOf>): Pod {
  const pod = podOf(name, content, { nodeName: machineName, automountServiceAccountToken: false, ...spec });
  return { ...pod, metadata: { ...pod.metadata, namespace } };
}

/** QEMU leads there to the host's loopback. */
const insideUrl = ({ url }: TestServer): string => url.replace('127.0.0.1', hostAddress);

async function kubeconfigOf(
  server: TestServer,
  name: string,
  url: string,
  user: { name: string; groups?: readonly string[] },
): Promise<string> {
  const path = join(server.directory, name);
  await writeKubeconfig(path, {
    clusterName: 'machine',
    server: url,
    caPem: server.pki.caPem,
    userName: user.name,
    credentials: await server.pki.issueClient(user),
  });
  return path;
}

const kubeletConfig = (cgroupDriver: CgroupDriver, more: Record<string, unknown>): object => ({
  apiVersion: 'kubelet.config.k8s.io/v1beta1',
  kind: 'KubeletConfiguration',
  authentication: { x509: { clientCAFile: '/etc/kubernetes/ca.crt' } },
  cgroupDriver,
  podPidsLimit: 100,
  staticPodPath: '/etc/kubernetes/manifests',
  ...more,
});

/** As Debian has it, with the driver and a pause image that is there. */
const containerdConfig = (driver: CgroupDriver): string => `version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${labImages.pause}"
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/usr/lib/cni"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  SystemdCgroup = ${driver === 'systemd'}
`;
