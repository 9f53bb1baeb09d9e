/** etcd and our API server as real processes in a test node, on its loopback interface. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isListening, isRunning } from '../../src/adapters/process-table/process-table.ts';
import { systemClock } from '../../src/base/clock.ts';
import { writeKubeconfig } from '../../src/bootstrap/kubeconfig-file.ts';
import { type Pki, createPki } from '../../src/bootstrap/pki.ts';
import { HopelessError, awaitUntil } from '../await-until.ts';
import type { NodeProcess, PrivateNode } from '../e2e/support/private-node.ts';

const loopback = '127.0.0.1';
const apiServerPort = 6443;
const etcdPort = 2379;
const serviceSubnet = '10.96.0.0/16';
export const etcdUrl = `https://${loopback}:${etcdPort}`;

/** Starts both and waits until they listen. @param program how our own program is started */
export async function startControlPlane(node: PrivateNode, program: readonly string[]): Promise<Pki> {
  const at = (...path: string[]): string => join(node.directory, ...path);
  const pki = await createPki({
    dir: at('pki'),
    apiServerNames: ['localhost'],
    apiServerIps: ['10.96.0.1', loopback],
    etcdNames: ['localhost', loopback],
    nowMs: systemClock.nowMs(),
  });
  const { files } = pki;
  const etcd = await node.spawn('etcd', [
    'etcd',
    `--data-dir=${at('etcd')}`,
    `--listen-client-urls=https://${loopback}:${etcdPort}`,
    `--advertise-client-urls=https://${loopback}:${etcdPort}`,
    `--listen-peer-urls=http://${loopback}:2380`,
    '--client-cert-auth=true',
    `--trusted-ca-file=${files.etcdCaCert}`,
    `--cert-file=${files.etcdServerCert}`,
    `--key-file=${files.etcdServerKey}`,
  ]);
  await awaitPort('etcd', etcd, etcdPort);
  const apiServer = await node.spawn('kube-apiserver', [
    ...program,
    'kube-apiserver',
    `--etcd-servers=https://${loopback}:${etcdPort}`,
    `--etcd-cafile=${files.etcdCaCert}`,
    `--etcd-certfile=${files.apiserverEtcdClientCert}`,
    `--etcd-keyfile=${files.apiserverEtcdClientKey}`,
    `--secure-port=${apiServerPort}`,
    `--bind-address=${loopback}`,
    `--advertise-address=${loopback}`,
    `--tls-cert-file=${files.apiserverCert}`,
    `--tls-private-key-file=${files.apiserverKey}`,
    `--client-ca-file=${files.caCert}`,
    `--service-account-key-file=${files.serviceAccountPublicKey}`,
    `--service-account-signing-key-file=${files.serviceAccountKey}`,
    '--service-account-issuer=https://kubernetes.default.svc.cluster.local',
    `--service-cluster-ip-range=${serviceSubnet}`,
    `--kubelet-client-certificate=${files.apiserverKubeletClientCert}`,
    `--kubelet-client-key=${files.apiserverKubeletClientKey}`,
  ]);
  await awaitPort('kube-apiserver', apiServer, apiServerPort);
  return pki;
}

async function awaitPort(name: string, { id, logPath }: NodeProcess, port: number): Promise<void> {
  await awaitUntil(
    `${name} to listen on ${port}`,
    async () => {
      if (!(await isRunning(id))) throw new HopelessError(`${name} has ended: ${await lastLines(logPath)}`);
      return isListening(id.pid, port);
    },
    { timeoutMs: 30_000 },
  );
}

export async function lastLines(path: string): Promise<string> {
  return (await readFile(path, 'utf8')).trimEnd().split('\n').slice(-10).join('\n');
}

export async function writeUser(
  path: string,
  pki: Pki,
  user: { name: string; groups?: readonly string[] },
): Promise<void> {
  await writeKubeconfig(path, {
    clusterName: 'gantry-bench',
    server: `https://${loopback}:${apiServerPort}`,
    caPem: pki.caPem,
    userName: user.name,
    credentials: await pki.issueClient(user),
  });
}
