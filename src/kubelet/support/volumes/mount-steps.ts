/** The steps by which a volume comes into a pod, in upstream's order and words. */
import type { Node, Pod } from '../../../objects/generated/core-v1.ts';
import { uidOf } from '../../pod-model.ts';
import type { CsiVolumes } from '../../volume-model.ts';
import { csiVolume } from './csi-hands.ts';
import { type NodeVolume, affinityProblem, afterFailure, readWriteOncePodProblem } from './node-volume-state.ts';
import type { PersistentHands } from './persistent-kinds.ts';
import { type PodVolume, VolumeStepError, outcomeOf, userMountOptions } from './persistent-model.ts';

export interface MountStepsNeed {
  hands: PersistentHands;
  csi: Pick<CsiVolumes, 'checkAttached'> | undefined;
  event(pod: Pod, type: 'Normal' | 'Warning', reason: string, message: string): void;
  ownNode(): Node | undefined;
  expander: { expandIfNeeded(pod: Pod, volume: PodVolume, signal: AbortSignal): Promise<void> };
}

const fileWords = { kind: 'MountVolume', worker: 'Mounter', reason: 'FailedMount' } as const;
const blockWords = { kind: 'MapVolume', worker: 'BlockVolumeMapper', reason: 'FailedMapVolume' } as const;

/**
 * Mounts a volume for a pod, step by step, and notes in `entry` what each outcome means.
 * @returns what containers mount, or the link to the device
 * @throws {VolumeStepError} in the words of its event
 */
export async function mountVolume(
  pod: Pod,
  volume: PodVolume,
  entry: NodeVolume,
  { hands, csi, event, ownNode, expander }: MountStepsNeed,
  signal: AbortSignal,
): Promise<string> {
  const uid = uidOf(pod);
  const words = volume.isBlock ? blockWords : fileWords;
  const step = async <T>(name: string, work: () => T | Promise<T>, reason = words.reason): Promise<T> => {
    try {
      return await work();
    } catch (err) {
      throw new VolumeStepError(name, volume.specName, err, reason);
    }
  };
  await step(
    `${words.kind}.NodeAffinity check failed`,
    () => refuse(affinityProblem(volume, ownNode())),
    'FailedMount',
  );
  await step(`${words.kind}.New${words.worker} initialization failed`, () => hands.check(volume, signal));
  if (!hands.hasMountOptions && userMountOptions(volume).length > 0) {
    const problem = 'mount options are not supported for this volume type';
    await step(`${words.kind}.MountOptionSupport check failed`, () => refuse(problem));
  }
  const setUp = volume.isBlock ? 'MapVolume.MapPodDevice failed' : 'MountVolume.SetUp failed';
  await step(setUp, () => refuse(readWriteOncePodProblem(volume, entry, uid)));
  if (entry.isAttachable === true) {
    await step(`${words.kind}.WaitForAttach failed`, () => csi?.checkAttached(csiVolume(volume, uid), signal));
  }
  if (entry.device !== 'mounted') {
    await step(volume.isBlock ? 'MapVolume.SetUpDevice failed' : 'MountVolume.MountDevice failed', async () => {
      try {
        await hands.stage(volume, pod, signal);
        entry.device = 'mounted';
      } catch (err) {
        entry.device = afterFailure(entry.device, outcomeOf(err), entry.isDeviceFound);
        throw err;
      }
    });
  }
  // What is staged goes by itself; what is published now would be a volume of a pod that is down.
  if (!entry.wanted.has(uid)) throw new Error(`pod "${uid}" has ended before its volume was there`);
  const before = entry.pods.get(uid);
  const mount = before ?? {
    state: 'none' as const,
    specName: volume.specName,
    isBlock: volume.isBlock,
    isFound: false,
  };
  const otherPods = [...entry.pods].filter(([other, { state }]) => other !== uid && state !== 'none').map(([id]) => id);
  // known before it is tried: what may have happened is undone when the pod goes
  entry.pods.set(uid, { ...mount, state: mount.state === 'none' ? 'uncertain' : mount.state });
  const published = await step(setUp, async () => {
    try {
      return await hands.publish(volume, pod, { otherPods }, signal);
    } catch (err) {
      const state = afterFailure(mount.state, outcomeOf(err), mount.isFound);
      if (state === 'none') entry.pods.delete(uid);
      else entry.pods.set(uid, { ...mount, state });
      throw err;
    }
  });
  const path = await step('MapVolume.MapBlockVolume failed', async () =>
    volume.isBlock && hands.map !== undefined ? await hands.map(volume, pod, published, signal) : published,
  );
  const expand = volume.isBlock ? 'MapVolume.MarkVolumeAsMounted failed' : 'MountVolume.Setup failed';
  await step(`${expand} while expanding volume`, () => expander.expandIfNeeded(pod, volume, signal));
  entry.pods.set(uid, { ...mount, state: 'mounted' });
  if (volume.isBlock && before?.state !== 'mounted') sayMapped(pod, volume, path, { hands, event });
  return path;
}

function sayMapped(
  pod: Pod,
  { specName }: PodVolume,
  link: string,
  { hands, event }: Pick<MountStepsNeed, 'hands' | 'event'>,
): void {
  const say = (what: string): void => event(pod, 'Normal', 'SuccessfulMountVolume', what);
  const told = `MapVolume.MapPodDevice succeeded for volume "${specName}"`;
  say(`${told} globalMapPath "${hands.mapPath?.(specName) ?? link}"`);
  say(`${told} volumeMapPath "${link.slice(0, link.lastIndexOf('/'))}"`);
}

function refuse(problem: string | undefined): void {
  if (problem !== undefined) throw new Error(problem);
}
