import { describe, expect, it } from 'vitest';
import { imageSizeRange } from './image-size-range.ts';
import { Counts } from './metrics.ts';

/** Samples as they are scraped, without the buckets of histograms. */
async function samples(counts: Counts): Promise<string[]> {
  const lines = (await counts.registry.metrics()).split('\n');
  return lines.filter((line) => line !== '' && !line.startsWith('#') && !line.includes('_bucket'));
}

async function buckets(counts: Counts, name: string): Promise<string[]> {
  const lines = (await counts.registry.metrics()).split('\n').filter((line) => line.startsWith(`${name}_bucket`));
  return lines.map((line) => /le="([^"]+)"/.exec(line)?.[1] ?? '');
}

describe('Counts', () => {
  it.each<{ name: string; act: (counts: Counts) => unknown; want: string[] }>([
    {
      name: 'calls of the runtime, by upstream’s names',
      act: (counts) => {
        counts.runtimeCalled('RunPodSandbox', 250, true);
        counts.runtimeCalled('UpdateContainerResources', 500, false);
        counts.runtimeCalled('ListContainers', 500, false);
        counts.runtimeCalled('ImageFsInfo', 500, false);
      },
      want: [
        'kubelet_runtime_operations_total{operation_type="run_podsandbox"} 1',
        'kubelet_runtime_operations_errors_total{operation_type="run_podsandbox"} 1',
        'kubelet_runtime_operations_duration_seconds_sum{operation_type="run_podsandbox"} 0.25',
        'kubelet_runtime_operations_total{operation_type="update_container"} 1',
        'kubelet_runtime_operations_total{operation_type="list_containers"} 1',
        'kubelet_runtime_operations_total{operation_type="image_fs_info"} 1',
      ],
    },
    {
      name: 'operations on volumes',
      act: (counts) => {
        const mount = { plugin: 'kubernetes.io/csi:a', operation: 'volume_mount' };
        counts.volumeOperation({ ...mount, durationMs: 250, hasFailed: false });
        counts.volumeOperation({ ...mount, durationMs: 500, hasFailed: true });
      },
      want: [
        'storage_operation_duration_seconds_sum{volume_plugin="kubernetes.io/csi:a",operation_name="volume_mount",status="success",migrated="false"} 0.25',
        'storage_operation_duration_seconds_count{volume_plugin="kubernetes.io/csi:a",operation_name="volume_mount",status="success",migrated="false"} 1',
        'storage_operation_duration_seconds_sum{volume_plugin="kubernetes.io/csi:a",operation_name="volume_mount",status="fail-unknown",migrated="false"} 0.5',
      ],
    },
    {
      name: 'sandboxes',
      act: (counts) => {
        counts.sandboxMade('kata', 1500, false);
        counts.sandboxMade('', 100, true);
        counts.podStarts(true);
        counts.podStarts(false);
        counts.podFailed(true);
      },
      want: [
        'kubelet_run_podsandbox_duration_seconds_sum{runtime_handler="kata"} 1.5',
        'kubelet_run_podsandbox_errors_total{runtime_handler=""} 1',
        'kubelet_started_pods_total 2',
        'kubelet_started_pods_errors_total 1',
        'kubelet_started_user_namespaced_pods_total 1',
        'kubelet_started_user_namespaced_pods_errors_total 1',
      ],
    },
    {
      name: 'containers, sidecars among the init containers',
      act: (counts) => {
        for (const kind of ['regular', 'init', 'sidecar', 'ephemeral'] as const) counts.containerStarts(kind);
        counts.containerFailed('sidecar', 'ErrImagePull');
        counts.containerEnded('regular', 137, 'OOMKilled');
      },
      want: [
        'kubelet_started_containers_total{container_type="container"} 1',
        'kubelet_started_containers_total{container_type="init_container"} 2',
        'kubelet_started_containers_total{container_type="ephemeral_container"} 1',
        'kubelet_started_containers_errors_total{container_type="init_container",code="ErrImagePull"} 1',
        'kubelet_terminated_containers_total{container_type="container",exit_code="137",reason="OOMKilled"} 1',
      ],
    },
    {
      name: 'pods that were not taken, by reasons that cannot become too many',
      act: (counts) => {
        for (const reason of ['OutOfcpu', 'OutOfephemeral-storage', 'OutOfexample.com/gpu', 'OutOfx', 'NodeAffinity'])
          counts.podRejected(reason);
        counts.podPreempted('cpu');
      },
      want: [
        'kubelet_admission_rejections_total{reason="OutOfcpu"} 1',
        'kubelet_admission_rejections_total{reason="OutOfephemeral-storage"} 1',
        'kubelet_admission_rejections_total{reason="OutOfExtendedResources"} 2',
        'kubelet_admission_rejections_total{reason="NodeAffinity"} 1',
        'kubelet_preemptions{preemption_signal="cpu"} 1',
      ],
    },
    {
      name: 'images',
      act: (counts) => {
        counts.imageWanted('IfNotPresent', true, false);
        counts.imageWanted('Always', undefined, true);
        counts.imageWanted('Never', false, undefined);
        counts.imagePulled(90_000, 200 * 1024 ** 2);
        counts.imageRemoved('space');
        counts.imagesMounted(0, false);
        counts.imagesMounted(2, false);
        counts.imagesMounted(1, true);
      },
      want: [
        'kubelet_image_manager_ensure_image_requests_total{pull_policy="ifnotpresent",present_locally="true",pull_required="false"} 1',
        'kubelet_image_manager_ensure_image_requests_total{pull_policy="always",present_locally="unknown",pull_required="true"} 1',
        'kubelet_image_manager_ensure_image_requests_total{pull_policy="never",present_locally="false",pull_required="unknown"} 1',
        'kubelet_image_pull_duration_seconds_sum{image_size_in_bytes="100MB-500MB"} 90',
        'kubelet_image_garbage_collected_total{reason="space"} 1',
        'kubelet_image_volume_requested_total 3',
        'kubelet_image_volume_mounted_succeed_total 2',
        'kubelet_image_volume_mounted_errors_total 1',
      ],
    },
    {
      name: 'resizes',
      act: (counts) => {
        counts.resizeWanted({ resource: 'cpu', requirement: 'limits', operation: 'increase' });
        counts.resized(120, true);
        counts.resizeRefused('swap_limitation');
        counts.resizeGrantedLate('pod_terminated');
      },
      want: [
        'kubelet_container_requested_resizes_total{resource="cpu",requirement="limits",operation="increase"} 1',
        'kubelet_pod_resize_duration_milliseconds_sum{success="true"} 120',
        'kubelet_pod_infeasible_resizes_total{reason_detail="swap_limitation"} 1',
        'kubelet_pod_deferred_accepted_resizes_total{retry_trigger="pod_terminated"} 1',
      ],
    },
    {
      name: 'requests, and those that have not ended',
      act: (counts) => {
        let nowMs = 0;
        const clock = { monotonicMs: () => nowMs };
        const pods = { method: 'GET', path: 'pods', server_type: 'readwrite', long_running: 'false' };
        const ended = counts.request(pods, clock);
        counts.request(pods, clock);
        nowMs = 250;
        ended();
      },
      want: [
        'kubelet_http_requests_total{method="GET",path="pods",server_type="readwrite",long_running="false"} 2',
        'kubelet_http_inflight_requests{method="GET",path="pods",server_type="readwrite",long_running="false"} 1',
        'kubelet_http_requests_duration_seconds_sum{method="GET",path="pods",server_type="readwrite",long_running="false"} 0.25',
      ],
    },
    {
      name: 'turns, also those that fail, starts and listings',
      act: async (counts) => {
        let nowMs = 0;
        const clock = { monotonicMs: () => nowMs };
        await counts.turn('create', clock, () => Promise.resolve((nowMs += 2000)));
        await counts.turn('kill', clock, () => Promise.reject(new Error((nowMs += 1000).toString()))).catch(() => {});
        counts.podRuns(4000);
        counts.relisted(20, undefined, 5000);
        counts.relisted(30, 1000, 6000);
        counts.firstTurn(3, 200);
        counts.firstTurn(1, undefined);
        counts.statusWritten(70);
      },
      want: [
        'kubelet_pod_worker_duration_seconds_sum{operation_type="create"} 2',
        'kubelet_pod_worker_duration_seconds_sum{operation_type="kill"} 1',
        'kubelet_pod_start_duration_seconds_sum 4',
        'kubelet_pleg_relist_duration_seconds_sum 0.05',
        'kubelet_pleg_relist_interval_seconds_count 1',
        'kubelet_pleg_last_seen_seconds 6',
        'kubelet_containers_per_pod_count_sum 4',
        'kubelet_pod_worker_start_duration_seconds_count 1',
        'kubelet_pod_status_sync_duration_seconds_sum 0.07',
      ],
    },
  ])('$name', async ({ act, want }) => {
    const counts = new Counts();
    await act(counts);
    expect(await samples(counts)).toEqual(expect.arrayContaining(want));
  });

  it.each([
    { name: 'kubelet_pod_start_duration_seconds', count: 26, first: '0.5', last: '3600' },
    { name: 'kubelet_containers_per_pod_count', count: 6, first: '1', last: '16' },
    { name: 'kubelet_pod_status_sync_duration_seconds', count: 12, first: '0.01', last: '60' },
    { name: 'kubelet_pleg_relist_duration_seconds', count: 12, first: '0.005', last: '10' },
    { name: 'kubelet_runtime_operations_duration_seconds', count: 15, first: '0.005', last: '745.0580596923828' },
    { name: 'kubelet_image_pull_duration_seconds', count: 19, first: '1', last: '3600' },
    { name: 'kubelet_pod_resize_duration_milliseconds', count: 15, first: '10', last: '600000' },
  ])('buckets of $name', async ({ name, count, first, last }) => {
    const counts = new Counts();
    counts.runtimeCalled('Version', 1, false);
    counts.imagePulled(1, 1);
    counts.resized(1, true);
    const found = await buckets(counts, name);
    expect([found.length, found[0], found.at(-2), found.at(-1)]).toEqual([count, first, last, '+Inf']);
  });
});

describe('imageSizeRange', () => {
  const mb = 1024 ** 2;
  it.each([
    [0, 'N/A'],
    [1, '0-10MB'],
    [10 * mb, '0-10MB'],
    [10 * mb + 1, '10MB-100MB'],
    [100 * mb + 1, '100MB-500MB'],
    [500 * mb + 1, '500MB-1GB'],
    [1024 * mb, '500MB-1GB'],
    [1024 * mb + 1, '1GB-5GB'],
    [5 * 1024 * mb + 1, '5GB-10GB'],
    [10 * 1024 * mb + 1, '10GB-20GB'],
    [20 * 1024 * mb + 1, '20GB-30GB'],
    [30 * 1024 * mb + 1, '30GB-40GB'],
    [40 * 1024 * mb + 1, '40GB-60GB'],
    [60 * 1024 * mb + 1, '60GB-100GB'],
    [100 * 1024 * mb + 1, 'GT100GB'],
  ])('%d bytes: %s', (sizeBytes, want) => expect(imageSizeRange(sizeBytes)).toBe(want));
});
