/** How a pod reaches the API server: by the variables and the files that every pod is given. */
import { join } from 'node:path';
import { ConfigError } from '../base/errors.ts';
import type { ServerAccess } from './kubeconfig.ts';

export const serviceAccountDir = '/var/run/secrets/kubernetes.io/serviceaccount';

/**
 * The token is read from its file again and again, since the kubelet replaces it.
 * @throws {ConfigError} outside of a pod
 */
export function inClusterAccess(
  env: Readonly<Record<string, string | undefined>>,
  directory = serviceAccountDir,
): ServerAccess {
  const host = env['KUBERNETES_SERVICE_HOST'] ?? '';
  const port = env['KUBERNETES_SERVICE_PORT'] ?? '';
  if (host === '' || port === '') {
    throw new ConfigError('Cannot find the API server', [
      'KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set, as they are in a pod: pass --kubeconfig FILE',
    ]);
  }
  return {
    server: `https://${host.includes(':') ? `[${host}]` : host}:${port}`,
    ca: { file: join(directory, 'ca.crt') },
    clientCertificate: undefined,
    token: { file: join(directory, 'token') },
    tlsServerName: undefined,
    insecureSkipTlsVerify: false,
    namespace: 'default',
  };
}
