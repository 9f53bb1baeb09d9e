/** Directories of NFS servers, mounted for each pod by itself. Everything that asks the server runs in a child process. */
import { mkdir } from 'node:fs/promises';
import type { Clock } from '../../../base/clock.ts';
import { withDeadline } from '../../../base/deadline.ts';
import type { NFSVolumeSource, Pod } from '../../../objects/generated/core-v1.ts';
import { uidOf } from '../../pod-model.ts';
import type { NodeDevice, PersistentHands, PersistentMounts, PodPlace } from './persistent-kinds.ts';
import { type PodVolume, VolumeError, mountOptions } from './persistent-model.ts';
import type { VolumePaths } from './volume-paths.ts';
import { removeEmpty } from './volume-setup.ts';

interface NfsVolumesNeed {
  paths: VolumePaths;
  mounts: PersistentMounts;
  clock: Clock;
}

/** `mount.nfs` itself gives up after two minutes. */
const mountMs = 150_000;
/** A minute for the server, and one for the kernel to let go of it. */
const unmountMs = 120_000;

export class NfsVolumes implements PersistentHands {
  readonly hasMountOptions = true;
  readonly #need: NfsVolumesNeed;

  constructor(need: NfsVolumesNeed) {
    this.#need = need;
  }

  check(): Promise<void> {
    return Promise.resolve();
  }

  stage(): Promise<void> {
    return Promise.resolve();
  }

  unstage(): Promise<void> {
    return Promise.resolve();
  }

  async publish(volume: PodVolume, pod: Pod, _: unknown, signal: AbortSignal): Promise<string> {
    const { mounts, paths, clock } = this.#need;
    const target = paths.persistent(uidOf(pod), 'nfs', volume.specName);
    if (await mounts.isMountPoint(target, signal)) return target;
    await mkdir(target, { recursive: true, mode: 0o750 });
    const source = nfsSource(volume.pv?.spec?.nfs ?? volume.volume.nfs);
    const wanted = { type: 'nfs', source, target, options: mountOptions(volume) };
    try {
      await withDeadline(`mounting ${source}`, mountMs, clock, signal, (s) => mounts.mountFileSystem(wanted, s));
    } catch (cause) {
      if (await mounts.isMountPoint(target, signal)) throw new VolumeError('mount failed', 'uncertain', { cause });
      await removeEmpty(target).catch(() => {}); // the first failure tells more
      throw cause;
    }
    return target;
  }

  async unpublish({ uid, specName }: PodPlace, signal: AbortSignal): Promise<void> {
    const { mounts, paths, clock } = this.#need;
    const target = paths.persistent(uid, 'nfs', specName);
    await withDeadline(`unmounting ${target}`, unmountMs, clock, signal, (s) =>
      mounts.unmountFileSystem(target, { isForced: true }, s),
    );
    await removeEmpty(target);
  }

  findStaged(): Promise<NodeDevice[]> {
    return Promise.resolve([]);
  }

  devicePath(): undefined {
    return undefined;
  }

  findPublished(places: readonly PodPlace[]): Promise<Array<PodPlace & { uniqueName: string }>> {
    return Promise.resolve(
      places.map((place) => ({ ...place, uniqueName: `kubernetes.io/nfs/${place.uid}-${place.specName}` })),
    );
  }
}

/** `server:/path`, an IPv6 address in brackets. */
export function nfsSource(source: NFSVolumeSource | undefined): string {
  const { server = '', path = '' } = source ?? {};
  const host = server.includes(':') && !server.startsWith('[') ? `[${server}]` : server;
  return `${host}:${path}`;
}
