/** What a kubelet says of itself when somebody scrapes it: the series that dashboards and alerts ask for. */
import { request } from 'node:https';
import { createServer } from 'node:net';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type KubeletFixture, apiPod, nodeName, openFixture, webContainer } from './kubelet-fixture.ts';

let t: KubeletFixture;
let port: number;

beforeEach(async () => {
  port = await freePort();
  t = await openFixture({
    config: {
      enableServer: true,
      address: '127.0.0.1',
      port,
      authentication: { anonymous: { enabled: true }, webhook: { enabled: false } },
      authorization: { mode: 'AlwaysAllow' },
    },
  });
});
afterEach(async () => {
  await t.close();
});

function freePort(): Promise<number> {
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

function scrape(path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = request({ host: '127.0.0.1', port, path, rejectUnauthorized: false, agent: false }, (answer) => {
      const pieces: Buffer[] = [];
      answer.on('data', (piece: Buffer) => pieces.push(piece));
      answer.once('error', reject);
      answer.once('end', () => resolve(Buffer.concat(pieces).toString()));
    });
    asked.once('error', reject);
    asked.end();
  });
}

/** Name and labels → value. */
async function samplesOf(path: string): Promise<Map<string, number>> {
  const lines = (await scrape(path)).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]),
  );
}

it('counts what it did, and tells how things are', async () => {
  t.cri.images.remove('web:1');
  t.cri.images.publish('web:1', { sizeBytes: 20 * 1024 ** 2 });
  await t.start();
  const readinessProbe = { exec: { command: ['ready'] }, periodSeconds: 1 };
  t.api.addPod(
    apiPod('good', {
      initContainers: [webContainer({ name: 'side', restartPolicy: 'Always' })],
      containers: [webContainer({ readinessProbe, imagePullPolicy: 'Always' })],
    }),
    nodeName,
  );
  t.api.addPod(apiPod('bad', { containers: [webContainer({ image: 'nowhere:1' })] }), nodeName);
  t.api.addPod(apiPod('huge', { containers: [webContainer({ resources: { requests: { cpu: '99999' } } })] }), nodeName);
  await t.writeManifest('fixed.json', { ...apiPod('fixed'), metadata: { name: 'fixed' } });
  await t.untilReady('good');
  await t.untilReady(`fixed-${nodeName}`);
  await t.until('the pull to fail', () => t.container('bad', 'web')?.state?.waiting?.reason === 'ErrImagePull');
  await t.until('the refusal', () => t.api.pod('huge')?.status?.phase === 'Failed');

  t.cri.exitContainer({ pod: 'good', name: 'web' }, 137);
  await t.until('the end to be told', () => t.container('good', 'web')?.restartCount === 1);

  await scrape('/pods');
  await scrape('/nothing-of-ours');
  const samples = await samplesOf('/metrics');
  expect(Object.fromEntries(samples)).toMatchObject({
    [`kubelet_node_name{node="${nodeName}"}`]: 1,
    kubelet_cgroup_version: 2,
    'kubernetes_build_info{major="1",minor="36",git_version="v1.36.0"}': 1,
    kubelet_running_pods: 3,
    'kubelet_running_containers{container_state="running"}': 3,
    'kubelet_desired_pods{static=""}': 3,
    'kubelet_desired_pods{static="true"}': 1,
    'kubelet_active_pods{static=""}': 2,
    'kubelet_active_pods{static="true"}': 1,
    kubelet_mirror_pods: 1,
    'kubelet_http_requests_total{method="GET",path="pods",server_type="readwrite",long_running="false"}': 1,
    'kubelet_http_requests_total{method="GET",path="other",server_type="readwrite",long_running="false"}': 1,
    'kubelet_http_inflight_requests{method="GET",path="pods",server_type="readwrite",long_running="false"}': 0,
    'kubelet_http_inflight_requests{method="GET",path="metrics",server_type="readwrite",long_running="false"}': 1,
    'kubelet_working_pods{lifecycle="sync",config="desired",static=""}': 2,
    'kubelet_working_pods{lifecycle="sync",config="desired",static="true"}': 1,
    'kubelet_working_pods{lifecycle="terminated",config="orphan",static="true"}': 0,
    'kubelet_working_pods{lifecycle="sync",config="runtime_only",static="unknown"}': 0,
    kubelet_managed_ephemeral_containers: 0,
    'kubelet_pod_pending_resizes{reason="deferred"}': 0,
    kubelet_pod_in_progress_resizes: 0,
    kubelet_containers_per_pod_count_count: 3,
    kubelet_started_pods_total: 3,
    kubelet_started_pods_errors_total: 0,
    'kubelet_started_containers_total{container_type="init_container"}': 1,
    'kubelet_run_podsandbox_duration_seconds_count{runtime_handler=""}': 3,
    'kubelet_admission_rejections_total{reason="OutOfcpu"}': 1,
    kubelet_pod_start_duration_seconds_count: 2,
    'kubelet_pod_worker_duration_seconds_count{operation_type="create"}': 3,
    'kubelet_runtime_operations_total{operation_type="run_podsandbox"}': 3,
    'kubelet_runtime_operations_duration_seconds_count{operation_type="create_container"}': 4,
    'kubelet_terminated_containers_total{container_type="container",exit_code="137",reason="Error"}': 1,
    'kubelet_image_manager_ensure_image_requests_total{pull_policy="always",present_locally="unknown",pull_required="true"}': 2,
  });
  const positive = [
    'kubelet_started_containers_errors_total{container_type="container",code="ErrImagePull"}',
    'kubelet_runtime_operations_errors_total{operation_type="pull_image"}',
    'kubelet_runtime_operations_total{operation_type="list_containers"}',
    'kubelet_pleg_relist_duration_seconds_count',
    'kubelet_pleg_last_seen_seconds',
    'kubelet_pod_status_sync_duration_seconds_count',
    'kubelet_pod_worker_start_duration_seconds_count',
    'kubelet_image_pull_duration_seconds_count{image_size_in_bytes="10MB-100MB"}',
    'process_start_time_seconds',
    'process_resident_memory_bytes',
  ];
  expect(positive.filter((name) => !((samples.get(name) ?? 0) > 0))).toEqual([]);

  const uid = t.api.pod('good')?.metadata.uid;
  expect([...(await samplesOf('/metrics/probes')).keys()]).toContain(
    `prober_probe_total{probe_type="Readiness",container="web",pod="good",namespace="default",result="successful",pod_uid="${uid}"}`,
  );
});
