/** The files of a node that do not depend on anything being up: pure text from the plan. */
import { createHash } from 'node:crypto';
import { stringify } from 'yaml';
import type { CgroupMount } from '../adapters/cgroup-trees/cgroup-trees.ts';
import type { NodePaths } from './cluster-state.ts';
import type { ClusterPlan, NodePlan } from './plan-cluster.ts';

/** Where things are inside every node: the standard places. */
export const inNode = {
  pki: '/etc/kubernetes/pki',
  kubeletKubeconfig: '/etc/kubernetes/kubelet.conf',
  kubeProxyKubeconfig: '/etc/kubernetes/kube-proxy.conf',
  networkAgentKubeconfig: '/etc/kubernetes/network-agent.conf',
  controllerManagerKubeconfig: '/etc/kubernetes/controller-manager.conf',
  schedulerKubeconfig: '/etc/kubernetes/scheduler.conf',
  manifests: '/etc/kubernetes/manifests',
  kubeletConfig: '/var/lib/kubelet/config.yaml',
  kubeletCert: '/var/lib/kubelet/pki/kubelet.crt',
  kubeletKey: '/var/lib/kubelet/pki/kubelet.key',
  kubeProxyConfig: '/var/lib/kube-proxy/config.conf',
  containerdConfig: '/etc/containerd/config.toml',
  containerdSocket: '/run/containerd/containerd.sock',
  cniConfDir: '/etc/cni/net.d',
  etcdData: '/var/lib/etcd',
} as const;

/** What a node's `/var` has from the start. */
export const varDirectories = [
  'lib/kubelet/pki',
  'lib/kube-proxy',
  'lib/cni',
  'lib/containerd',
  'log/pods',
  'log/containers',
  'tmp',
];

/**
 * The node's mounts as an fstab: its own `/run` and `/var`, its own changes to `/etc`, a `/sys` that shows its
 * network, and the machine's control groups. Sources have names of their own, since `mount --all` skips what it
 * finds mounted already.
 */
export function nodeFstab(node: NodePaths, cgroups: readonly CgroupMount[]): string {
  const isHybrid = !cgroups.some(({ path }) => path === '/sys/fs/cgroup');
  const lines = [
    // before /var and /run are the node's own: the cluster's files lie in one of them
    `gantry-etc /etc overlay lowerdir=/etc,upperdir=${fstabWord(node.etcUpper)},workdir=${fstabWord(node.etcWork)}`,
    'gantry-run /run tmpfs mode=755,nosuid,nodev,shared',
    `${fstabWord(node.var)} /var none bind,shared`,
    'gantry-sys /sys sysfs nosuid,nodev,noexec',
    ...(isHybrid ? ['gantry-cgroup /sys/fs/cgroup tmpfs mode=755,nosuid,nodev,noexec'] : []),
    ...cgroups.map(
      ({ type, path, options }) =>
        `gantry-cgroup ${fstabWord(path)} ${type} ${[...options, 'X-mount.mkdir'].join(',')}`,
    ),
  ];
  return lines.map((line) => `${line} 0 0\n`).join('');
}

export interface ContainerdOptions {
  sandboxImage: string;
  cniBinDir: string;
  /** Without the right to lower it, containers could not start otherwise. */
  restrictOomScoreAdj: boolean;
}

/** containerd's configuration, version 2, which 1.6, 1.7 and 2.x read. */
export function containerdConfig({ sandboxImage, cniBinDir, restrictOomScoreAdj }: ContainerdOptions): string {
  const cri = 'plugins."io.containerd.grpc.v1.cri"';
  const disabled = ['aufs', 'btrfs', 'devmapper', 'zfs', 'native', 'blockfile'].map(
    (name) => `io.containerd.snapshotter.v1.${name}`,
  );
  return `version = 2
disabled_plugins = ${JSON.stringify([...disabled, 'io.containerd.internal.v1.opt', 'io.containerd.internal.v1.tracing', 'io.containerd.tracing.processor.v1.otlp'])}

[${cri}]
  sandbox_image = ${JSON.stringify(sandboxImage)}
  restrict_oom_score_adj = ${restrictOomScoreAdj}
  stream_server_address = "127.0.0.1"

[${cri}.cni]
  bin_dir = ${JSON.stringify(cniBinDir)}
  conf_dir = "${inNode.cniConfDir}"

[${cri}.containerd]
  snapshotter = "overlayfs"
  discard_unpacked_layers = false

[${cri}.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[${cri}.containerd.runtimes.runc.options]
  SystemdCgroup = false
`;
}

/** The zone of the cluster's names. */
export const clusterDomain = 'cluster.local';

/** KubeletConfiguration: only what differs from upstream's defaults. */
export function kubeletConfig(plan: ClusterPlan, node: NodePlan): string {
  return stringify({
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    authentication: { x509: { clientCAFile: `${inNode.pki}/ca.crt` } },
    cgroupDriver: 'cgroupfs',
    cgroupRoot: `${plan.cgroup}/${node.name}`,
    clusterDNS: [plan.dnsIp],
    clusterDomain,
    containerRuntimeEndpoint: `unix://${inNode.containerdSocket}`,
    failCgroupV1: false, // the lab takes what the machine has
    failSwapOn: false,
    imageGCHighThresholdPercent: 100, // the lab's images come from no registry: what is removed is lost
    staticPodPath: inNode.manifests,
    tlsCertFile: inNode.kubeletCert,
    tlsPrivateKeyFile: inNode.kubeletKey,
  });
}

/** KubeProxyConfiguration. Connection tracking has one size for the whole machine, which is not ours to set. */
export function kubeProxyConfig(plan: ClusterPlan, node: NodePlan): string {
  return stringify({
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    kind: 'KubeProxyConfiguration',
    clientConnection: { kubeconfig: inNode.kubeProxyKubeconfig },
    clusterCIDR: plan.podSubnet,
    conntrack: { maxPerCore: 0, min: 0 },
    hostnameOverride: node.name,
    mode: plan.kubeProxyMode,
  });
}

/** The machine's hosts file, with the cluster's nodes. */
export function hostsFile(machineHosts: string, plan: ClusterPlan): string {
  const nodes = plan.nodes.map(({ ip, name }) => `${ip}\t${name}`);
  return `${machineHosts.replace(/\n?$/, '\n')}\n# nodes of cluster ${plan.name}\n${nodes.join('\n')}\n`;
}

/** Every node is a machine of its own. */
export function machineId(plan: ClusterPlan, node: NodePlan): string {
  return `${createHash('sha256').update(`${plan.id} ${node.name}`).digest('hex').slice(0, 32)}\n`;
}

/** The machine's name service is not reachable from a node: names come from the hosts file. */
export function resolvConf({ dnsSearch }: ClusterPlan): string {
  const search = dnsSearch.length === 0 ? '' : `search ${dnsSearch.join(' ')}\n`;
  return `# this lab has no name server outside of the cluster\n${search}`;
}

/** Blanks separate fields in an fstab. */
function fstabWord(path: string): string {
  return path.replaceAll('\\', '\\134').replaceAll(' ', '\\040').replaceAll('\t', '\\011');
}
