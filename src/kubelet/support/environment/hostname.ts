/** The name that a pod gives itself. Pure. */
import type { Pod } from '../../../objects/generated/core-v1.ts';

export interface PodHostname {
  /** Short name, as the second column of the hosts file has it. */
  hostname: string;
  /** `<subdomain>.<namespace>.svc.<cluster domain>`; empty without a subdomain. */
  domain: string;
  /** What the sandbox is given: empty for host-network pods, which show the node's name. */
  sandboxHostname: string;
}

const hostnameMax = 63;
const kernelHostnameMax = 64;

/** @throws {Error} in upstream's words for names that cannot be */
export function podHostname(pod: Pod, clusterDomain: string): PodHostname {
  const { hostnameOverride, hostname: wanted = '', subdomain = '', setHostnameAsFQDN, hostNetwork } = pod.spec;
  if (hostnameOverride !== undefined && hostnameOverride !== '') {
    if (!isSubdomain(hostnameOverride)) {
      throw new Error(`pod HostnameOverride "${hostnameOverride}" is not a valid DNS subdomain: ${subdomainRule}`);
    }
    const hostname = truncated(pod, hostnameOverride);
    return { hostname, domain: '', sandboxHostname: hostNetwork === true ? '' : hostname };
  }
  if (wanted !== '' && !isLabel(wanted)) {
    throw new Error(`pod Hostname "${wanted}" is not a valid DNS label: ${whyNoLabel(wanted)}`);
  }
  const hostname = truncated(pod, wanted === '' ? pod.metadata.name : wanted);
  if (subdomain !== '' && !isLabel(subdomain)) {
    throw new Error(`pod Subdomain "${subdomain}" is not a valid DNS label: ${whyNoLabel(subdomain)}`);
  }
  const domain = subdomain === '' ? '' : `${subdomain}.${pod.metadata.namespace ?? 'default'}.svc.${clusterDomain}`;
  if (hostNetwork === true) return { hostname, domain, sandboxHostname: '' };
  if (setHostnameAsFQDN !== true || domain === '') return { hostname, domain, sandboxHostname: hostname };
  const fqdn = `${hostname}.${domain}`;
  if (fqdn.length > kernelHostnameMax) {
    throw new Error(
      `failed to construct FQDN from pod hostname and cluster domain, FQDN ${fqdn} is too long ` +
        `(${kernelHostnameMax} characters is the max, ${fqdn.length} characters requested)`,
    );
  }
  return { hostname, domain, sandboxHostname: fqdn };
}

function truncated(pod: Pod, name: string): string {
  if (name.length <= hostnameMax) return name;
  const cut = name.slice(0, hostnameMax).replace(/[-.]+$/, '');
  if (cut === '') throw new Error(`hostname for pod "${pod.metadata.name}" was invalid: "${name}"`);
  return cut;
}

const labelRule =
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end " +
  "with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is " +
  "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const subdomainRule =
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start " +
  "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is " +
  "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

const whyNoLabel = (name: string): string =>
  name.length > hostnameMax ? `must be no more than ${hostnameMax} characters` : labelRule;

const isLabel = (name: string): boolean => name.length <= hostnameMax && /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(name);

const isSubdomain = (name: string): boolean =>
  name.length <= 253 && /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(name);
