/** Kubeconfig files with everything inlined: written once, mode 0600, read by kubectl and by our own components. */
import { writeFile } from 'node:fs/promises';
import { stringify } from 'yaml';
import type { KeyAndCertificate } from './certificates.ts';

export interface KubeconfigOptions {
  clusterName: string;
  /** `https://host:port`. */
  server: string;
  caPem: string;
  userName: string;
  credentials: KeyAndCertificate;
  /** The context's name; `<userName>@<clusterName>` by default, as kubeadm has it. */
  contextName?: string;
}

/** Pure: the file's content as an object. */
export function kubeconfigObject(options: KubeconfigOptions): Record<string, unknown> {
  const { clusterName, server, caPem, userName, credentials } = options;
  const contextName = options.contextName ?? `${userName}@${clusterName}`;
  return {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: clusterName, cluster: { 'certificate-authority-data': base64(caPem), server } }],
    contexts: [{ name: contextName, context: { cluster: clusterName, user: userName } }],
    'current-context': contextName,
    preferences: {},
    users: [
      {
        name: userName,
        user: {
          'client-certificate-data': base64(credentials.certPem),
          'client-key-data': base64(credentials.keyPem),
        },
      },
    ],
  };
}

export async function writeKubeconfig(path: string, options: KubeconfigOptions): Promise<void> {
  await writeFile(path, stringify(kubeconfigObject(options), { lineWidth: 0 }), { mode: 0o600 });
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}
