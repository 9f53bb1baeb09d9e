import { describe, expect, it } from 'vitest';
import type {
  Container,
  Pod,
  PodSecurityContext,
  PodSpec,
  SecurityContext,
} from '../../../objects/generated/core-v1.ts';
import { refuseAppArmor, refuseSysctls } from './admit-security.ts';
import {
  type ImageUser,
  SecurityContextError,
  computeSandboxSecurityContext,
  computeSandboxSysctls,
  computeSecurityContext,
} from './security.ts';

const options = { seccompDefault: false, seccompRoot: '/var/lib/kubelet/seccomp', thermalThrottlePaths: [] };
const root: ImageUser = { uid: undefined, username: '' };

const container = (securityContext?: SecurityContext): Container => ({ name: 'c', image: 'i', securityContext });
const pod = (spec: Partial<PodSpec> = {}, annotations: Record<string, string> = {}): Pod => ({
  metadata: { name: 'p', namespace: 'ns', uid: 'u1', annotations },
  spec: { containers: [container()], ...spec },
});
const withPod = (securityContext: PodSecurityContext): Pod => pod({ securityContext });

describe('computeSecurityContext', () => {
  it('of a plain container', () => {
    expect(computeSecurityContext(pod(), container(), root, options)).toMatchObject({
      privileged: false,
      readonly_rootfs: false,
      no_new_privs: false,
      capabilities: { add_capabilities: [], drop_capabilities: [] },
      namespace_options: { network: 'POD', ipc: 'POD', pid: 'CONTAINER', userns_options: { mode: 'NODE' } },
      run_as_user: { value: 0 },
      supplemental_groups: [],
      supplemental_groups_policy: 'Merge',
      seccomp: { profile_type: 'Unconfined' },
      readonly_paths: ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'],
    });
  });

  it.each([
    { name: 'the container over the pod', own: { runAsUser: 5 }, image: root, want: { run_as_user: { value: 5 } } },
    { name: 'the pod over the image', own: {}, image: { uid: 9, username: '' }, want: { run_as_user: { value: 7 } } },
  ])('takes the user of $name', ({ own, image, want }) => {
    expect(computeSecurityContext(withPod({ runAsUser: 7 }), container(own), image, options)).toMatchObject(want);
  });

  it.each([
    { image: { uid: 9, username: '' }, want: { run_as_user: { value: 9 } } },
    { image: { uid: undefined, username: 'nginx' }, want: { run_as_username: 'nginx' } },
  ])('takes the user of the image: $image', ({ image, want }) => {
    expect(computeSecurityContext(pod(), container(), image, options)).toMatchObject(want);
  });

  it('passes on what the pod sets', () => {
    const own = computeSecurityContext(
      withPod({
        fsGroup: 1,
        supplementalGroups: [2, 3],
        supplementalGroupsPolicy: 'Strict',
        runAsGroup: 4,
        seLinuxOptions: { level: 's0' },
        seccompProfile: { type: 'RuntimeDefault' },
      }),
      container({
        privileged: true,
        readOnlyRootFilesystem: true,
        allowPrivilegeEscalation: false,
        capabilities: { add: ['NET_ADMIN'], drop: ['ALL'] },
        procMount: 'Unmasked',
      }),
      root,
      { ...options, volumeGroups: [8], thermalThrottlePaths: ['/sys/devices/system/cpu/cpu0/thermal_throttle'] },
    );
    expect(own).toMatchObject({
      privileged: true,
      readonly_rootfs: true,
      no_new_privs: true,
      capabilities: { add_capabilities: ['NET_ADMIN'], drop_capabilities: ['ALL'] },
      run_as_group: { value: 4 },
      supplemental_groups: [1, 2, 3, 8],
      supplemental_groups_policy: 'Strict',
      selinux_options: { user: '', role: '', type: '', level: 's0' },
      seccomp: { profile_type: 'RuntimeDefault' },
      masked_paths: [],
      readonly_paths: [],
    });
  });

  it('hides what tells of the machine, and lets nobody write what would change it', () => {
    const thermalThrottlePaths = ['/sys/devices/system/cpu/cpu0/thermal_throttle'];
    const made = computeSecurityContext(pod(), container(), root, { ...options, thermalThrottlePaths });
    const inProc = 'asound acpi interrupts kcore keys latency_stats timer_list timer_stats sched_debug scsi';
    expect(made.masked_paths).toEqual([
      ...inProc.split(' ').map((name) => `/proc/${name}`),
      '/sys/firmware',
      '/sys/devices/virtual/powercap',
      ...thermalThrottlePaths,
    ]);
    expect(made.readonly_paths).toEqual(['bus', 'fs', 'irq', 'sys', 'sysrq-trigger'].map((name) => `/proc/${name}`));
  });

  it.each([
    { spec: { hostNetwork: true, hostIPC: true, hostPID: true }, want: { network: 'NODE', ipc: 'NODE', pid: 'NODE' } },
    { spec: { shareProcessNamespace: true }, want: { network: 'POD', ipc: 'POD', pid: 'POD' } },
    { spec: {}, target: 'abc', want: { network: 'POD', ipc: 'POD', pid: 'TARGET', target_id: 'abc' } },
    { spec: { hostPID: true }, target: 'abc', want: { network: 'POD', ipc: 'POD', pid: 'NODE' } },
  ])('namespaces of $spec', ({ spec, target, want }) => {
    const { namespace_options } = computeSecurityContext(pod(spec), container(), root, {
      ...options,
      targetContainerId: target,
    });
    expect(namespace_options).toEqual({ ...want, userns_options: { mode: 'NODE' } });
  });

  it.each([
    { profile: undefined, byDefault: true, want: { profile_type: 'RuntimeDefault' } },
    { profile: { type: 'Unconfined' }, byDefault: true, want: { profile_type: 'Unconfined' } },
    {
      profile: { type: 'Localhost', localhostProfile: 'a/b.json' },
      byDefault: false,
      want: { profile_type: 'Localhost', localhost_ref: '/var/lib/kubelet/seccomp/a/b.json' },
    },
  ])('seccomp of $profile', ({ profile, byDefault, want }) => {
    const own = computeSecurityContext(pod(), container({ seccompProfile: profile }), root, {
      ...options,
      seccompDefault: byDefault,
    });
    expect(own.seccomp).toEqual(want);
  });

  it.each([
    {
      name: 'the container field first',
      own: { appArmorProfile: { type: 'Localhost', localhostProfile: 'mine' } },
      want: { apparmor: { profile_type: 'Localhost', localhost_ref: 'mine' }, apparmor_profile: 'localhost/mine' },
    },
    {
      name: 'then the annotation',
      own: {},
      annotations: { 'container.apparmor.security.beta.kubernetes.io/c': 'runtime/default' },
      want: { apparmor: { profile_type: 'RuntimeDefault' }, apparmor_profile: 'runtime/default' },
    },
    {
      name: 'then the pod field',
      own: {},
      want: { apparmor: { profile_type: 'Unconfined' }, apparmor_profile: 'unconfined' },
    },
  ])('AppArmor: $name', ({ own, annotations, want }) => {
    const subject = pod({ securityContext: { appArmorProfile: { type: 'Unconfined' } } }, annotations);
    expect(computeSecurityContext(subject, container(own), root, options)).toMatchObject(want);
  });

  it('leaves AppArmor out when nobody asks', () => {
    expect(computeSecurityContext(pod(), container(), root, options)).not.toHaveProperty('apparmor');
  });

  const where = '(pod: "p_ns(u1)", container: c)';
  it.each([
    {
      name: 'an explicit root',
      own: { runAsUser: 0 },
      image: root,
      want: `container's runAsUser breaks non-root policy ${where}`,
    },
    {
      name: 'an image with a named user',
      own: {},
      image: { uid: undefined, username: 'nginx' },
      want: `container has runAsNonRoot and image has non-numeric user (nginx), cannot verify user is non-root ${where}`,
    },
    {
      name: 'an image without a user',
      own: {},
      image: root,
      want: `container has runAsNonRoot and image will run as root ${where}`,
    },
    {
      name: 'an image of root',
      own: {},
      image: { uid: 0, username: '' },
      want: `container has runAsNonRoot and image will run as root ${where}`,
    },
  ])('runAsNonRoot refuses $name', ({ own, image, want }) => {
    const compute = (): unknown =>
      computeSecurityContext(withPod({ runAsNonRoot: true }), container(own), image, options);
    expect(compute).toThrow(new SecurityContextError(want));
  });

  it.each([
    { name: 'a user of the pod', own: { runAsUser: 5 }, image: root },
    { name: 'a user of the image', own: {}, image: { uid: 5, username: '' } },
    { name: 'a container that opts out', own: { runAsNonRoot: false }, image: root },
  ])('runAsNonRoot takes $name', ({ own, image }) => {
    expect(
      computeSecurityContext(withPod({ runAsNonRoot: true }), container(own), image, options).run_as_user,
    ).toBeDefined();
  });

  it.each([
    { own: { seccompProfile: { type: 'Localhost' } }, want: /localhostProfile must be set if seccompProfile/ },
    {
      own: { seccompProfile: { type: 'Localhost', localhostProfile: '../../etc/passwd' } },
      want: /Cannot use seccomp profile/,
    },
    { own: { appArmorProfile: { type: 'Localhost' } }, want: /localhostProfile must be set if appArmorProfile/ },
  ])('refuses $own', ({ own, want }) => {
    expect(() => computeSecurityContext(pod(), container(own), root, options)).toThrow(want);
  });

  it('passes a user namespace on', () => {
    const mapping = { host_id: 65_536, container_id: 0, length: 65_536 };
    const userNamespace = { mode: 'POD', uids: [mapping], gids: [mapping] } as const;
    const asked = pod({ hostUsers: false });
    const more = { ...options, userNamespace: { ...userNamespace, uids: [mapping], gids: [mapping] } };
    const own = computeSecurityContext(asked, container(), root, more);
    expect(own.namespace_options?.userns_options).toEqual(userNamespace);
    expect(computeSandboxSecurityContext(asked, more).namespace_options?.userns_options).toEqual(userNamespace);
  });

  it.each([
    { own: { allowPrivilegeEscalation: true }, want: false },
    { own: { allowPrivilegeEscalation: false }, want: true },
    { own: {}, want: false },
    { own: { privileged: true }, want: false },
  ])('no_new_privs only when told so: $own', ({ own, want }) => {
    expect(computeSecurityContext(pod(), container(own), root, options).no_new_privs).toBe(want);
  });

  it.each([
    { own: {}, ofPod: { runAsGroup: 7 }, want: { value: 7 } },
    { own: { runAsGroup: 5 }, ofPod: { runAsGroup: 7 }, want: { value: 5 } },
    { own: { runAsGroup: 0 }, ofPod: { runAsGroup: 7 }, want: { value: 0 } },
    { own: {}, ofPod: {}, want: undefined },
  ])('group of $own in a pod of $ofPod', ({ own, ofPod, want }) => {
    expect(computeSecurityContext(withPod(ofPod), container(own), root, options).run_as_group).toEqual(want);
  });

  it.each([
    {
      own: { user: 'u', role: 'r', type: 't', level: 'l' },
      ofPod: { level: 'x' },
      want: { user: 'u', role: 'r', type: 't', level: 'l' },
    },
    { own: undefined, ofPod: { type: 't' }, want: { user: '', role: '', type: 't', level: '' } },
    { own: undefined, ofPod: undefined, want: undefined },
  ])('SELinux options whole, of the container $own or of the pod $ofPod', ({ own, ofPod, want }) => {
    const computed = computeSecurityContext(
      withPod({ seLinuxOptions: ofPod }),
      container({ seLinuxOptions: own }),
      root,
      options,
    );
    expect(computed.selinux_options).toEqual(want);
  });

  it.each([
    { own: undefined, ofPod: { type: 'Localhost', localhostProfile: 'p.json' }, want: 'Localhost' },
    { own: { type: 'Unconfined' }, ofPod: { type: 'RuntimeDefault' }, want: 'Unconfined' },
  ])('seccomp of the container $own before the pod $ofPod', ({ own, ofPod, want }) => {
    const computed = computeSecurityContext(
      withPod({ seccompProfile: ofPod }),
      container({ seccompProfile: own }),
      root,
      options,
    );
    expect(computed.seccomp?.profile_type).toBe(want);
  });

  it('fsGroup comes first among the groups, capability names go as they are', () => {
    const own = computeSecurityContext(
      withPod({ fsGroup: 0, supplementalGroups: [5, 0] }),
      container({ capabilities: { add: ['CAP_SYS_TIME', 'net_raw'] } }),
      root,
      { ...options, volumeGroups: [5] },
    );
    expect(own.supplemental_groups).toEqual([0, 5, 0, 5]);
    expect(own.capabilities).toEqual({ add_capabilities: ['CAP_SYS_TIME', 'net_raw'], drop_capabilities: [] });
  });
});

describe('the sandbox', () => {
  it('is privileged when any container is, and confined by default whatever the pod says', () => {
    const subject = pod({
      initContainers: [container({ privileged: true })],
      securityContext: { runAsUser: 3, runAsGroup: 4, fsGroup: 5, seccompProfile: { type: 'Unconfined' } },
    });
    expect(computeSandboxSecurityContext(subject)).toMatchObject({
      privileged: true,
      run_as_user: { value: 3 },
      run_as_group: { value: 4 },
      supplemental_groups: [5],
      seccomp: { profile_type: 'RuntimeDefault' },
    });
  });

  it('takes kernel parameters with dots', () => {
    const sysctls = [{ name: 'net/core/somaxconn', value: '1' }];
    expect(computeSandboxSysctls(withPod({ sysctls }))).toEqual({ 'net.core.somaxconn': '1' });
    expect(computeSandboxSysctls(pod())).toEqual({});
  });
});

describe('refuseSysctls', () => {
  const node = { allowedUnsafe: ['net.core.*', 'kernel.msgmax'], kernelRelease: '6.1.0-9-amd64' };
  const ask = (name: string, spec: Partial<PodSpec> = {}): Pod =>
    pod({ ...spec, securityContext: { sysctls: [{ name, value: '1' }] } });

  it.each([
    'kernel.shm_rmid_forced',
    'net.ipv4.ip_local_port_range',
    'net.ipv4.tcp_syncookies',
    'net.ipv4.ping_group_range',
    'net.ipv4.ip_unprivileged_port_start',
    'net.ipv4.ip_local_reserved_ports',
    'net.ipv4.tcp_keepalive_time',
    'net.ipv4.tcp_keepalive_intvl',
    'net.ipv4.tcp_keepalive_probes',
    'net.ipv4.tcp_fin_timeout',
    'net/ipv4/tcp_rmem',
    'net.ipv4.tcp_wmem',
    'net.core.somaxconn',
    'kernel.msgmax',
  ])('takes %s', (name) => {
    expect(refuseSysctls(ask(name), node)).toBeUndefined();
  });

  it.each([
    { name: 'kernel.shmmax', want: 'forbidden sysctl: "kernel.shmmax" not allowlisted' },
    { name: 'vm.swappiness', want: 'forbidden sysctl: "vm.swappiness" not allowlisted' },
    {
      name: 'net.core.somaxconn',
      spec: { hostNetwork: true },
      want: 'forbidden sysctl: "net.core.somaxconn" not allowed with host Net enabled',
    },
    {
      name: 'kernel.msgmax',
      spec: { hostIPC: true },
      want: 'forbidden sysctl: "kernel.msgmax" not allowed with host IPC enabled',
    },
  ])('refuses $name with $spec', ({ name, spec, want }) => {
    expect(refuseSysctls(ask(name, spec), node)).toEqual({ reason: 'SysctlForbidden', message: want });
  });

  it.each([
    { name: 'net.ipv4.ip_local_reserved_ports', since: '3.16.0', before: '3.15.9' },
    { name: 'net.ipv4.tcp_keepalive_time', since: '4.5.0-rc1', before: '4.4.302' },
    { name: 'net.ipv4.tcp_keepalive_intvl', since: '4.5', before: '4.4' },
    { name: 'net.ipv4.tcp_keepalive_probes', since: '4.5', before: '4.4' },
    { name: 'net.ipv4.tcp_fin_timeout', since: '4.6.0', before: '4.5.7' },
    { name: 'net.ipv4.tcp_rmem', since: '4.15.0', before: '4.14.336' },
    { name: 'net.ipv4.tcp_wmem', since: '5.0', before: '4.14' },
  ])('knows since when $name is safe', ({ name, since, before }) => {
    expect(refuseSysctls(ask(name), { ...node, kernelRelease: since })).toBeUndefined();
    expect(refuseSysctls(ask(name), { ...node, kernelRelease: before })?.reason).toBe('SysctlForbidden');
  });

  it.each([
    { name: 'kernel.shm_rmid_forced', spec: { hostIPC: true }, isRefused: true },
    { name: 'kernel.shm_rmid_forced', spec: { hostNetwork: true }, isRefused: false },
    { name: 'net.ipv4.tcp_syncookies', spec: { hostNetwork: true }, isRefused: true },
    { name: 'net.ipv4.tcp_syncookies', spec: { hostIPC: true }, isRefused: false },
  ])('safe $name with $spec: refused is $isRefused', ({ name, spec, isRefused }) => {
    expect(refuseSysctls(ask(name, spec), node) !== undefined).toBe(isRefused);
  });
});

describe('refuseAppArmor', () => {
  const refusal = { reason: 'AppArmor', message: 'Cannot enforce AppArmor: AppArmor is not enabled on the host' };
  it.each([
    { type: 'RuntimeDefault', isEnabled: false, want: refusal },
    { type: 'Localhost', isEnabled: false, want: refusal },
    { type: 'Unconfined', isEnabled: false, want: undefined },
    { type: 'RuntimeDefault', isEnabled: true, want: undefined },
  ])('$type where AppArmor is $isEnabled', ({ type, isEnabled, want }) => {
    const subject = pod({ containers: [container({ appArmorProfile: { type } })] });
    expect(refuseAppArmor(subject, { isAppArmorEnabled: isEnabled })).toEqual(want);
  });
});

it.each<[PodSecurityContext | undefined, number[], number[]]>([
  [{ fsGroup: 1, supplementalGroups: [2] }, [1, 5, 2], [1, 2, 5]],
  [{}, [5], [5]],
  [undefined, [], [5]],
])('groups of volumes, pod %j: sandbox %j, container %j', (securityContext, sandbox, groups) => {
  const subject = securityContext === undefined ? pod() : withPod(securityContext);
  const volumeGroups = [5];
  expect(computeSandboxSecurityContext(subject, { volumeGroups }).supplemental_groups).toEqual(sandbox);
  const made = computeSecurityContext(subject, container(), root, { ...options, volumeGroups });
  expect(made.supplemental_groups).toEqual(groups);
});
