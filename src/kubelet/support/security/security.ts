/**
 * What a pod's security settings mean for the container runtime. Owns nothing: pure functions from a pod to the
 * messages of CRI, and the checks that refuse a pod or a container in upstream's words.
 */
import type { LinuxContainerSecurityContext } from '../../../adapters/cri/generated/runtime/v1/LinuxContainerSecurityContext.ts';
import type { LinuxSandboxSecurityContext } from '../../../adapters/cri/generated/runtime/v1/LinuxSandboxSecurityContext.ts';
import type { NamespaceOption } from '../../../adapters/cri/generated/runtime/v1/NamespaceOption.ts';
import type { UserNamespace } from '../../../adapters/cri/generated/runtime/v1/UserNamespace.ts';
import type { Container, Pod, SELinuxOptions } from '../../../objects/generated/core-v1.ts';
import { podContainers, podDescription } from '../../pod-model.ts';
import { appArmorFields, seccompOf } from './compute-profiles.ts';
import { SecurityContextError } from './security-context-error.ts';

export { SecurityContextError } from './security-context-error.ts';

/** Who the image runs as: a number, or a name, or neither (root). */
export interface ImageUser {
  uid: number | undefined;
  username: string;
}

export interface SecurityOptions {
  /** Pods without a seccomp profile get the runtime's default instead of none. */
  seccompDefault: boolean;
  /** Folder of local seccomp profiles: `<root dir>/seccomp`. */
  seccompRoot: string;
  /** `/sys/devices/system/cpu/cpuN/thermal_throttle` of the CPUs that have it: masked like the paths in /proc. */
  thermalThrottlePaths: readonly string[];
  /** Groups that volumes add to the pod (annotation of a persistent volume). */
  volumeGroups?: readonly number[] | undefined;
  /** The pod's user namespace; the host's by default. */
  userNamespace?: UserNamespace | undefined;
  /** Id of the container whose processes an ephemeral container joins. */
  targetContainerId?: string | undefined;
}

const maskedPaths = [
  '/proc/asound',
  '/proc/acpi',
  '/proc/interrupts',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/sys/firmware',
  '/sys/devices/virtual/powercap',
];

const readonlyPaths = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];

/** @throws {SecurityContextError} when the container may not run as it is */
export function computeSecurityContext(
  pod: Pod,
  container: Container,
  imageUser: ImageUser,
  options: SecurityOptions,
): LinuxContainerSecurityContext {
  verifyRunAsNonRoot(pod, container, imageUser);
  const own = container.securityContext;
  const ofPod = pod.spec.securityContext;
  const runAsUser = own?.runAsUser ?? ofPod?.runAsUser;
  const runAsGroup = own?.runAsGroup ?? ofPod?.runAsGroup;
  const isUnmasked = own?.procMount === 'Unmasked';
  const seLinux = own?.seLinuxOptions ?? ofPod?.seLinuxOptions;
  return {
    privileged: own?.privileged === true,
    readonly_rootfs: own?.readOnlyRootFilesystem === true,
    no_new_privs: own?.allowPrivilegeEscalation === false,
    capabilities: {
      add_capabilities: [...(own?.capabilities?.add ?? [])],
      drop_capabilities: [...(own?.capabilities?.drop ?? [])],
    },
    namespace_options: namespaceOptions(pod, options),
    ...runAs(runAsUser, imageUser),
    ...(runAsGroup === undefined ? {} : { run_as_group: { value: runAsGroup } }),
    ...groupsOf(pod, options.volumeGroups),
    ...(seLinux === undefined ? {} : { selinux_options: seLinuxOf(seLinux) }),
    masked_paths: isUnmasked ? [] : [...maskedPaths, ...options.thermalThrottlePaths],
    readonly_paths: isUnmasked ? [] : [...readonlyPaths],
    seccomp: seccompOf(own?.seccompProfile ?? ofPod?.seccompProfile, options),
    ...appArmorFields(pod, container),
  };
}

/** The sandbox's: its seccomp profile is the runtime's default whatever the pod says. */
export function computeSandboxSecurityContext(
  pod: Pod,
  options: Pick<SecurityOptions, 'userNamespace' | 'volumeGroups'> = {},
): LinuxSandboxSecurityContext {
  const ofPod = pod.spec.securityContext;
  return {
    privileged: podContainers(pod).some(({ spec }) => spec.securityContext?.privileged === true),
    namespace_options: namespaceOptions(pod, options),
    seccomp: { profile_type: 'RuntimeDefault' },
    ...(ofPod?.runAsUser === undefined ? {} : { run_as_user: { value: ofPod.runAsUser } }),
    ...(ofPod?.runAsGroup === undefined ? {} : { run_as_group: { value: ofPod.runAsGroup } }),
    ...sandboxGroupsOf(pod, options.volumeGroups),
    ...(ofPod?.seLinuxOptions === undefined ? {} : { selinux_options: seLinuxOf(ofPod.seLinuxOptions) }),
  };
}

/** The pod's kernel parameters, in the form with dots. */
export function computeSandboxSysctls(pod: Pod): Record<string, string> {
  const sysctls = pod.spec.securityContext?.sysctls ?? [];
  return Object.fromEntries(sysctls.map(({ name, value }) => [name.replaceAll('/', '.'), value]));
}

function namespaceOptions(
  pod: Pod,
  { userNamespace = { mode: 'NODE' }, targetContainerId }: Pick<SecurityOptions, 'userNamespace' | 'targetContainerId'>,
): NamespaceOption {
  const { hostNetwork, hostIPC, hostPID, shareProcessNamespace } = pod.spec;
  const pid = hostPID === true ? 'NODE' : shareProcessNamespace === true ? 'POD' : 'CONTAINER';
  const namespaces: NamespaceOption = {
    network: hostNetwork === true ? 'NODE' : 'POD',
    ipc: hostIPC === true ? 'NODE' : 'POD',
    pid,
    userns_options: userNamespace,
  };
  return targetContainerId === undefined || pid !== 'CONTAINER'
    ? namespaces
    : { ...namespaces, pid: 'TARGET', target_id: targetContainerId };
}

function runAs(
  runAsUser: number | undefined,
  image: ImageUser,
): Pick<LinuxContainerSecurityContext, 'run_as_user' | 'run_as_username'> {
  if (runAsUser !== undefined) return { run_as_user: { value: runAsUser } };
  if (image.uid !== undefined) return { run_as_user: { value: image.uid } };
  return image.username === '' ? { run_as_user: { value: 0 } } : { run_as_username: image.username };
}

function groupsOf(
  pod: Pod,
  volumeGroups: readonly number[] = [],
): Pick<LinuxContainerSecurityContext, 'supplemental_groups' | 'supplemental_groups_policy'> {
  const ofPod = pod.spec.securityContext;
  const fsGroup = ofPod?.fsGroup === undefined ? [] : [ofPod.fsGroup];
  return {
    supplemental_groups: [...fsGroup, ...(ofPod?.supplementalGroups ?? []), ...volumeGroups],
    supplemental_groups_policy: ofPod?.supplementalGroupsPolicy === 'Strict' ? 'Strict' : 'Merge',
  };
}

/** As upstream: in another order than a container's, and those of volumes only when the pod says something of security. */
function sandboxGroupsOf(pod: Pod, volumeGroups: readonly number[] = []): ReturnType<typeof groupsOf> {
  const { fsGroup, supplementalGroups = [] } = pod.spec.securityContext ?? {};
  if (pod.spec.securityContext === undefined) return groupsOf(pod);
  return {
    ...groupsOf(pod),
    supplemental_groups: [...(fsGroup === undefined ? [] : [fsGroup]), ...volumeGroups, ...supplementalGroups],
  };
}

function seLinuxOf({ user, role, type, level }: SELinuxOptions): {
  user: string;
  role: string;
  type: string;
  level: string;
} {
  return { user: user ?? '', role: role ?? '', type: type ?? '', level: level ?? '' };
}

function verifyRunAsNonRoot(pod: Pod, container: Container, image: ImageUser): void {
  const own = container.securityContext;
  const ofPod = pod.spec.securityContext;
  if ((own?.runAsNonRoot ?? ofPod?.runAsNonRoot) !== true) return;
  const where = `(pod: "${podDescription(pod)}", container: ${container.name})`;
  const runAsUser = own?.runAsUser ?? ofPod?.runAsUser;
  if (runAsUser === 0) throw new SecurityContextError(`container's runAsUser breaks non-root policy ${where}`);
  if (runAsUser !== undefined) return;
  if (image.uid === undefined && image.username !== '') {
    throw new SecurityContextError(
      `container has runAsNonRoot and image has non-numeric user (${image.username}), cannot verify user is non-root ${where}`,
    );
  }
  if ((image.uid ?? 0) === 0) {
    throw new SecurityContextError(`container has runAsNonRoot and image will run as root ${where}`);
  }
}
