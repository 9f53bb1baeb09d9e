/** What earlier kubelets staged and published, read from what they left on disk. */
import { readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describeError, errnoOf } from '../../../base/errors.ts';
import type { Logger } from '../../../base/logger.ts';
import type { PublishedVolume, StagedVolume } from '../../volume-model.ts';
import { type CsiPaths, isDriverName } from './csi-paths.ts';
import { type VolumeData, readVolumeData } from './volume-data.ts';

export class VolumeFinder {
  readonly #paths: CsiPaths;
  readonly #log: Logger;

  constructor(paths: CsiPaths, log: Logger) {
    this.#paths = paths;
    this.#log = log;
  }

  async published(): Promise<PublishedVolume[]> {
    const found: PublishedVolume[] = [];
    for (const podUid of await namesIn(this.#paths.pods)) {
      for (const specName of await namesIn(this.#paths.podVolumes(podUid))) {
        const data = await this.#read(dirname(this.#paths.target(podUid, specName)));
        // what nobody knows the driver of can still be taken back when nothing is mounted there
        const { driverName: driver = '', volumeHandle: handle = '', volumeLifecycleMode } = data;
        const isInline = volumeLifecycleMode !== 'Persistent';
        found.push({ podUid, specName, driver, handle, isBlock: false, isInline });
      }
    }
    for (const { pvName, data } of await this.#blockData()) {
      const { driverName: driver, volumeHandle: handle } = data;
      if (driver === undefined || handle === undefined) continue;
      for (const podUid of await namesIn(this.#paths.blockTargets(pvName))) {
        found.push({ podUid, specName: pvName, driver, handle, isBlock: true, isInline: false });
      }
    }
    return found;
  }

  async staged(): Promise<StagedVolume[]> {
    const found: StagedVolume[] = [];
    for (const directory of await namesIn(this.#paths.plugin)) {
      if (directory === 'volumeDevices' || !isDriverName(directory)) continue;
      for (const hash of await namesIn(join(this.#paths.plugin, directory))) {
        const { driverName: driver, volumeHandle: handle } = await this.#read(
          join(this.#paths.plugin, directory, hash),
        );
        if (driver === undefined || handle === undefined) continue;
        const isOurs = dirname(this.#paths.staging(driver, handle)) === join(this.#paths.plugin, directory, hash);
        if (isOurs) found.push({ driver, handle, isBlock: false, pvName: undefined });
      }
    }
    for (const { pvName, data } of await this.#blockData()) {
      const { driverName: driver, volumeHandle: handle } = data;
      if (driver !== undefined && handle !== undefined) found.push({ driver, handle, isBlock: true, pvName });
    }
    return found;
  }

  async #blockData(): Promise<Array<{ pvName: string; data: VolumeData }>> {
    const names = (await namesIn(this.#paths.blockVolumes)).filter((name) => name !== 'staging' && name !== 'publish');
    return await Promise.all(
      names.map(async (pvName) => ({ pvName, data: await this.#read(this.#paths.blockData(pvName)) })),
    );
  }

  async #read(directory: string): Promise<VolumeData> {
    try {
      return (await readVolumeData(directory)) ?? {};
    } catch (err) {
      this.#log.warn({ directory, reason: describeError(err) }, 'cannot tell whose volume this is');
      return {};
    }
  }
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (err) {
    if (errnoOf(err) === 'ENOENT' || errnoOf(err) === 'ENOTDIR') return [];
    throw err;
  }
}
