import { inNode } from '../node-files.ts';
import { controlPlaneNode } from './create-context.ts';
import type { Action } from './create-context.ts';

const clientPort = 2379;

/** The store, on the first node and for it alone; clients show a certificate. */
export const startEtcd: Action = {
  name: 'etcd',
  title: 'etcd',
  needs: ['node certificates'],
  run: async (context, signal) => {
    const node = controlPlaneNode(context);
    const pki = `${inNode.pki}/etcd`;
    const id = await node.spawn(
      'etcd',
      [
        'etcd',
        `--name=${node.name}`,
        `--data-dir=${inNode.etcdData}`,
        `--listen-client-urls=https://127.0.0.1:${clientPort}`,
        `--advertise-client-urls=https://127.0.0.1:${clientPort}`,
        '--listen-peer-urls=http://127.0.0.1:2380',
        '--initial-advertise-peer-urls=http://127.0.0.1:2380',
        `--initial-cluster=${node.name}=http://127.0.0.1:2380`,
        '--listen-metrics-urls=http://127.0.0.1:2381',
        '--client-cert-auth=true',
        `--trusted-ca-file=${pki}/ca.crt`,
        `--cert-file=${pki}/server.crt`,
        `--key-file=${pki}/server.key`,
        '--snapshot-count=10000',
      ],
      signal,
    );
    await node.waitForPort('etcd', id, clientPort, signal);
  },
};
