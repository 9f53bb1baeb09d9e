/** Plugs together what the node, its pods and their containers use: figures from their places, limits that are told. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ContainerStats__Output } from '../adapters/cri/generated/runtime/v1/ContainerStats.ts';
import { DiskUsage } from '../adapters/disk-usage/disk-usage.ts';
import { VolumeSpaces } from '../adapters/disk-usage/volume-space.ts';
import type { Filesystem } from '../adapters/host/host.ts';
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import type { Pod } from '../objects/generated/core-v1.ts';
import type { KubeletConfig } from './config.ts';
import { podLogDirectory } from './execute/pod-names.ts';
import type { Machine } from './kubelet-machine.ts';
import { type ObservedPod, podKey, readySandbox, uidOf } from './pod-model.ts';
import { exceededStorage } from './support/stats/exceeded-storage.ts';
import { PodStorage } from './support/stats/pod-storage.ts';
import type { PodOnDisk } from './support/stats/storage-figures.ts';
import { type GroupUse, type RunningPod, statsSummary, storageUse } from './support/stats/summary.ts';
import { usedVolumes, volumeKind } from './support/volumes/volume-kinds.ts';
import type { MountedVolume } from './support/volumes/volumes.ts';
import type { VolumeFigures } from './volume-model.ts';

interface KubeletStatsNeed {
  config: KubeletConfig;
  machine: Pick<Machine, 'cgroups' | 'cri' | 'facts' | 'host'>;
  podCgroups: { topPath: string; parentFor(pod: Pod): string };
  pods(): readonly Pod[];
  mountedVolumes(uid: string): ReadonlyMap<string, MountedVolume>;
  observed(uid: string): ObservedPod | undefined;
  clock: Clock;
  log: Logger;
}

/** Who wants to see figures waits so long for the first ones of a pod. */
const firstFiguresMs = 2000;

export interface ClaimFigures {
  namespace: string;
  claim: string;
  figures: VolumeFigures;
}

export class KubeletStats {
  readonly storage: PodStorage;
  readonly #need: KubeletStatsNeed;
  /** Pods over a limit, with the limit: told once. */
  readonly #told = new Map<string, string>();
  /** Does not change while we run. */
  #imagesAreApart: boolean | undefined;

  constructor(need: KubeletStatsNeed) {
    this.#need = need;
    const { config, machine, clock, log } = need;
    const disk = new DiskUsage({ clock });
    const spaces = new VolumeSpaces();
    this.storage = new PodStorage({
      pods: () => this.#podsOnDisk(),
      walk: (paths, signal) => disk.measure(paths, signal),
      filesystem: (path) => machine.host.filesystem(path),
      askVolume: async (pod, volume, signal) => {
        const { space, hostPath = '' } = need.mountedVolumes(uidOf(pod)).get(volume) ?? {};
        return await (space === 'file system' ? spaces.at(hostPath, signal) : space?.(signal));
      },
      onMeasured: (pods, signal) => this.#checkLimits(pods, signal),
      periodMs: config.volumeStatsAggPeriodMs,
      random: Math.random,
      clock,
      log,
    });
  }

  run(signal: AbortSignal): Promise<void> {
    return this.storage.run(signal);
  }

  note(pod: Pod): void {
    if (this.#need.config.localStorageCapacityIsolation) this.storage.note(pod);
  }

  forget(uid: string): void {
    this.storage.forget(uid);
    this.#told.delete(uid);
  }

  /** Volumes of claims in use, with their newest figures. */
  async claims(signal: AbortSignal): Promise<ClaimFigures[]> {
    await this.storage.ask('claims', firstFiguresMs, signal);
    return this.#need
      .pods()
      .flatMap((pod) =>
        (this.storage.get(uidOf(pod))?.volumes ?? []).flatMap(({ claim, figures }) =>
          claim === undefined ? [] : [{ namespace: pod.metadata.namespace ?? 'default', claim, figures }],
        ),
      );
  }

  /** How many volumes of each kind pods want, and how many are mounted. */
  volumeCounts(): Array<{ plugin: string; state: string; count: number }> {
    const counts = new Map<string, number>();
    for (const pod of this.#need.pods()) {
      const mounted = this.#need.mountedVolumes(uidOf(pod));
      for (const volume of usedVolumes(pod)) {
        const kind = volumeKind(volume);
        const plugin = mounted.get(volume.name)?.plugin ?? (kind === undefined ? undefined : `kubernetes.io/${kind}`);
        if (plugin === undefined) continue; // what a claim stands for is not known before it is mounted
        for (const state of ['desired', ...(mounted.has(volume.name) ? ['actual'] : [])]) {
          const key = `${plugin} ${state}_state_of_world`;
          counts.set(key, (counts.get(key) ?? 0) + 1);
        }
      }
    }
    return [...counts].map(([key, count]) => {
      const [plugin = '', state = ''] = key.split(' ');
      return { plugin, state, count };
    });
  }

  async summary(onlyCpuAndMemory: boolean, signal: AbortSignal): Promise<object> {
    const { machine, clock, config, podCgroups } = this.#need;
    if (!onlyCpuAndMemory) await this.storage.ask('all', firstFiguresMs, signal);
    const [node, pods, stats, nodeFilesystem, logFilesystem, imageFilesystem, tasks] = await Promise.all([
      this.#rootUse(),
      this.#groupUse(podCgroups.topPath),
      failure('container stats', machine.cri.containerStats(undefined, signal)),
      failure('rootfs stats', machine.host.filesystem(config.rootDir)),
      machine.host.filesystem(config.podLogsDir).catch(() => undefined), // no pod has written a log yet
      onlyCpuAndMemory ? undefined : failure('imageFs stats', this.#imageFilesystem(signal)),
      machine.host.taskCount(),
    ]);
    const running = await Promise.all(
      this.#running(stats).map(async (one) => ({ ...one, group: await this.#groupUse(podCgroups.parentFor(one.pod)) })),
    );
    const input = {
      nowMs: clock.nowMs(),
      nodeName: config.nodeName,
      bootedMs: await machine.host.bootedMs(),
      node,
      pods,
      processes: tasks === undefined ? undefined : { max: machine.facts.pidMax, now: tasks },
      nodeFilesystem,
      logFilesystem,
      imageFilesystem,
      hasImageFilesystem: !onlyCpuAndMemory && (await this.#hasImageFilesystem(signal)),
      running,
    };
    return statsSummary(input, { onlyCpuAndMemory });
  }

  #podsOnDisk(): PodOnDisk[] {
    const { pods, mountedVolumes, observed, config } = this.#need;
    return pods()
      .filter((pod) => (observed(uidOf(pod))?.sandboxes.length ?? 0) > 0)
      .map((pod) => ({
        pod,
        volumes: mountedVolumes(uidOf(pod)),
        logDirectory: podLogDirectory(config.podLogsDir, pod),
        hostsFile: join(config.rootDir, 'pods', uidOf(pod), 'etc-hosts'),
      }));
  }

  /** Pods with a sandbox that is ready, and what the runtime tells of their running containers. */
  #running(stats: readonly ContainerStats__Output[]): Array<Omit<RunningPod, 'group'>> {
    const byId = new Map(stats.map((one) => [one.attributes?.id ?? '', one]));
    return this.#need.pods().flatMap((pod) => {
      const observed = this.#need.observed(uidOf(pod));
      const sandbox = readySandbox(observed);
      if (observed === undefined || sandbox === undefined) return [];
      const containers = observed.containers.flatMap(({ id, name, state, createdAtNs }) => {
        const found = byId.get(id);
        return state !== 'running' || found === undefined
          ? []
          : [{ name, startedMs: Number(createdAtNs / 1_000_000n), stats: found }];
      });
      const startedMs = Number(sandbox.createdAtNs / 1_000_000n);
      return [{ pod, startedMs, containers, storage: this.storage.get(uidOf(pod)) }];
    });
  }

  /** Says once of each pod that it uses more than it may. Nobody ends it for that yet. */
  async #checkLimits(pods: readonly Pod[], signal: AbortSignal): Promise<void> {
    const { machine, log } = this.#need;
    const wanted = new Set(pods.map(uidOf));
    for (const one of this.#running(await machine.cri.containerStats(undefined, signal))) {
      const uid = uidOf(one.pod);
      if (!wanted.has(uid)) continue;
      const exceeded = exceededStorage(one.pod, storageUse(one, await this.#hasImageFilesystem(signal)));
      if (exceeded === undefined) this.#told.delete(uid);
      else if (this.#told.get(uid) !== exceeded.message) {
        this.#told.set(uid, exceeded.message);
        const reason = exceeded.message.trim();
        log.warn({ pod: podKey(one.pod), uid, reason }, 'a pod uses more of the disk than it may, and goes on');
      }
    }
  }

  /** Whether images, and what containers write, lie on another file system than the volumes. */
  async #hasImageFilesystem(signal: AbortSignal): Promise<boolean> {
    if (this.#imagesAreApart === undefined) {
      const [images] = await this.#need.machine.cri.imageFilesystems(signal);
      if (images === undefined) return false;
      const [one, other] = await Promise.all([stat(images.mountpoint), stat(this.#need.config.rootDir)]);
      this.#imagesAreApart = one.dev !== other.dev;
    }
    return this.#imagesAreApart;
  }

  async #groupUse(path: string): Promise<GroupUse> {
    const { cgroups } = this.#need.machine;
    const [cpuNs, memory] = await Promise.all([cgroups.cpuUsageNs(path), cgroups.memory(path)]);
    return { cpuNs, memory };
  }

  async #rootUse(): Promise<GroupUse> {
    const { cgroups, facts } = this.#need.machine;
    const [cpuNs, memory] = await Promise.all([cgroups.cpuUsageNs('/'), cgroups.rootMemory(facts.memoryBytes)]);
    return { cpuNs, memory };
  }

  async #imageFilesystem(signal: AbortSignal): Promise<Filesystem & { usedBytes: number; inodesUsed: number }> {
    const { cri, host } = this.#need.machine;
    const [images] = await cri.imageFilesystems(signal);
    if (images === undefined) throw new Error('the runtime names no file system of images');
    const space = await host.filesystem(images.mountpoint);
    return { ...space, usedBytes: images.usedBytes, inodesUsed: images.inodesUsed };
  }
}

async function failure<T>(what: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (cause) {
    throw new Error(`failed to get ${what}`, { cause });
  }
}
