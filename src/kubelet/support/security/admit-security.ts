/** Whether the node can keep what a pod's security settings promise. Pure: a refusal with reason and message, or none. */
import type { Pod } from '../../../objects/generated/core-v1.ts';
import { podContainers } from '../../pod-model.ts';
import { appArmorProfileOf } from './compute-profiles.ts';

export interface Refusal {
  reason: string;
  message: string;
}

/** Safe kernel parameters, with the first kernel version that keeps them inside a namespace. */
const safeSysctls: ReadonlyMap<string, readonly [major: number, minor: number]> = new Map([
  ['kernel.shm_rmid_forced', [0, 0]],
  ['net.ipv4.ip_local_port_range', [0, 0]],
  ['net.ipv4.tcp_syncookies', [0, 0]],
  ['net.ipv4.ping_group_range', [0, 0]],
  ['net.ipv4.ip_unprivileged_port_start', [0, 0]],
  ['net.ipv4.ip_local_reserved_ports', [3, 16]],
  ['net.ipv4.tcp_keepalive_time', [4, 5]],
  ['net.ipv4.tcp_keepalive_intvl', [4, 5]],
  ['net.ipv4.tcp_keepalive_probes', [4, 5]],
  ['net.ipv4.tcp_fin_timeout', [4, 6]],
  ['net.ipv4.tcp_rmem', [4, 15]],
  ['net.ipv4.tcp_wmem', [4, 15]],
]);

/** Parameters that live in the pod's network or IPC namespace. */
function namespaceOf(sysctl: string): 'Net' | 'IPC' | undefined {
  if (sysctl.startsWith('net.')) return 'Net';
  const isIpc = ['kernel.shm', 'kernel.msg', 'fs.mqueue.'].some((prefix) => sysctl.startsWith(prefix));
  return isIpc || sysctl === 'kernel.sem' ? 'IPC' : undefined;
}

/**
 * @param allowedUnsafe names and patterns (`net.core.*`) from the configuration
 * @param kernelRelease as `uname -r` prints it
 */
export function refuseSysctls(
  pod: Pod,
  { allowedUnsafe, kernelRelease }: { allowedUnsafe: readonly string[]; kernelRelease: string },
): Refusal | undefined {
  for (const { name } of pod.spec.securityContext?.sysctls ?? []) {
    const sysctl = name.replaceAll('/', '.');
    const isAllowed =
      isSafe(sysctl, kernelRelease) || allowedUnsafe.some((pattern) => matches(pattern.replaceAll('/', '.'), sysctl));
    if (!isAllowed) return { reason: 'SysctlForbidden', message: `forbidden sysctl: "${sysctl}" not allowlisted` };
    const namespace = namespaceOf(sysctl);
    const isOfHost =
      (namespace === 'Net' && pod.spec.hostNetwork === true) || (namespace === 'IPC' && pod.spec.hostIPC === true);
    if (isOfHost) {
      return {
        reason: 'SysctlForbidden',
        message: `forbidden sysctl: "${sysctl}" not allowed with host ${namespace} enabled`,
      };
    }
  }
  return undefined;
}

const matches = (pattern: string, name: string): boolean =>
  pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : pattern === name;

function isSafe(sysctl: string, kernelRelease: string): boolean {
  const since = safeSysctls.get(sysctl);
  if (since === undefined) return false;
  const [major = 0, minor = 0] = kernelRelease.split(/[.-]/).map(Number);
  return major > since[0] || (major === since[0] && minor >= since[1]);
}

/** A pod that asks for a profile must not run without one. `runtime/default` counts only where there is AppArmor. */
export function refuseAppArmor(pod: Pod, { isAppArmorEnabled }: { isAppArmorEnabled: boolean }): Refusal | undefined {
  if (isAppArmorEnabled) return undefined;
  const isNeeded = podContainers(pod).some(({ spec }) => {
    const profile = appArmorProfileOf(pod, spec);
    return profile !== undefined && profile.type !== 'Unconfined';
  });
  return isNeeded
    ? { reason: 'AppArmor', message: 'Cannot enforce AppArmor: AppArmor is not enabled on the host' }
    : undefined;
}
