import { mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readCgroupMounts } from '../../adapters/cgroup-trees/cgroup-trees.ts';
import { runIp, setSysctls } from '../../adapters/host-network/host-network.ts';
import { enter, rootInside } from '../../adapters/namespaces/namespaces.ts';
import { LabNode } from '../lab-node.ts';
import { hostsFile, inNode, machineId, nodeFstab, resolvConf, varDirectories } from '../node-files.ts';
import type { ClusterPlan, NodePlan } from '../plan-cluster.ts';
import { bridgeName } from './create-network.ts';
import { made, onEveryNode } from './create-context.ts';
import type { Action, CreateContext } from './create-context.ts';

/** Namespaces, mounts, addresses, routes and the files that every machine has. */
export const createNodes: Action = {
  name: 'nodes',
  title: 'nodes',
  needs: ['network'],
  run: async (context, signal) => {
    const { plan, paths, clock } = context;
    const started = await Promise.all(plan.nodes.map(({ name }) => LabNode.start(name, paths, clock, signal)));
    context.made.nodes.push(...started); // in the plan's order
    await onEveryNode(context, async (node, nodePlan) => {
      await Promise.all([mountFileSystems(context, node, signal), connect(context, node, nodePlan, signal)]);
      await writeMachineFiles(plan, node, nodePlan);
    });
  },
};

async function mountFileSystems({ paths }: CreateContext, node: LabNode, signal: AbortSignal): Promise<void> {
  const dirs = paths.node(node.name);
  await Promise.all([
    ...varDirectories.map((dir) => mkdir(join(dirs.var, dir), { recursive: true })),
    mkdir(dirs.etcUpper, { recursive: true }),
    mkdir(dirs.etcWork, { recursive: true }),
  ]);
  await symlink('../run', join(dirs.var, 'run'));
  const fstab = join(dirs.dir, 'fstab');
  await writeFile(fstab, nodeFstab(dirs, await readCgroupMounts()));
  await node.run(['mount', '--no-mtab', '--all', '--fstab', fstab], signal);
}

async function connect(context: CreateContext, node: LabNode, nodePlan: NodePlan, signal: AbortSignal): Promise<void> {
  const { plan } = context;
  const bridge = made(context, 'bridge');
  const inside = enter(node.init.pid);
  const index = plan.nodes.indexOf(nodePlan);
  const prefixLength = plan.subnet.split('/')[1] ?? '24';
  await runIp(
    [`link add eth0 netns ${node.init.pid} type veth peer name node${index} netns ${bridge.init.pid}`],
    [],
    signal,
  );
  await Promise.all([
    runIp([`link set node${index} master ${bridgeName} up`], enter(bridge.init.pid), signal),
    runIp(
      [
        'link set lo up',
        `address add ${nodePlan.ip}/${prefixLength} dev eth0`,
        'link set eth0 up',
        `route add default via ${plan.hostIp}`,
        ...(plan.ipv6 === undefined
          ? []
          : [`address add ${nodePlan.ipv6 ?? ''}/64 dev eth0 nodad`, `route add default via ${plan.ipv6.hostIp}`]),
      ],
      inside,
      signal,
    ),
    setSysctls(
      {
        'net.ipv4.ip_forward': '1',
        'net.bridge.bridge-nf-call-iptables': '1',
        'net.ipv4.conf.all.rp_filter': '0',
        'net.ipv4.conf.default.rp_filter': '0',
      },
      inside,
      signal,
    ),
    node.run(['hostname', nodePlan.name], signal),
  ]);
}

async function writeMachineFiles(plan: ClusterPlan, node: LabNode, nodePlan: NodePlan): Promise<void> {
  const root = rootInside(node.init.pid);
  await rm(join(root, 'etc/resolv.conf'), { force: true });
  await Promise.all([
    writeFile(join(root, 'etc/resolv.conf'), resolvConf(plan)),
    writeFile(join(root, 'etc/hostname'), `${node.name}\n`),
    writeFile(join(root, 'etc/machine-id'), machineId(plan, nodePlan)),
    readFile(join(root, 'etc/hosts'), 'utf8').then((hosts) =>
      writeFile(join(root, 'etc/hosts'), hostsFile(hosts, plan)),
    ),
    emptyDirectory(join(root, inNode.cniConfDir)),
    emptyDirectory(join(root, inNode.manifests)),
    emptyDirectory(join(root, inNode.pki)),
    emptyDirectory(join(root, '/etc/containerd')),
  ]);
}

/** What this machine has there for itself is none of the node's. */
async function emptyDirectory(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true });
  await mkdir(path, { recursive: true });
}
