/**
 * What is left of a pod that is gone: its directory, its control group, its logs. One thing that stays keeps no other,
 * but for the group: while volumes are there it stays, since their memory is charged to it. What runs in it is slowed
 * down meanwhile; that comes first, for an unmount that hangs.
 */
import { describeError } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';

export interface RemainsNeed {
  volumes: {
    unmount(uid: string, signal: AbortSignal): Promise<void>;
    removePodDir(uid: string, signal: AbortSignal): Promise<void>;
  };
  cgroups: {
    remove(uid: string, signal: AbortSignal): Promise<void>;
    /** Takes all CPU time but the least from what may still run in the pod's group. */
    slowDown(uid: string, signal: AbortSignal): Promise<void>;
  };
  removeLogs(uid: string): Promise<void>;
  log: Logger;
}

export async function removeRemains(
  { volumes, cgroups, removeLogs, log }: RemainsNeed,
  uid: string,
  signal: AbortSignal,
): Promise<void> {
  const done = async (what: string, work: () => Promise<void>): Promise<boolean> => {
    if (signal.aborted) return false;
    try {
      await work();
      return true;
    } catch (err) {
      if (!signal.aborted)
        log.warn({ uid, what, reason: describeError(err) }, 'cannot remove what is left of a pod, will retry');
      return false;
    }
  };
  await done('CPU time', () => cgroups.slowDown(uid, signal));
  if (await done('volumes', () => volumes.unmount(uid, signal))) {
    await done('directory', () => volumes.removePodDir(uid, signal));
    await done('control group', () => cgroups.remove(uid, signal));
  }
  await done('logs', () => removeLogs(uid));
}
