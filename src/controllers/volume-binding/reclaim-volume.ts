/** Gives back what a released volume holds, as far as that is ours to do. */
import { describeError, isNotFound } from '../../base/errors.ts';
import type { ApiClient } from '../../client/api-client.ts';
import { persistentVolumeClaims as claimType, persistentVolumes as volumeType } from '../../client/resource-types.ts';
import type { PersistentVolume } from '../../objects/generated/core-v1.ts';
import { decideReclaim } from './decide-volume.ts';

export interface ReclaimNeeds {
  client: Pick<ApiClient, 'get' | 'delete'>;
  /** Deletes a directory of this machine; undefined: none is ever deleted. */
  removeDirectory: ((path: string, signal: AbortSignal) => Promise<void>) | undefined;
}

export type Reclaimed = { kind: 'left' } | { kind: 'gone' } | { kind: 'failed'; reason: string; message: string };

/**
 * @param volume released; what happens to it now cannot be undone
 * @throws {Error} when the server cannot be asked, or the volume is gone: to be tried again
 */
export async function reclaimVolume(
  volume: PersistentVolume,
  { client, removeDirectory }: ReclaimNeeds,
  signal: AbortSignal,
): Promise<Reclaimed> {
  const step = decideReclaim(volume);
  if (step.kind === 'leave' || volume.metadata.deletionTimestamp !== undefined) return { kind: 'left' };
  if (step.kind === 'fail') return { kind: 'failed', reason: step.reason, message: step.message };
  if (!(await isStillToGo(volume, step.path, client, signal))) return { kind: 'left' };
  try {
    if (removeDirectory === undefined) throw new Error('this controller manager deletes no directories');
    await removeDirectory(step.path, signal);
  } catch (err) {
    signal.throwIfAborted();
    return { kind: 'failed', reason: 'VolumeFailedDelete', message: describeError(err) };
  }
  await client.delete(volumeType, volume.metadata, { preconditions: { uid: volume.metadata.uid } }, signal);
  return { kind: 'gone' };
}

/** Data that is deleted stays so: the server is asked once more whether nobody needs it and nobody keeps it. */
async function isStillToGo(
  { metadata, spec }: PersistentVolume,
  path: string,
  client: Pick<ApiClient, 'get'>,
  signal: AbortSignal,
): Promise<boolean> {
  const current = await client.get(volumeType, { name: metadata.name }, signal);
  if (current.metadata.uid !== metadata.uid || current.metadata.deletionTimestamp !== undefined) return false;
  const { name = '', namespace, uid = '' } = current.spec?.claimRef ?? {};
  if (name === '' || uid === '' || uid !== spec?.claimRef?.uid) return false;
  const step = decideReclaim(current);
  if (step.kind !== 'remove-directory' || step.path !== path) return false;
  try {
    const claim = await client.get(claimType, { namespace, name }, signal);
    const chosen = claim.spec?.volumeName ?? '';
    return claim.metadata.uid !== uid || (chosen !== '' && chosen !== metadata.name);
  } catch (err) {
    if (isNotFound(err)) return true;
    throw err;
  }
}
