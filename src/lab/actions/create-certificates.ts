import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { rootInside } from '../../adapters/namespaces/namespaces.ts';
import type { KeyAndCertificate } from '../../bootstrap/certificates.ts';
import { writeKubeconfig } from '../../bootstrap/kubeconfig-file.ts';
import { createPki, pkiFiles, users, writeWhole } from '../../bootstrap/pki.ts';
import { inNode } from '../node-files.ts';
import { controlPlaneNode, made, onEveryNode } from './create-context.ts';
import type { Action, CreateContext } from './create-context.ts';

/** All keys and certificates, and the administrator's kubeconfig. */
export const createCertificates: Action = {
  name: 'certificates',
  title: 'certificates',
  needs: [],
  run: async (context) => {
    const { plan, paths, clock } = context;
    const [first] = plan.nodes;
    const names = first === undefined ? [] : [first.name, first.ip];
    context.made.pki = await createPki({
      dir: paths.pki,
      apiServerNames: [...names.slice(0, 1), 'localhost'],
      apiServerIps: [plan.serviceIp, ...names.slice(1), '127.0.0.1'],
      etcdNames: [...names, 'localhost', '127.0.0.1'],
      nowMs: clock.nowMs(),
    });
    await writeUserKubeconfig(context, paths.kubeconfig, users.admin, `gantry-${plan.name}`);
  },
};

/** Every node gets what it needs and no more: the authorities' keys stay on the first. */
export const distributeCertificates: Action = {
  name: 'node certificates',
  title: 'node certificates',
  needs: ['certificates', 'nodes'],
  run: async (context) => {
    const pki = made(context, 'pki');
    await Promise.all([
      copyControlPlaneFiles(context),
      onEveryNode(context, async (node, { ip }) => {
        const at = (path: string): string => join(rootInside(node.init.pid), path);
        const serving = await pki.issueServing({
          commonName: users.kubelet(node.name).name,
          organizations: ['system:nodes'],
          names: [node.name, ip],
        });
        await Promise.all([
          copyFile(pki.files.caCert, at(`${inNode.pki}/ca.crt`)),
          writePair(at(inNode.kubeletCert), at(inNode.kubeletKey), serving),
          writeUserKubeconfig(context, at(inNode.kubeletKubeconfig), users.kubelet(node.name)),
          writeUserKubeconfig(context, at(inNode.kubeProxyKubeconfig), users.kubeProxy),
          writeUserKubeconfig(context, at(inNode.networkAgentKubeconfig), users.networkAgent),
        ]);
      }),
    ]);
  },
};

async function copyControlPlaneFiles(context: CreateContext): Promise<void> {
  const pki = made(context, 'pki');
  const root = rootInside(controlPlaneNode(context).init.pid);
  const target = pkiFiles(join(root, inNode.pki));
  await mkdir(join(root, inNode.pki, 'etcd'), { recursive: true, mode: 0o700 });
  const names = Object.keys(pki.files) as Array<keyof typeof pki.files>; // the keys of a plain record
  await Promise.all([
    ...names.map((name) => copyFile(pki.files[name], target[name])), // keeps the modes
    writeUserKubeconfig(context, join(root, inNode.controllerManagerKubeconfig), users.controllerManager),
    writeUserKubeconfig(context, join(root, inNode.schedulerKubeconfig), users.scheduler),
  ]);
}

async function writeUserKubeconfig(
  context: CreateContext,
  path: string,
  user: { name: string; groups?: readonly string[] },
  contextName?: string,
): Promise<void> {
  const pki = made(context, 'pki');
  await writeKubeconfig(path, {
    clusterName: `gantry-${context.plan.name}`,
    server: context.plan.server,
    caPem: pki.caPem,
    userName: contextName ?? user.name,
    credentials: await pki.issueClient(user),
    ...(contextName === undefined ? {} : { contextName }),
  });
}

async function writePair(certPath: string, keyPath: string, { certPem, keyPem }: KeyAndCertificate): Promise<void> {
  await Promise.all([writeWhole(keyPath, keyPem, 0o600), writeFile(certPath, certPem)]);
}
