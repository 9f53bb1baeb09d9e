/** PersistentVolumes of kind `hostPath`: the runtime gets the path itself, nothing is mounted and nothing taken down. */
import type { Clock } from '../../../base/clock.ts';
import { withDeadline } from '../../../base/deadline.ts';
import type { HostPathVolumeSource } from '../../../objects/generated/core-v1.ts';
import { checkHostPath } from './host-path.ts';
import type { NodeDevice, PersistentHands, PersistentMounts, PodPlace } from './persistent-kinds.ts';
import type { PodVolume } from './persistent-model.ts';

/** A hostPath on a dead network mount never answers; its pod waits this long for it each time. */
const hostPathDeadlineMs = 30_000;

interface HostPathNeed {
  mounts: Pick<PersistentMounts, 'modeOf'>;
  clock: Clock;
}

export async function checkWithin(
  source: HostPathVolumeSource,
  { mounts, clock }: HostPathNeed,
  signal: AbortSignal,
): Promise<void> {
  await withDeadline(`Looking at hostPath "${source.path}"`, hostPathDeadlineMs, clock, signal, (inner) =>
    checkHostPath(source, (path) => mounts.modeOf(path, inner)),
  );
}

export class HostPathVolumes implements PersistentHands {
  readonly hasMountOptions = false;
  readonly #need: HostPathNeed;

  constructor(need: HostPathNeed) {
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

  devicePath(): undefined {
    return undefined;
  }

  async publish({ pv }: PodVolume, _: unknown, __: unknown, signal: AbortSignal): Promise<string> {
    const source = pv?.spec?.hostPath ?? { path: '' };
    await checkWithin(source, this.#need, signal);
    return source.path;
  }

  unpublish(): Promise<void> {
    return Promise.resolve();
  }

  findStaged(): Promise<NodeDevice[]> {
    return Promise.resolve([]);
  }

  findPublished(): Promise<Array<PodPlace & { uniqueName: string }>> {
    return Promise.resolve([]);
  }
}
