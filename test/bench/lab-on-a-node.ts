/** What the benchmark measures: etcd, our API server and our kubelet as real processes in a node with containerd. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { readCgroupMounts } from '../../src/adapters/cgroup-trees/cgroup-trees.ts';
import { isRunning } from '../../src/adapters/process-table/process-table.ts';
import { type Pki, users } from '../../src/bootstrap/pki.ts';
import { HopelessError, awaitUntil } from '../await-until.ts';
import type { PrivateContainerd } from '../e2e/support/containerd.ts';
import type { NodeProcess } from '../e2e/support/private-node.ts';
import type { Program } from './budgets.ts';
import { lastLines, startControlPlane, writeUser } from './control-plane-on-a-node.ts';

export const nodeName = 'bench-node';
/** On the loopback interface, which is all that the node has: a node's address may not be a loopback one. */
export const nodeIp = '10.98.0.1';

export interface LabOnANode {
  agent: NodeProcess;
  /** Starts the agent again, after it has ended. */
  restartAgent(): Promise<NodeProcess>;
  adminKubeconfig: string;
}

/** Starts everything and waits until the node is Ready. @param program how our own program is started */
export async function startLab(
  containerd: PrivateContainerd,
  program: readonly string[],
  which: Program,
  cgroupDriver: 'cgroupfs' | 'systemd' = 'cgroupfs',
): Promise<LabOnANode> {
  const { node } = containerd;
  const at = (...path: string[]): string => join(node.directory, ...path);
  await node.run(['ip', 'address', 'add', `${nodeIp}/32`, 'dev', 'lo']);
  const pki = await startControlPlane(node, program);
  const { files } = pki;

  const adminKubeconfig = at('admin.conf');
  const kubeletKubeconfig = at('kubelet.conf');
  await writeUser(adminKubeconfig, pki, users.admin);
  await writeUser(kubeletKubeconfig, pki, users.kubelet(nodeName));
  await writeFile(at('kubelet.yaml'), stringify(await kubeletConfig(containerd, files.caCert, cgroupDriver)));
  await mkdir(at('var', 'lib', 'kubelet'), { recursive: true });
  const proxyFlags = which === 'agent' ? [`--proxy-config=${await writeProxyConfig(node.directory, pki)}`] : [];
  const command = [
    ...program,
    which,
    `--config=${at('kubelet.yaml')}`,
    `--kubeconfig=${kubeletKubeconfig}`,
    `--hostname-override=${nodeName}`,
    `--node-ip=${nodeIp}`,
    '--root-dir=/var/lib/kubelet',
    `--container-runtime-endpoint=${containerd.endpoint}`,
    ...(process.env['GANTRY_BENCH_VERBOSITY'] === undefined ? [] : [`--v=${process.env['GANTRY_BENCH_VERBOSITY']}`]),
    ...proxyFlags,
  ];
  const startAgent = (): Promise<NodeProcess> => node.spawn(which, command);
  const agent = await startAgent();
  await awaitUntil(
    'the node to be Ready',
    async () => {
      if (!(await isRunning(agent.id)))
        throw new HopelessError(`${which} has ended: ${await lastLines(agent.logPath)}`);
      const path = 'jsonpath={.status.conditions[?(@.type=="Ready")].status}';
      const get = ['kubectl', `--kubeconfig=${adminKubeconfig}`, 'get', 'node', nodeName, '-o', path];
      return (await node.run(get)).stdout === 'True';
    },
    { timeoutMs: 60_000, periodMs: 500 },
  );
  return { agent, restartAgent: startAgent, adminKubeconfig };
}

/** Everything at its default but what differs with the driver, in the control groups of the test node. */
async function kubeletConfig(
  containerd: PrivateContainerd,
  clientCa: string,
  cgroupDriver: 'cgroupfs' | 'systemd',
): Promise<object> {
  const isPlain = cgroupDriver === 'cgroupfs'; // a node with systemd has groups of its own
  for (const { path } of isPlain ? await readCgroupMounts() : []) {
    await mkdir(join(path, containerd.cgroupParent), { recursive: true });
  }
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    authentication: { x509: { clientCAFile: clientCa } },
    cgroupDriver,
    ...(isPlain ? { cgroupRoot: containerd.cgroupParent } : {}),
    failCgroupV1: false, // the figures are for what this machine has
    failSwapOn: false,
    ...(isPlain ? {} : { staticPodPath: join(containerd.node.directory, 'manifests') }),
  };
}

async function writeProxyConfig(directory: string, pki: Pki): Promise<string> {
  const kubeconfig = join(directory, 'kube-proxy.conf');
  await writeUser(kubeconfig, pki, users.kubeProxy);
  const path = join(directory, 'kube-proxy.yaml');
  await writeFile(
    path,
    stringify({
      apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
      kind: 'KubeProxyConfiguration',
      clientConnection: { kubeconfig },
      conntrack: { maxPerCore: 0, min: 0 },
      hostnameOverride: nodeName,
      mode: 'iptables',
    }),
  );
  return path;
}
