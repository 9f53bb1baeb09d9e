/** Gives the files of a volume to the group of its pod, as far as the pod's policy wants it, and says when it takes long. */
import { realpath } from 'node:fs/promises';
import type { Clock } from '../../../base/clock.ts';
import { withDeadline } from '../../../base/deadline.ts';
import type { Logger } from '../../../base/logger.ts';
import { tellMeanwhile } from '../../../base/tell-meanwhile.ts';
import type { Pod } from '../../../objects/generated/core-v1.ts';
import { uidOf } from '../../pod-model.ts';
import { ownershipTimes, ownershipWords } from '../../volume-model.ts';
import { groupBits } from './ownership.ts';
import type { PersistentMounts } from './persistent-kinds.ts';
import type { PodVolume } from './persistent-model.ts';

interface Gift {
  volume: PodVolume;
  pod: Pod;
  directory: string;
  /** Pods that have the volume already: its files are theirs, too. */
  otherPods: readonly string[];
}

interface GiftNeed {
  mounts: Pick<PersistentMounts, 'changeGroup' | 'ownerOf'>;
  event(pod: Pod, type: 'Normal' | 'Warning', reason: string, message: string): void;
  clock: Clock;
  log: Logger;
}

const lookMs = 30_000;
const walkMs = 24 * 3_600_000;

/** Whether the root of a volume shows that all of it was given to the group: it is changed last. */
export function isGiven({ mode, gid }: { mode: number; gid: number }, fsGroup: number, isReadOnly: boolean): boolean {
  const wanted = (isReadOnly ? 0o550 : 0o770) | 0o2000;
  return gid === fsGroup && (mode & wanted) === wanted;
}

export async function giveToPod(
  { volume, pod, directory, otherPods }: Gift,
  { mounts, event, clock, log }: GiftNeed,
  signal: AbortSignal,
): Promise<void> {
  const { fsGroup, fsGroupChangePolicy } = pod.spec.securityContext ?? {};
  if (fsGroup === undefined || volume.isReadOnly) return;
  const look = (): Promise<{ mode: number; gid: number }> =>
    withDeadline(`looking at ${directory}`, lookMs, clock, signal, (s) => mounts.ownerOf(directory, s));
  if (otherPods.length > 0) {
    const { gid } = await look();
    if (gid !== fsGroup) {
      const message = `The requested fsGroup is ${fsGroup}, but the volume ${volume.specName} has GID ${gid}. The volume may not be shareable.`;
      event(pod, 'Warning', 'AlreadyMountedVolume', message);
    }
    return;
  }
  if (fsGroupChangePolicy === 'OnRootMismatch' && isGiven(await look(), fsGroup, false)) return;
  const where = `${uidOf(pod)}/volumes/kubernetes.io~local-volume/${volume.specName}`;
  let files = 0;
  const cancel = tellMeanwhile(ownershipTimes, clock, (isFirst) => {
    const words = ownershipWords(where, isFirst ? undefined : files);
    event(pod, 'Warning', 'VolumePermissionChangeInProgress', words);
  });
  try {
    const real = await realpath(directory); // a PersistentVolume may name a link
    const change = { gid: fsGroup, ...groupBits(false), onEach: () => void files++ };
    const { failures, firstFailure } = await withDeadline(`giving ${directory} away`, walkMs, clock, signal, (s) =>
      mounts.changeGroup(real, change, s),
    );
    if (failures > 0)
      log.warn({ err: firstFailure, failures, directory, fsGroup }, 'some files could not be given to the fsGroup');
  } finally {
    cancel();
  }
}
