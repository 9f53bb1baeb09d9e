import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { rootInside } from '../../adapters/namespaces/namespaces.ts';
import { inNode, kubeProxyConfig, kubeletConfig } from '../node-files.ts';
import type { ClusterPlan, NodePlan } from '../plan-cluster.ts';
import { onEveryNode } from './create-context.ts';
import type { Action } from './create-context.ts';

/** Kubelet and kube-proxy of every node; without a proxy the kubelet alone, under the same name. */
export const startAgents: Action = {
  name: 'agents',
  title: 'agents',
  needs: ['containerd', 'node certificates', 'kube-apiserver'],
  run: (context, signal) =>
    onEveryNode(context, async (node, plan) => {
      const root = rootInside(node.init.pid);
      await Promise.all([
        writeFile(join(root, inNode.kubeletConfig), kubeletConfig(context.plan, plan)),
        writeFile(join(root, inNode.kubeProxyConfig), kubeProxyConfig(context.plan, plan)),
      ]);
      await node.spawn('agent', [...context.program, ...agentArguments(context.plan, plan)], signal);
    }),
};

/** What gives pods their network, where no add-on does. */
export const startNetworkAgents: Action = {
  name: 'network agents',
  title: 'network agents',
  needs: ['node certificates', 'kube-apiserver'],
  run: async (context, signal) => {
    if (context.plan.disableDefaultCni) return;
    await onEveryNode(context, async (node) => {
      const flags = [`--kubeconfig=${inNode.networkAgentKubeconfig}`, `--hostname-override=${node.name}`];
      await node.spawn('network-agent', [...context.program, 'network-agent', ...flags], signal);
    });
  },
};

export function agentArguments({ kubeProxyMode }: ClusterPlan, node: NodePlan): string[] {
  const labels = Object.entries(node.labels).map(([key, value]) => `${key}=${value}`);
  const isAlone = kubeProxyMode === 'none';
  return [
    isAlone ? 'kubelet' : 'agent',
    `--config=${inNode.kubeletConfig}`,
    `--kubeconfig=${inNode.kubeletKubeconfig}`,
    `--hostname-override=${node.name}`,
    `--node-ip=${node.ipv6 === undefined ? node.ip : `${node.ip},${node.ipv6}`}`,
    '--root-dir=/var/lib/kubelet',
    ...(isAlone ? [] : [`--proxy-config=${inNode.kubeProxyConfig}`]),
    ...(labels.length === 0 ? [] : [`--node-labels=${labels.join(',')}`]),
  ];
}
