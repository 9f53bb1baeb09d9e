/** Whether the container runtime makes cgroups as this kubelet does: by folder, not through systemd. */
import type { Cri } from '../../../adapters/cri/cri.ts';
import type { Clock } from '../../../base/clock.ts';
import { ConfigError, isUnimplemented } from '../../../base/errors.ts';
import { aborted } from '../../../base/run-together.ts';

const retryMs = 2000;

/**
 * Asks until the runtime has answered; older ones cannot tell (containerd before 2.0), and say so at the first pod.
 * Lives until `signal` aborts. @throws {ConfigError} when the runtime uses systemd: no pod could start
 */
export async function watchDriver(
  { cri, clock }: { cri: Pick<Cri, 'cgroupDriver'>; clock: Clock },
  signal: AbortSignal,
): Promise<void> {
  let driver: 'systemd' | 'cgroupfs' | undefined;
  while (driver === undefined && !signal.aborted) {
    try {
      driver = await cri.cgroupDriver(signal);
    } catch (err) {
      if (isUnimplemented(err)) break;
      await clock.sleep(retryMs, signal); // it is not there yet: its status says so
    }
  }
  if (driver === 'systemd') {
    throw new ConfigError('Cannot run pods with this container runtime', [
      'the runtime uses the cgroup driver systemd, which this kubelet does not have: set it to cgroupfs (containerd: SystemdCgroup = false)',
    ]);
  }
  await aborted(signal);
}
