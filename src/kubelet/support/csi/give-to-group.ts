/** Gives the files of a volume to the group of its pod, and says when that takes long. */
import { tellMeanwhile } from '../../../base/tell-meanwhile.ts';
import type { Pod } from '../../../objects/generated/core-v1.ts';
import { uidOf } from '../../pod-model.ts';
import { ownershipTimes, ownershipWords } from '../../volume-model.ts';
import type { CsiNeed } from './csi-need.ts';

const fileBits = 0o660;
const directoryBits = fileBits | 0o110 | 0o2000;
/** What a directory shows whose whole tree was given to the group: it is changed last. */
const givenBits = 0o770 | 0o2000;

/** @throws when the tree cannot be read; files that cannot be given are skipped */
export async function giveToGroup(
  directory: string,
  pod: Pod,
  { mounts, event, clock, log }: Pick<CsiNeed, 'mounts' | 'event' | 'clock' | 'log'>,
  signal: AbortSignal,
): Promise<void> {
  const { fsGroup: gid, fsGroupChangePolicy } = pod.spec.securityContext ?? {};
  if (gid === undefined) return;
  if (fsGroupChangePolicy === 'OnRootMismatch') {
    const owner = await mounts.ownerOf(directory, signal);
    if (owner.gid === gid && (owner.mode & givenBits) === givenBits) return;
  }
  const shown = `${uidOf(pod)}${directory.split(uidOf(pod)).at(-1) ?? ''}`;
  let files = 0;
  const cancel = tellMeanwhile(ownershipTimes, clock, (isFirst) => {
    const words = ownershipWords(shown, isFirst ? undefined : files);
    event(pod, 'Warning', 'VolumePermissionChangeInProgress', words);
  });
  try {
    const change = { gid, fileBits, directoryBits, onEach: () => void files++ };
    const { failures, firstFailure } = await mounts.changeGroup(directory, change, signal);
    if (failures > 0)
      log.warn(
        { err: firstFailure, failures, directory, fsGroup: gid },
        'some files could not be given to the fsGroup',
      );
  } finally {
    cancel();
  }
}
