/**
 * The keys and certificates of a cluster, laid out and named as kubeadm does under `/etc/kubernetes/pki`.
 *
 * Owns the directory that it is given. Promises: what is there and still good is kept (an authority is never replaced
 * silently), what is missing, nearly over or lacks a name is made anew, keys have mode 0600.
 * Needs: a writable directory and the time.
 */
import { chmod, mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { createAuthority, createBareKeyPair, issueLeaf, publicKeyPemOf, whyUnusable } from './certificates.ts';
import type { KeyAndCertificate, LeafOptions } from './certificates.ts';

export interface PkiOptions {
  /** Made when it is not there. */
  dir: string;
  /** DNS names of the API server beyond the in-cluster ones (`kubernetes.default.svc` …), e.g. the node's name. */
  apiServerNames: readonly string[];
  /** Addresses of the API server: first service IP, advertise address, loopback. */
  apiServerIps: readonly string[];
  /** Names and addresses of the etcd members; without it no etcd certificates are made. */
  etcdNames?: readonly string[];
  clusterDomain?: string;
  nowMs: number;
}

/** Paths, for flags of the components. */
export interface PkiFiles {
  caCert: string;
  caKey: string;
  apiserverCert: string;
  apiserverKey: string;
  apiserverKubeletClientCert: string;
  apiserverKubeletClientKey: string;
  frontProxyCaCert: string;
  frontProxyCaKey: string;
  frontProxyClientCert: string;
  frontProxyClientKey: string;
  serviceAccountKey: string;
  serviceAccountPublicKey: string;
  etcdCaCert: string;
  etcdServerCert: string;
  etcdServerKey: string;
  apiserverEtcdClientCert: string;
  apiserverEtcdClientKey: string;
}

export interface Pki {
  readonly dir: string;
  readonly files: PkiFiles;
  /** PEM of the cluster's authority. */
  readonly caPem: string;
  /** A client certificate of the cluster: user and groups. Kept in memory; the caller writes it where it belongs. */
  issueClient(user: { name: string; groups?: readonly string[] }): Promise<KeyAndCertificate>;
  /** A serving certificate of the cluster for a host's names and addresses. */
  issueServing(server: {
    commonName: string;
    organizations?: readonly string[];
    names: readonly string[];
  }): Promise<KeyAndCertificate>;
}

export function pkiFiles(dir: string): PkiFiles {
  const at = (name: string): string => join(dir, name);
  return {
    caCert: at('ca.crt'),
    caKey: at('ca.key'),
    apiserverCert: at('apiserver.crt'),
    apiserverKey: at('apiserver.key'),
    apiserverKubeletClientCert: at('apiserver-kubelet-client.crt'),
    apiserverKubeletClientKey: at('apiserver-kubelet-client.key'),
    frontProxyCaCert: at('front-proxy-ca.crt'),
    frontProxyCaKey: at('front-proxy-ca.key'),
    frontProxyClientCert: at('front-proxy-client.crt'),
    frontProxyClientKey: at('front-proxy-client.key'),
    serviceAccountKey: at('sa.key'),
    serviceAccountPublicKey: at('sa.pub'),
    etcdCaCert: at('etcd/ca.crt'),
    etcdServerCert: at('etcd/server.crt'),
    etcdServerKey: at('etcd/server.key'),
    apiserverEtcdClientCert: at('apiserver-etcd-client.crt'),
    apiserverEtcdClientKey: at('apiserver-etcd-client.key'),
  };
}

/** @throws {Error} when an authority on disk can no longer be used: replacing it would cut off everybody who trusts it */
export async function createPki(options: PkiOptions): Promise<Pki> {
  const { dir, apiServerNames, apiServerIps, etcdNames, clusterDomain = 'cluster.local', nowMs } = options;
  const files = pkiFiles(dir);
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const inCluster = [
    'kubernetes',
    'kubernetes.default',
    'kubernetes.default.svc',
    `kubernetes.default.svc.${clusterDomain}`,
  ];
  const [ca, frontProxyCa] = await Promise.all([
    ensureAuthority(files.caCert, 'kubernetes', nowMs),
    ensureAuthority(files.frontProxyCaCert, 'front-proxy-ca', nowMs),
    ensureServiceAccountKeys(files),
    etcdNames === undefined ? undefined : ensureEtcd(files, etcdNames, nowMs),
  ]);
  await Promise.all([
    ensureLeaf(files.apiserverCert, ca, {
      commonName: 'kube-apiserver',
      usages: ['server'],
      names: [...inCluster, ...apiServerNames, ...apiServerIps],
      nowMs,
    }),
    // No group: the API server's own user is allowed to call kubelets by its name (role system:kubelet-api-admin).
    ensureLeaf(files.apiserverKubeletClientCert, ca, {
      commonName: 'kube-apiserver-kubelet-client',
      usages: ['client'],
      nowMs,
    }),
    ensureLeaf(files.frontProxyClientCert, frontProxyCa, {
      commonName: 'front-proxy-client',
      usages: ['client'],
      nowMs,
    }),
  ]);
  return {
    dir,
    files,
    caPem: ca.certPem,
    issueClient: ({ name, groups = [] }) =>
      issueLeaf(ca, { commonName: name, organizations: groups, usages: ['client'], nowMs }),
    issueServing: ({ commonName, organizations = [], names }) =>
      issueLeaf(ca, { commonName, organizations, usages: ['server'], names, nowMs }),
  };
}

/** The users of kubeadm's kubeconfigs, and of the one program that kubeadm does not know. */
export const users = {
  admin: { name: 'kubernetes-admin', groups: ['system:masters'] },
  controllerManager: { name: 'system:kube-controller-manager' },
  scheduler: { name: 'system:kube-scheduler' },
  kubeProxy: { name: 'system:kube-proxy' },
  networkAgent: { name: 'gantry:network-agent' },
  kubelet: (nodeName: string) => ({ name: `system:node:${nodeName}`, groups: ['system:nodes'] }),
} as const;

async function ensureEtcd(files: PkiFiles, names: readonly string[], nowMs: number): Promise<void> {
  const ca = await ensureAuthority(files.etcdCaCert, 'etcd-ca', nowMs);
  await Promise.all([
    ensureLeaf(files.etcdServerCert, ca, { commonName: 'etcd', usages: ['server', 'client'], names, nowMs }),
    ensureLeaf(files.apiserverEtcdClientCert, ca, {
      commonName: 'kube-apiserver-etcd-client',
      usages: ['client'],
      nowMs,
    }),
  ]);
}

async function ensureAuthority(certPath: string, commonName: string, nowMs: number): Promise<KeyAndCertificate> {
  const existing = await readPair(certPath);
  if (existing === undefined) {
    const made = await createAuthority(commonName, nowMs);
    await writePair(certPath, made);
    return made;
  }
  const problem = whyUnusable(existing, { nowMs });
  if (problem === undefined) return existing;
  throw new Error(`Cannot use the authority "${certPath}": ${problem}; remove it to let a new one be made`);
}

async function ensureLeaf(certPath: string, authority: KeyAndCertificate, leaf: LeafOptions): Promise<void> {
  const existing = await readPair(certPath);
  const need = {
    nowMs: leaf.nowMs,
    issuerPem: authority.certPem,
    ...(leaf.names === undefined ? {} : { names: leaf.names }),
  };
  if (existing !== undefined && whyUnusable(existing, need) === undefined) return;
  await writePair(certPath, await issueLeaf(authority, leaf));
}

async function ensureServiceAccountKeys(files: PkiFiles): Promise<void> {
  const existing = await readIfThere(files.serviceAccountKey);
  const keyPem = existing ?? (await createBareKeyPair()).keyPem;
  if (existing === undefined) await writeWhole(files.serviceAccountKey, keyPem, 0o600);
  await writeWhole(files.serviceAccountPublicKey, publicKeyPemOf(keyPem), 0o644);
}

/** Both files, or nothing: half a pair is as good as none. */
async function readPair(certPath: string): Promise<KeyAndCertificate | undefined> {
  const [certPem, keyPem] = await Promise.all([readIfThere(certPath), readIfThere(keyPathOf(certPath))]);
  return certPem === undefined || keyPem === undefined ? undefined : { certPem, keyPem };
}

async function writePair(certPath: string, { certPem, keyPem }: KeyAndCertificate): Promise<void> {
  await writeWhole(keyPathOf(certPath), keyPem, 0o600);
  await writeWhole(certPath, certPem, 0o644);
}

/** Through a temporary file, so that nobody ever reads half a key. */
export async function writeWhole(path: string, content: string, mode: number): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const temporary = `${path}.tmp-${process.pid}`;
  await writeFile(temporary, content, { mode });
  await chmod(temporary, mode); // the mode above is cut by the umask and kept from an older file
  await rename(temporary, path);
}

function keyPathOf(certPath: string): string {
  return certPath.replace(/\.crt$/, '.key');
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (err) {
    if (err instanceof Error && 'code' in err && err.code === 'ENOENT') return undefined;
    throw new Error(`Cannot read "${path}"`, { cause: err });
  }
}
