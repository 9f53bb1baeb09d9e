import { inNode } from '../node-files.ts';
import { nodePodPrefixLength, nodePodPrefixLengthV6 } from '../parse-cluster-config.ts';
import { controlPlaneNode } from './create-context.ts';
import type { Action } from './create-context.ts';

const { pki } = inNode;

/**
 * There is one of each, and nobody would start it again: who leads ends itself when the API server is away for 10 s.
 */
const alone = '--leader-elect=false';

/** `create` gives nodes the networks that it has planned; those that register anew, later, get theirs as anywhere else. */
const nodeCidrDelay = '5s';

export const startApiServer: Action = {
  name: 'kube-apiserver',
  title: 'kube-apiserver',
  needs: ['etcd'],
  run: async (context, signal) => {
    const { plan, program } = context;
    const node = controlPlaneNode(context);
    const [first] = plan.nodes;
    const id = await node.spawn(
      'kube-apiserver',
      [
        ...program,
        'kube-apiserver',
        '--etcd-servers=https://127.0.0.1:2379',
        `--etcd-cafile=${pki}/etcd/ca.crt`,
        `--etcd-certfile=${pki}/apiserver-etcd-client.crt`,
        `--etcd-keyfile=${pki}/apiserver-etcd-client.key`,
        `--secure-port=${plan.apiServerPort}`,
        '--bind-address=0.0.0.0',
        `--advertise-address=${first?.ip ?? ''}`,
        `--tls-cert-file=${pki}/apiserver.crt`,
        `--tls-private-key-file=${pki}/apiserver.key`,
        `--client-ca-file=${pki}/ca.crt`,
        `--service-account-key-file=${pki}/sa.pub`,
        `--service-account-signing-key-file=${pki}/sa.key`,
        '--service-account-issuer=https://kubernetes.default.svc.cluster.local',
        `--service-cluster-ip-range=${plan.serviceSubnet}`,
        `--kubelet-client-certificate=${pki}/apiserver-kubelet-client.crt`,
        `--kubelet-client-key=${pki}/apiserver-kubelet-client.key`,
      ],
      signal,
    );
    await node.waitForPort('kube-apiserver', id, plan.apiServerPort, signal);
  },
};

export const startScheduler: Action = {
  name: 'kube-scheduler',
  title: 'kube-scheduler',
  needs: ['kube-apiserver'],
  run: async (context, signal) => {
    await controlPlaneNode(context).spawn(
      'kube-scheduler',
      [...context.program, 'kube-scheduler', `--kubeconfig=${inNode.schedulerKubeconfig}`, alone],
      signal,
    );
  },
};

export const startControllerManager: Action = {
  name: 'kube-controller-manager',
  title: 'kube-controller-manager',
  needs: ['kube-apiserver'],
  run: async (context, signal) => {
    await controlPlaneNode(context).spawn(
      'kube-controller-manager',
      [
        ...context.program,
        'kube-controller-manager',
        `--kubeconfig=${inNode.controllerManagerKubeconfig}`,
        alone,
        `--root-ca-file=${pki}/ca.crt`,
        `--service-account-private-key-file=${pki}/sa.key`,
        `--service-cluster-ip-range=${context.plan.serviceSubnet}`,
        '--allocate-node-cidrs=true',
        `--cluster-cidr=${context.plan.podSubnet}`,
        `--node-cidr-mask-size-ipv4=${nodePodPrefixLength}`,
        `--node-cidr-mask-size-ipv6=${nodePodPrefixLengthV6}`,
        `--node-cidr-delay=${nodeCidrDelay}`,
      ],
      signal,
    );
  },
};
