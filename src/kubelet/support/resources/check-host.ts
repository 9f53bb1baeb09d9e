/** Whether this machine can run a kubelet with this configuration. Pure. */

export interface HostToCheck {
  cgroupVersion: 1 | 2;
  swapBytes: number;
}

/** Problems with the fix in each; none when the kubelet may start. */
export function hostProblems(
  { cgroupVersion, swapBytes }: HostToCheck,
  { failCgroupV1, failSwapOn }: { failCgroupV1: boolean; failSwapOn: boolean },
): string[] {
  const problems: string[] = [];
  if (cgroupVersion === 1 && failCgroupV1) {
    problems.push(
      'kubelet is configured to not run on a host using cgroup v1. cgroup v1 support is unsupported and will be removed in a future release: boot with cgroup v2, or set failCgroupV1: false',
    );
  }
  if (swapBytes > 0 && failSwapOn) {
    problems.push('running with swap on is not supported, please disable swap or set --fail-swap-on flag to false');
  }
  return problems;
}
