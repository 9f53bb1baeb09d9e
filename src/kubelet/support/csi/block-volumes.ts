/** Volumes that pods have as block devices: staged once for the node, published to each pod as a device file. */
import { dirname } from 'node:path';
import { unlink } from 'node:fs/promises';
import { errnoOf } from '../../../base/errors.ts';
import type { Pod } from '../../../objects/generated/core-v1.ts';
import { uidOf } from '../../pod-model.ts';
import type { CsiVolume, PublishedVolume, StagedVolume } from '../../volume-model.ts';
import type { CsiContext } from './csi-context.ts';
import { CsiFailure, callFailure, earlyFailure, says, wordsOf } from './csi-failure.ts';
import { type CsiPaths, attachmentName } from './csi-paths.ts';
import { attributesOf, canStage, volumeCapability } from './csi-requests.ts';
import { isThere, makeDirectory, removeDirectory } from './target-directories.ts';
import { readVolumeData, removeVolumeData, writeVolumeData } from './volume-data.ts';

export class BlockVolumes {
  readonly #context: CsiContext;
  readonly #paths: CsiPaths;
  /** Devices that a driver has made, for all that this process knows. */
  readonly #inUse = new Set<string>();

  constructor(context: CsiContext, paths: CsiPaths) {
    this.#context = context;
    this.#paths = paths;
  }

  async stage(volume: CsiVolume, pod: Pod, signal: AbortSignal): Promise<void> {
    const { drivers, need } = this.#context;
    const { driver, handle, specName } = volume;
    const socket = drivers.socketOf(driver, 'blockMapper.SetUpDevice failed to get CSI client');
    const failed = says('blockMapper.stageVolumeForBlock failed to check STAGE_UNSTAGE_VOLUME capability: ');
    const capabilities = await this.#context.capabilities(socket, failed, signal);
    const noContext = says('blockMapper.SetUpDevice failed to get publish context: ');
    const publish_context = await this.#context.publishContext(volume, noContext, signal);
    const isStaged = canStage(capabilities);
    const secrets = isStaged ? await this.#context.secrets(volume, 'stage', pod, signal) : {};
    await this.#note(volume, pod);
    if (!isStaged) return;
    const target = this.#paths.blockStaging(specName);
    await this.#makeDirectory(target, 'blockMapper.stageVolumeForBlock');
    const request = {
      volume_id: handle,
      publish_context,
      staging_target_path: target,
      volume_capability: volumeCapability(volume, pod, capabilities, undefined),
      secrets,
      volume_context: attributesOf(volume),
    };
    await this.#carryOut(
      target,
      () => need.csi.stage(socket, request, signal),
      () => removeDirectory(target),
      signal,
    );
  }

  /** @returns the device */
  async publish(volume: CsiVolume, pod: Pod, signal: AbortSignal): Promise<string> {
    const { drivers, need } = this.#context;
    const { driver, handle, specName } = volume;
    const socket = drivers.socketOf(driver, 'blockMapper.MapPodDevice failed to get CSI client');
    const object = await this.#context.driverObject(driver, signal);
    const capabilities = await this.#context.capabilities(socket, says('blockMapper.MapPodDevice failed: '), signal);
    const noContext = says('blockMapper.MapPodDevice failed to get publish context: ');
    const publish_context = await this.#context.publishContext(volume, noContext, signal);
    const secrets = await this.#context.secrets(volume, 'publish', pod, signal);
    await this.#note(volume, pod);
    const target = this.#paths.blockTarget(specName, uidOf(pod));
    await this.#makeDirectory(dirname(target), 'blockMapper.publishVolumeForBlock');
    const request = {
      volume_id: handle,
      publish_context,
      staging_target_path: this.#paths.blockStaging(specName),
      target_path: target,
      volume_capability: volumeCapability(volume, pod, capabilities, undefined),
      readonly: volume.isReadOnly,
      secrets,
      volume_context: { ...attributesOf(volume), ...this.#context.podAttributes(volume, pod, object) },
    };
    await this.#carryOut(
      target,
      () => need.csi.publish(socket, request, signal),
      () => this.#removeTarget(target),
      signal,
    );
    return target;
  }

  async unpublish({ podUid, specName, driver, handle }: PublishedVolume, signal: AbortSignal): Promise<void> {
    const { drivers, need } = this.#context;
    const target = this.#paths.blockTarget(specName, podUid);
    const socket = drivers.socketOf(driver, 'blockMapper.TearDownDevice failed to get CSI client');
    const request = { volume_id: handle, target_path: target };
    const failed = says('blockMapper.unpublishVolumeForBlock failed: ');
    await this.#context.call(() => need.csi.unpublish(socket, request, signal), signal, failed);
    await this.#clean(target, () => this.#removeTarget(target), signal);
  }

  async unstage({ driver, handle, pvName = '' }: StagedVolume, signal: AbortSignal): Promise<void> {
    const { drivers, need } = this.#context;
    const data = this.#paths.blockData(pvName);
    if ((await readVolumeData(data).catch(() => ({}))) === undefined) return; // damaged, yet there
    const target = this.#paths.blockStaging(pvName);
    if (await isThere(target)) {
      const socket = drivers.socketOf(driver, 'blockMapper.TearDownDevice failed to get CSI client');
      const failed = says('blockMapper.TearDownDevice failed to check STAGE_UNSTAGE_VOLUME capability: ');
      const capabilities = await this.#context.capabilities(socket, failed, signal);
      if (canStage(capabilities)) {
        const request = { volume_id: handle, staging_target_path: target };
        const what = says('blockMapper.unstageVolumeForBlock failed: ');
        await this.#context.call(() => need.csi.unstage(socket, request, signal), signal, what);
      }
    }
    await this.#clean(
      target,
      async () => {
        await removeDirectory(target);
        await removeDirectory(this.#paths.blockTargets(pvName));
        await removeVolumeData(data);
        for (const path of [data, `${dirname(data)}/dev`, dirname(data)]) await removeDirectory(path);
      },
      signal,
    );
  }

  async #note({ driver, handle, specName }: CsiVolume, { spec }: Pod): Promise<void> {
    const { nodeName } = this.#context.need;
    const directory = this.#paths.blockData(specName);
    await this.#makeDirectory(directory, 'blockMapper.SetUpDevice');
    await writeVolumeData(directory, {
      attachmentID: attachmentName(handle, driver, nodeName),
      driverName: driver,
      nodeName: spec.nodeName ?? nodeName,
      specVolID: specName,
      volumeHandle: handle,
    });
  }

  async #makeDirectory(path: string, what: string): Promise<void> {
    try {
      await makeDirectory(path);
    } catch (err) {
      throw earlyFailure(says(`${what} failed to create dir ${JSON.stringify(path)}: ${wordsOf(err)}`));
    }
  }

  /** The driver takes its file away; one that it leaves is ours to remove, unless the device still shows there. */
  async #removeTarget(target: string): Promise<void> {
    await unlink(target).catch((err: unknown) => {
      if (errnoOf(err) !== 'ENOENT') throw err;
    });
  }

  async #carryOut(
    target: string,
    work: () => Promise<void>,
    undo: () => Promise<void>,
    signal: AbortSignal,
  ): Promise<void> {
    try {
      await work();
      this.#inUse.add(target);
    } catch (err) {
      signal.throwIfAborted();
      const failure = callFailure(err);
      if (this.#inUse.has(target)) throw new CsiFailure(failure.message, 'transient', failure.code);
      if (failure.outcome === 'final') {
        await this.#clean(target, undo, signal).catch((cause: unknown) => {
          this.#context.need.log.warn({ target, reason: wordsOf(cause) }, 'cannot clean up after a driver that failed');
        });
      }
      throw failure;
    }
  }

  async #clean(target: string, work: () => Promise<void>, signal: AbortSignal): Promise<void> {
    try {
      await work();
      this.#inUse.delete(target);
    } catch (err) {
      signal.throwIfAborted();
      throw callFailure(err, says(`failed to clean up ${target}: `));
    }
  }
}
