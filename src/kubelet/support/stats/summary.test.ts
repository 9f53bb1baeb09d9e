import { describe, expect, it } from 'vitest';
import { testPod } from '../../../../test/fixtures/kubelet-pods.ts';
import type { ContainerStats__Output } from '../../../adapters/cri/generated/runtime/v1/ContainerStats.ts';
import { type SummaryInput, statsSummary } from './summary.ts';

const atMs = Date.UTC(2026, 0, 2, 3, 4, 5);
const time = '2026-01-02T03:04:05Z';
const filesystem = { capacityBytes: 1000, availableBytes: 600, inodes: 100, inodesFree: 70 };
const number = (value: number): { value: string } => ({ value: String(value) });
const stats: ContainerStats__Output = {
  attributes: null,
  cpu: {
    timestamp: `${atMs}000000`,
    usage_core_nano_seconds: number(5_000_000),
    usage_nano_cores: number(1000),
    psi: null,
  },
  memory: {
    timestamp: `${atMs}000000`,
    working_set_bytes: number(10),
    available_bytes: number(0),
    usage_bytes: number(12),
    rss_bytes: number(8),
    page_faults: number(3),
    major_page_faults: number(0),
    psi: null,
  },
  writable_layer: { timestamp: `${atMs}000000`, fs_id: null, used_bytes: number(40), inodes_used: number(4) },
  swap: null,
  io: null,
};
const volumeFigures = {
  capacityBytes: 1000,
  availableBytes: 600,
  usedBytes: 300,
  inodes: 100,
  inodesFree: 70,
  inodesUsed: 3,
};
const input: SummaryInput = {
  nowMs: atMs,
  nodeName: 'node-1',
  bootedMs: atMs - 3600_000,
  node: { cpuNs: 77, memory: { usageBytes: 500, workingSetBytes: 400, rssBytes: 300, limitBytes: 2000 } },
  pods: { cpuNs: 70, memory: { usageBytes: 50, workingSetBytes: 40, rssBytes: 30, limitBytes: 100 } },
  processes: { max: 32_768, now: 123 },
  nodeFilesystem: filesystem,
  imageFilesystem: { ...filesystem, usedBytes: 200, inodesUsed: 20 },
  logFilesystem: filesystem,
  hasImageFilesystem: false,
  running: [
    {
      pod: testPod(),
      startedMs: atMs - 60_000,
      group: { cpuNs: 6, memory: { usageBytes: 20, workingSetBytes: 15, rssBytes: 9, limitBytes: undefined } },
      containers: [{ name: 'web', startedMs: atMs - 30_000, stats }],
      storage: {
        atMs,
        volumes: [
          { name: 'data', claim: 'mine', isLocalEphemeral: false, atMs, figures: { ...volumeFigures, usedBytes: 900 } },
          { name: 'cache', claim: undefined, isLocalEphemeral: true, atMs, figures: volumeFigures },
        ],
        podLogs: { bytes: 30, inodes: 3 },
        containerLogs: new Map([['web', { bytes: 20, inodes: 2 }]]),
        hostsFile: { bytes: 1, inodes: 1 },
      },
    },
  ],
};
const space = { time, availableBytes: 600, capacityBytes: 1000, inodesFree: 70, inodes: 100 };
const cpu = { time, usageNanoCores: 1000, usageCoreNanoSeconds: 5_000_000 };
const memory = { time, usageBytes: 12, workingSetBytes: 10, rssBytes: 8, pageFaults: 3, majorPageFaults: 0 };

describe('statsSummary', () => {
  it('tells all of a node, its pods and their containers', () => {
    expect(statsSummary(input, { onlyCpuAndMemory: false })).toEqual({
      node: {
        nodeName: 'node-1',
        startTime: '2026-01-02T02:04:05Z',
        systemContainers: [
          {
            name: 'pods',
            startTime: '2026-01-02T02:04:05Z',
            cpu: { time, usageCoreNanoSeconds: 70 },
            memory: { time, availableBytes: 60, usageBytes: 50, workingSetBytes: 40, rssBytes: 30 },
          },
        ],
        cpu: { time, usageCoreNanoSeconds: 77 },
        memory: { time, availableBytes: 1600, usageBytes: 500, workingSetBytes: 400, rssBytes: 300 },
        fs: { ...space, usedBytes: 400, inodesUsed: 30 },
        runtime: {
          imageFs: { ...space, usedBytes: 200, inodesUsed: 20 },
          containerFs: { ...space, usedBytes: 200, inodesUsed: 20 },
        },
        rlimit: { time, maxpid: 32_768, curproc: 123 },
      },
      pods: [
        {
          podRef: { name: 'web', namespace: 'default', uid: 'uid-1' },
          startTime: '2026-01-02T03:03:05Z',
          cpu: { time, usageCoreNanoSeconds: 6 },
          memory: { time, usageBytes: 20, workingSetBytes: 15, rssBytes: 9 },
          containers: [
            {
              name: 'web',
              startTime: '2026-01-02T03:03:35Z',
              cpu,
              memory,
              rootfs: { ...space, usedBytes: 40, inodesUsed: 4 },
              logs: { ...space, usedBytes: 20, inodesUsed: 2 },
            },
          ],
          volume: [
            { ...space, name: 'cache', usedBytes: 300, inodesUsed: 3 },
            { ...space, name: 'data', usedBytes: 900, inodesUsed: 3, pvcRef: { name: 'mine', namespace: 'default' } },
          ],
          // what it has written, its logs, its emptyDir and its hosts file
          'ephemeral-storage': { ...space, usedBytes: 40 + 30 + 300 + 1 },
        },
      ],
    });
  });

  it('only_cpu_and_memory leaves out file systems, processes and volumes', () => {
    expect(statsSummary(input, { onlyCpuAndMemory: true })).toMatchObject({
      pods: [{ containers: [{ name: 'web', startTime: '2026-01-02T03:03:35Z', cpu, memory }] }],
    });
    const text = JSON.stringify(statsSummary(input, { onlyCpuAndMemory: true }));
    expect(text).not.toMatch(/"(fs|runtime|rlimit|rootfs|logs|volume|ephemeral-storage)":/);
  });

  it('leaves out what nobody knows, rather than telling zero', () => {
    const unknown = { cpuNs: undefined, memory: undefined };
    const [pod] = input.running;
    const summary = statsSummary(
      {
        ...input,
        bootedMs: undefined,
        node: unknown,
        pods: unknown,
        processes: undefined,
        nodeFilesystem: undefined,
        imageFilesystem: undefined,
        logFilesystem: undefined,
        running:
          pod === undefined
            ? []
            : [
                {
                  ...pod,
                  group: unknown,
                  storage: undefined,
                  containers: [
                    {
                      name: 'web',
                      startedMs: atMs,
                      stats: { ...stats, cpu: null, memory: null, writable_layer: null },
                    },
                  ],
                },
              ],
      },
      { onlyCpuAndMemory: false },
    );
    expect(summary).toEqual({
      node: { nodeName: 'node-1', systemContainers: [{ name: 'pods', startTime: time }] },
      pods: [
        {
          podRef: { name: 'web', namespace: 'default', uid: 'uid-1' },
          startTime: '2026-01-02T03:03:05Z',
          containers: [{ name: 'web', startTime: time }],
        },
      ],
    });
  });
});
