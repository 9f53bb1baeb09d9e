import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { rootInside } from '../../adapters/namespaces/namespaces.ts';
import { inNode, kubeProxyConfig, kubeletConfig } from '../node-files.ts';
import type { NodePlan } from '../plan-cluster.ts';
import { onEveryNode } from './create-context.ts';
import type { Action } from './create-context.ts';

/** Kubelet and kube-proxy of every node. */
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
      await node.spawn('agent', [...context.program, ...agentArguments(plan)], signal);
    }),
};

export function agentArguments(node: NodePlan): string[] {
  const labels = Object.entries(node.labels).map(([key, value]) => `${key}=${value}`);
  return [
    'agent',
    `--config=${inNode.kubeletConfig}`,
    `--kubeconfig=${inNode.kubeletKubeconfig}`,
    `--hostname-override=${node.name}`,
    `--node-ip=${node.ip}`,
    '--root-dir=/var/lib/kubelet',
    `--proxy-config=${inNode.kubeProxyConfig}`,
    ...(labels.length === 0 ? [] : [`--node-labels=${labels.join(',')}`]),
  ];
}
