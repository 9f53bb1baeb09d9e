/**
 * Volumes with a file system: staged once for the node, published to each pod. Owns what of it this process has brought
 * to its end, so that a repeated call that fails takes nothing from a pod that runs.
 */
import { dirname } from 'node:path';
import type { Pod } from '../../../objects/generated/core-v1.ts';
import { uidOf } from '../../pod-model.ts';
import type { CsiVolume, PublishedVolume, StagedVolume } from '../../volume-model.ts';
import type { CsiContext } from './csi-context.ts';
import { CsiFailure, callFailure, earlyFailure, says, wordsOf } from './csi-failure.ts';
import { type CsiPaths, attachmentName } from './csi-paths.ts';
import { attributesOf, canStage, takesGroup, volumeCapability } from './csi-requests.ts';
import { givesToGroup, lifecycleOf, lifecycleProblem } from './driver-policies.ts';
import { giveToGroup } from './give-to-group.ts';
import { isThere, makeDirectory, removeTarget } from './target-directories.ts';
import { readVolumeData, writeVolumeData } from './volume-data.ts';

export class FileVolumes {
  readonly #context: CsiContext;
  readonly #paths: CsiPaths;
  /** Targets by what is known of them: once a call has succeeded, or was made by an earlier process, they are in use. */
  readonly #targets = new Map<string, 'tried' | 'in use'>();

  constructor(context: CsiContext, paths: CsiPaths) {
    this.#context = context;
    this.#paths = paths;
  }

  async stage(volume: CsiVolume, pod: Pod, signal: AbortSignal): Promise<void> {
    const { drivers, need } = this.#context;
    const { driver, handle } = volume;
    const socket = drivers.socketOf(driver, 'attacher.MountDevice failed to create newCsiDriverClient');
    const capabilities = await this.#context.capabilities(socket, '', signal);
    const object = await this.#context.driverObject(driver, signal);
    const publish_context = await this.#context.publishContext(volume, '', signal);
    const isStaged = canStage(capabilities);
    const secrets = isStaged ? await this.#context.secrets(volume, 'stage', pod, signal) : {};
    const label = this.#context.label(volume, pod, object);
    const target = this.#paths.staging(driver, handle);
    await this.#noteTarget(target);
    await this.#prepare(target, says(`attacher.MountDevice failed to create dir ${JSON.stringify(target)}: `), {
      driverName: driver,
      volumeHandle: handle,
      seLinuxMountContext: label,
    });
    if (!isStaged) return;
    const request = {
      volume_id: handle,
      publish_context,
      staging_target_path: target,
      volume_capability: volumeCapability(volume, pod, capabilities, label),
      secrets,
      volume_context: attributesOf(volume),
    };
    await this.#carryOut(target, () => need.csi.stage(socket, request, signal), signal);
  }

  async publish(volume: CsiVolume, pod: Pod, signal: AbortSignal): Promise<string> {
    const { drivers, need } = this.#context;
    const { driver, handle, specName } = volume;
    const socket = drivers.socketOf(driver, 'mounter.SetUpAt failed to get CSI client');
    const object = await this.#context.driverObject(driver, signal);
    const mode = lifecycleOf(volume);
    const problem = lifecycleProblem(driver, mode, object);
    if (problem !== undefined) {
      throw earlyFailure(says(`mounter.SetupAt failed to check volume lifecycle mode: ${problem}`));
    }
    const failed = says('mounter.SetUpAt failed to check for STAGE_UNSTAGE_VOLUME capability: ');
    const capabilities = await this.#context.capabilities(socket, failed, signal);
    const noContext = says('mounter.SetUpAt failed to fetch publishContext: ');
    const publish_context = await this.#context.publishContext(volume, noContext, signal);
    const secrets = await this.#context.secrets(volume, 'publish', pod, signal);
    const tokens = await this.#context.tokens(pod, object, signal);
    const areSecret = object?.spec.serviceAccountTokenInSecrets === true;
    const label = this.#context.label(volume, pod, object);
    const target = this.#paths.target(uidOf(pod), specName);
    await this.#noteTarget(target);
    const parent = dirname(target);
    await this.#prepare(parent, says(`mounter.SetUpAt failed to create dir ${JSON.stringify(parent)}: `), undefined);
    await writeVolumeData(parent, {
      attachmentID: attachmentName(handle, driver, need.nodeName),
      driverName: driver,
      nodeName: need.nodeName,
      specVolID: specName,
      volumeHandle: handle,
      volumeLifecycleMode: mode,
      seLinuxMountContext: label,
    });
    const request = {
      volume_id: handle,
      publish_context,
      ...(mode === 'Persistent' && canStage(capabilities)
        ? { staging_target_path: this.#paths.staging(driver, handle) }
        : {}),
      target_path: target,
      volume_capability: volumeCapability(volume, pod, capabilities, label),
      readonly: volume.isReadOnly,
      secrets: { ...secrets, ...(areSecret ? tokens : {}) },
      volume_context: {
        ...attributesOf(volume),
        ...this.#context.podAttributes(volume, pod, object),
        ...(areSecret ? {} : tokens),
      },
    };
    await this.#carryOut(target, () => need.csi.publish(socket, request, signal), signal);
    // each time: a driver that is told again may have put new files there
    if (!takesGroup(capabilities) && givesToGroup(volume, pod, object)) await this.#give(target, handle, pod, signal);
    return target;
  }

  async #give(target: string, handle: string, pod: Pod, signal: AbortSignal): Promise<void> {
    try {
      await giveToGroup(target, pod, this.#context.need, signal);
    } catch (err) {
      signal.throwIfAborted();
      throw new CsiFailure(`applyFSGroup failed for vol ${handle}: ${wordsOf(err)}`, 'uncertain');
    }
  }

  async unpublish({ podUid, specName, driver, handle }: PublishedVolume, signal: AbortSignal): Promise<void> {
    const { drivers, need } = this.#context;
    const target = this.#paths.target(podUid, specName);
    const isMounted = await need.mounts.isMountPoint(target, signal);
    const data = await readVolumeData(dirname(target)).catch(() => undefined); // damaged: the caller knows it, too
    if (data === undefined && !isMounted && !(await isThere(target))) return;
    const volumeId = data?.['volumeHandle'] ?? handle;
    const name = data?.['driverName'] ?? driver;
    if (name === '' && isMounted) throw earlyFailure(says(`nobody knows which driver has mounted ${target}`));
    if (name !== '') {
      const socket = drivers.socketOf(name, 'Unmounter.TearDownAt failed to get CSI client');
      const request = { volume_id: volumeId, target_path: target };
      const failed = says('Unmounter.TearDownAt failed: ');
      await this.#context.call(() => need.csi.unpublish(socket, request, signal), signal, failed);
    }
    await this.#clean(target, says(`Unmounter.TearDownAt failed to clean mount dir [${target}]: `), signal);
  }

  async unstage({ driver, handle }: StagedVolume, signal: AbortSignal): Promise<void> {
    const { drivers, need } = this.#context;
    const target = this.#paths.staging(driver, handle);
    const data = await readVolumeData(dirname(target));
    if (data === undefined) return;
    const socket = drivers.socketOf(driver, 'attacher.UnmountDevice failed to create newCsiDriverClient');
    const failed = says('attacher.UnmountDevice failed to check whether STAGE_UNSTAGE_VOLUME is set: ');
    const capabilities = await this.#context.capabilities(socket, failed, signal);
    if (canStage(capabilities)) {
      const request = { volume_id: data['volumeHandle'] ?? handle, staging_target_path: target };
      await this.#context.call(() => need.csi.unstage(socket, request, signal), signal);
    }
    await this.#clean(target, says(`failed to clean up global mount ${target}: `), signal);
  }

  async #clean(target: string, what: string, signal: AbortSignal): Promise<void> {
    try {
      await removeTarget(target, this.#context.need.mounts, signal);
      this.#targets.delete(target);
    } catch (err) {
      signal.throwIfAborted();
      throw callFailure(err, what);
    }
  }

  /** What an earlier process has left may be in use. */
  async #noteTarget(target: string): Promise<void> {
    if (this.#targets.has(target)) return;
    const data = await readVolumeData(dirname(target)).catch(() => ({})); // damaged, yet there
    this.#targets.set(target, data === undefined ? 'tried' : 'in use');
  }

  async #prepare(directory: string, what: string, data: Record<string, string | undefined> | undefined): Promise<void> {
    try {
      await makeDirectory(directory);
      if (data !== undefined) await writeVolumeData(dirname(directory), data);
    } catch (err) {
      throw earlyFailure(`${what}${wordsOf(err)}`);
    }
  }

  /** One call to the driver. What did not come to be leaves no directories; what pods have already stays as it is. */
  async #carryOut(target: string, work: () => Promise<void>, signal: AbortSignal): Promise<void> {
    try {
      await work();
      this.#targets.set(target, 'in use');
    } catch (err) {
      signal.throwIfAborted();
      const failure = callFailure(err);
      if (this.#targets.get(target) === 'in use') throw new CsiFailure(failure.message, 'transient', failure.code);
      if (failure.outcome === 'final') {
        await this.#clean(target, '', signal).catch((cause: unknown) => {
          this.#context.need.log.warn({ target, reason: wordsOf(cause) }, 'cannot clean up after a driver that failed');
        });
      }
      throw failure;
    }
  }
}
