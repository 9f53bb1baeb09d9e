/** The `/etc/hosts` of a pod's containers. */
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { HostAlias, Pod } from '../../../objects/generated/core-v1.ts';

const ownNetworkLines = [
  '# Kubernetes-managed hosts file.',
  '127.0.0.1\tlocalhost',
  '::1\tlocalhost ip6-localhost ip6-loopback',
  'fe00::0\tip6-localnet',
  'fe00::0\tip6-mcastprefix',
  'fe00::1\tip6-allnodes',
  'fe00::2\tip6-allrouters',
];

export interface HostsOptions {
  podIps: readonly string[];
  hostname: string;
  /** Empty when the pod has none. */
  domain: string;
  hostAliases: readonly HostAlias[] | undefined;
}

/**
 * The content for all containers of a pod.
 *
 * @param nodeHosts the node's own file, for pods in the host's network
 * @returns undefined while the pod has neither an IP nor the host's network: it gets no file then
 */
export function hostsContent(
  pod: Pod,
  options: Omit<HostsOptions, 'hostAliases'>,
  nodeHosts: string,
): string | undefined {
  const { hostNetwork, hostAliases } = pod.spec;
  if (hostNetwork === true) return hostNetworkHosts(nodeHosts, hostAliases);
  return options.podIps.length === 0 ? undefined : podHosts({ ...options, hostAliases });
}

/** For a pod with a network of its own. */
export function podHosts({ podIps, hostname, domain, hostAliases }: HostsOptions): string {
  const names = domain === '' ? hostname : `${hostname}.${domain}\t${hostname}`;
  const own = podIps.map((ip) => `${ip}\t${names}`);
  return `${[...ownNetworkLines, ...own].join('\n')}\n${aliasLines(hostAliases)}`;
}

/** For a pod in the host's network. @param nodeHosts the node's own file, word for word */
export function hostNetworkHosts(nodeHosts: string, hostAliases: readonly HostAlias[] | undefined): string {
  return `# Kubernetes-managed hosts file (host network).\n${nodeHosts}${aliasLines(hostAliases)}`;
}

function aliasLines(hostAliases: readonly HostAlias[] | undefined): string {
  if (hostAliases === undefined || hostAliases.length === 0) return '';
  const lines = hostAliases.map(({ ip, hostnames }) => `${ip}\t${(hostnames ?? []).join('\t')}\n`);
  return `\n# Entries added by HostAliases.\n${lines.join('')}`;
}

/** Written in place: running containers have this very file mounted. @returns its path */
export async function writeHostsFile(podDir: string, content: string): Promise<string> {
  const path = join(podDir, 'etc-hosts');
  await writeFile(path, content, { mode: 0o644 });
  await chmod(path, 0o644); // whatever our umask is
  return path;
}
