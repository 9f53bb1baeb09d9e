/** The variables that tell a container where services are. Pure. */
import type { Service } from '../../../objects/generated/core-v1.ts';

/**
 * Services of the pod's namespace when it wants them, and always the API's own (`kubernetes` in `default`), which one
 * of the same name in the pod's namespace replaces. Services without a cluster IP have no variables.
 */
export function serviceEnvironment(
  services: readonly Service[],
  namespace: string,
  enableServiceLinks: boolean,
): Map<string, string> {
  const chosen = new Map<string, Service>();
  for (const service of services) {
    const { name, namespace: itsNamespace = 'default' } = service.metadata;
    if (!hasClusterIp(service)) continue;
    const isMaster = itsNamespace === 'default' && name === 'kubernetes';
    const isOwn = itsNamespace === namespace && enableServiceLinks;
    if (isOwn || (isMaster && !chosen.has(name))) chosen.set(name, service);
  }
  const variables = new Map<string, string>();
  for (const service of chosen.values()) addService(variables, service);
  return variables;
}

function hasClusterIp({ spec }: Service): boolean {
  return spec?.clusterIP !== undefined && spec.clusterIP !== '' && spec.clusterIP !== 'None';
}

function addService(variables: Map<string, string>, { metadata, spec }: Service): void {
  const name = variableName(metadata.name);
  const ip = spec?.clusterIP ?? '';
  const ports = spec?.ports ?? [];
  const [first] = ports;
  if (first === undefined) return;
  variables.set(`${name}_SERVICE_HOST`, ip);
  variables.set(`${name}_SERVICE_PORT`, String(first.port));
  for (const port of ports) {
    if (port.name === undefined || port.name === '') continue;
    variables.set(`${name}_SERVICE_PORT_${variableName(port.name)}`, String(port.port));
  }
  const host = ip.includes(':') ? `[${ip}]` : ip;
  for (const [index, { port, protocol = 'TCP' }] of ports.entries()) {
    const url = `${protocol.toLowerCase()}://${host}:${port}`;
    const prefix = `${name}_PORT_${port}_${protocol.toUpperCase()}`;
    if (index === 0) variables.set(`${name}_PORT`, url);
    variables.set(prefix, url);
    variables.set(`${prefix}_PROTO`, protocol.toLowerCase());
    variables.set(`${prefix}_PORT`, String(port));
    variables.set(`${prefix}_ADDR`, ip);
  }
}

const variableName = (name: string): string => name.toUpperCase().replaceAll('-', '_');
