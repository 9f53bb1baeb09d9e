/** The page `/stats/summary`: what the node, its pods and their containers use, in the API's form. Pure. */
import type { CgroupMemory } from '../../../adapters/cgroups/cgroups.ts';
import type { ContainerStats__Output } from '../../../adapters/cri/generated/runtime/v1/ContainerStats.ts';
import type { UInt64Value__Output } from '../../../adapters/cri/generated/runtime/v1/UInt64Value.ts';
import type { DirectoryUsage } from '../../../adapters/disk-usage/disk-usage.ts';
import type { Filesystem } from '../../../adapters/host/host.ts';
import { rfc3339Seconds } from '../../../base/clock.ts';
import type { Pod } from '../../../objects/generated/core-v1.ts';
import type { VolumeFigures } from '../../volume-model.ts';
import { usedByPod } from './exceeded-storage.ts';
import type { PodStorageFigures } from './storage-figures.ts';

/** Of a control group; undefined parts are not known, and are left out. */
export interface GroupUse {
  cpuNs: number | undefined;
  memory: CgroupMemory | undefined;
}

export interface SummaryInput {
  nowMs: number;
  nodeName: string;
  bootedMs: number | undefined;
  node: GroupUse;
  /** The group of all pods. */
  pods: GroupUse;
  processes: { max: number; now: number } | undefined;
  nodeFilesystem: Filesystem | undefined;
  imageFilesystem: (Filesystem & { usedBytes: number; inodesUsed: number }) | undefined;
  logFilesystem: Filesystem | undefined;
  hasImageFilesystem: boolean;
  running: readonly RunningPod[];
}

export interface RunningPod {
  pod: Pod;
  /** When its sandbox was made. */
  startedMs: number;
  group: GroupUse;
  containers: ReadonlyArray<{ name: string; startedMs: number; stats: ContainerStats__Output }>;
  storage: PodStorageFigures | undefined;
}

export function statsSummary(input: SummaryInput, { onlyCpuAndMemory }: { onlyCpuAndMemory: boolean }): object {
  const { nowMs, nodeName, bootedMs, node, pods, nodeFilesystem, imageFilesystem, processes, running } = input;
  const time = rfc3339Seconds(nowMs);
  return {
    node: {
      nodeName,
      systemContainers: [{ name: 'pods', startTime: rfc3339Seconds(bootedMs ?? nowMs), ...groupUse(pods, time) }],
      ...(bootedMs === undefined ? {} : { startTime: rfc3339Seconds(bootedMs) }),
      ...groupUse(node, time),
      ...(onlyCpuAndMemory
        ? {}
        : {
            ...(nodeFilesystem === undefined
              ? {}
              : {
                  fs: space(time, nodeFilesystem, {
                    usedBytes: nodeFilesystem.capacityBytes - nodeFilesystem.availableBytes,
                    inodesUsed: nodeFilesystem.inodes - nodeFilesystem.inodesFree,
                  }),
                }),
            ...(imageFilesystem === undefined ? {} : { runtime: imageSpace(time, imageFilesystem) }),
            ...(processes === undefined ? {} : { rlimit: { time, maxpid: processes.max, curproc: processes.now } }),
          }),
    },
    pods: running.map((one) => podSummary(one, input, onlyCpuAndMemory)),
  };
}

function imageSpace(
  time: string,
  { usedBytes, inodesUsed, ...filesystem }: NonNullable<SummaryInput['imageFilesystem']>,
): object {
  const images = space(time, filesystem, { usedBytes, inodesUsed });
  return { imageFs: images, containerFs: images };
}

function podSummary(one: RunningPod, input: SummaryInput, onlyCpuAndMemory: boolean): object {
  const { pod, startedMs, group, containers, storage } = one;
  const { name, namespace = 'default', uid = '' } = pod.metadata;
  const time = rfc3339Seconds(input.nowMs);
  return {
    podRef: { name, namespace, uid },
    startTime: rfc3339Seconds(startedMs),
    containers: containers.map((container) => containerSummary(container, one, input, onlyCpuAndMemory)),
    ...groupUse(group, time),
    ...(onlyCpuAndMemory || storage === undefined
      ? {}
      : {
          ...(storage.volumes.length === 0 ? {} : { volume: volumes(pod, storage) }),
          'ephemeral-storage': space(time, input.nodeFilesystem, {
            usedBytes: usedByPod(storageUse(one, input.hasImageFilesystem)),
          }),
        }),
  };
}

/** What a pod uses of disks, as far as it is known. */
export function storageUse(
  { containers, storage }: Pick<RunningPod, 'containers' | 'storage'>,
  hasImageFilesystem: boolean,
): Parameters<typeof usedByPod>[0] {
  return {
    volumes: new Map(
      (storage?.volumes ?? []).map(({ name, isLocalEphemeral, figures }) => [
        name,
        { usedBytes: figures.usedBytes, isLocalEphemeral },
      ]),
    ),
    containers: new Map(
      containers.map(({ name, stats }) => [
        name,
        {
          logBytes: storage?.containerLogs.get(name)?.bytes,
          writableBytes: numberOf(stats.writable_layer?.used_bytes),
        },
      ]),
    ),
    podLogBytes: storage?.podLogs?.bytes,
    hostsFileBytes: storage?.hostsFile?.bytes,
    hasImageFilesystem,
  };
}

/** Those that count as the node's own disk first. */
function volumes(pod: Pod, { volumes: all }: PodStorageFigures): object[] {
  return [...all.filter(({ isLocalEphemeral }) => isLocalEphemeral), ...all.filter((one) => !one.isLocalEphemeral)].map(
    ({ name, claim, atMs, figures }) => ({
      ...volumeSpace(rfc3339Seconds(atMs), figures),
      name,
      ...(claim === undefined ? {} : { pvcRef: { name: claim, namespace: pod.metadata.namespace ?? 'default' } }),
    }),
  );
}

const volumeSpace = (time: string, figures: VolumeFigures): object =>
  known({
    time,
    availableBytes: figures.availableBytes,
    capacityBytes: figures.capacityBytes,
    usedBytes: figures.usedBytes,
    inodesFree: figures.inodesFree,
    inodes: figures.inodes,
    inodesUsed: figures.inodesUsed,
  });

function containerSummary(
  { name, startedMs, stats }: RunningPod['containers'][number],
  { storage }: RunningPod,
  { imageFilesystem, logFilesystem }: SummaryInput,
  onlyCpuAndMemory: boolean,
): object {
  const { cpu, memory, writable_layer: layer, swap } = stats;
  const logs: DirectoryUsage | undefined = storage?.containerLogs.get(name);
  return {
    name,
    startTime: rfc3339Seconds(startedMs),
    ...(cpu === null
      ? {}
      : {
          cpu: known({
            time: timeOf(cpu.timestamp),
            usageNanoCores: numberOf(cpu.usage_nano_cores),
            usageCoreNanoSeconds: numberOf(cpu.usage_core_nano_seconds),
          }),
        }),
    ...(memory === null
      ? {}
      : {
          memory: known({
            time: timeOf(memory.timestamp),
            availableBytes: numberOf(memory.available_bytes) || undefined, // 0 from a runtime stands for no limit
            usageBytes: numberOf(memory.usage_bytes),
            workingSetBytes: numberOf(memory.working_set_bytes),
            rssBytes: numberOf(memory.rss_bytes),
            pageFaults: numberOf(memory.page_faults),
            majorPageFaults: numberOf(memory.major_page_faults),
          }),
        }),
    ...(swap === null
      ? {}
      : {
          swap: known({
            time: timeOf(swap.timestamp),
            swapAvailableBytes: numberOf(swap.swap_available_bytes),
            swapUsageBytes: numberOf(swap.swap_usage_bytes),
          }),
        }),
    ...(onlyCpuAndMemory || layer === null
      ? {}
      : {
          rootfs: space(timeOf(layer.timestamp), imageFilesystem, {
            usedBytes: numberOf(layer.used_bytes),
            inodesUsed: numberOf(layer.inodes_used),
          }),
        }),
    ...(onlyCpuAndMemory || logs === undefined || storage === undefined
      ? {}
      : {
          logs: space(rfc3339Seconds(storage.atMs), logFilesystem, { usedBytes: logs.bytes, inodesUsed: logs.inodes }),
        }),
  };
}

function groupUse({ cpuNs, memory }: GroupUse, time: string): object {
  return {
    ...(cpuNs === undefined ? {} : { cpu: { time, usageCoreNanoSeconds: cpuNs } }),
    ...(memory === undefined
      ? {}
      : {
          memory: known({
            time,
            availableBytes:
              memory.limitBytes === undefined ? undefined : Math.max(0, memory.limitBytes - memory.workingSetBytes),
            usageBytes: memory.usageBytes,
            workingSetBytes: memory.workingSetBytes,
            rssBytes: memory.rssBytes,
          }),
        }),
  };
}

/** Room and size are those of the file system, use is that of the part. */
function space(
  time: string,
  filesystem: Filesystem | undefined,
  { usedBytes, inodesUsed }: { usedBytes: number | undefined; inodesUsed?: number | undefined },
): object {
  return known({
    time,
    availableBytes: filesystem?.availableBytes,
    capacityBytes: filesystem?.capacityBytes,
    usedBytes,
    inodesFree: filesystem?.inodesFree,
    inodes: filesystem?.inodes,
    inodesUsed,
  });
}

const known = (fields: Record<string, string | number | undefined>): object =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));

/** Numbers above 2^53 lose what nobody can see. */
export const numberOf = (value: UInt64Value__Output | null | undefined): number | undefined =>
  value === null || value === undefined ? undefined : Number(value.value);

const timeOf = (nanoseconds: string): string => rfc3339Seconds(Number(BigInt(nanoseconds) / 1_000_000n));
