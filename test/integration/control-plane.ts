/** A control plane for tests: our API server on its in-memory store, with clients, scheduler and controllers on demand. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { vi } from 'vitest';
import { startApiServer } from '../../src/apiserver/apiserver.ts';
import { MemoryStorage } from '../../src/apiserver/storage/memory-storage.ts';
import { rfc3339Micros, rfc3339Seconds, systemClock } from '../../src/base/clock.ts';
import { isNotFound } from '../../src/base/errors.ts';
import { type Logger, createLogger, silentLogger } from '../../src/base/logger.ts';
import { runTogether } from '../../src/base/run-together.ts';
import { createPki, users } from '../../src/bootstrap/pki.ts';
import { writeKubeconfig } from '../../src/bootstrap/kubeconfig-file.ts';
import type { KubeObject, ObjectRef, ResourceType } from '../../src/client/api-client.ts';
import { EventRecorder } from '../../src/client/event-recorder.ts';
import { HttpApiClient } from '../../src/client/http-api-client.ts';
import { loadKubeconfig } from '../../src/client/kubeconfig.ts';
import {
  csiDrivers,
  csiNodes,
  csiStorageCapacities,
  leases,
  namespaces,
  nodes,
  persistentVolumeClaims,
  persistentVolumes,
  pods,
  serviceAccounts,
  storageClasses,
  volumeAttachments,
} from '../../src/client/resource-types.ts';
import { SharedInformers } from '../../src/client/shared-informers.ts';
import { ControllerManager, type ControllerManagerOptions } from '../../src/controllers/controller-manager.ts';
import { setCondition } from '../../src/objects/conditions.ts';
import type { Node, Pod } from '../../src/objects/generated/core-v1.ts';
import { Scheduler } from '../../src/scheduler/scheduler.ts';

export interface ControlPlane {
  client: HttpApiClient;
  signal: AbortSignal;
  caPem: string;
  kubeconfig: string;
  startScheduler: () => void;
  startControllers: (options?: Partial<ControllerManagerOptions>) => void;
  stop: () => Promise<void>;
}

const log: Logger =
  process.env['GANTRY_TEST_LOG'] === undefined ? silentLogger : createLogger({ name: 'test', verbosity: 4 });

export async function startControlPlane(): Promise<ControlPlane> {
  const directory = await mkdtemp(join(tmpdir(), 'gantry-control-plane-'));
  const pki = await createPki({
    dir: join(directory, 'pki'),
    apiServerNames: ['localhost'],
    apiServerIps: ['127.0.0.1', '10.96.0.1'],
    nowMs: Date.now(),
  });
  const { files } = pki;
  const servers = new AbortController();
  const server = await startApiServer(
    {
      storage: new MemoryStorage(),
      etcdPrefix: '/registry',
      bindAddress: '127.0.0.1',
      securePort: 0,
      advertiseAddress: '127.0.0.1',
      tlsCertFile: files.apiserverCert,
      tlsPrivateKeyFile: files.apiserverKey,
      clientCaFile: files.caCert,
      serviceAccountKeyFiles: [files.serviceAccountPublicKey],
      serviceAccountSigningKeyFile: files.serviceAccountKey,
      serviceAccountIssuers: ['https://kubernetes.default.svc.cluster.local'],
      apiAudiences: [],
      serviceClusterIpRange: '10.96.0.0/16',
      serviceNodePortRange: { first: 30_000, last: 32_767 },
      kubeletClientCertificate: undefined,
      kubeletClientKey: undefined,
      kubeletCertificateAuthority: undefined,
      clock: systemClock,
      log,
    },
    servers.signal,
  );
  const kubeconfigOf = async (user: { name: string; groups?: readonly string[] }): Promise<string> => {
    const path = join(directory, `${user.name.replaceAll(':', '-')}.conf`);
    const credentials = await pki.issueClient(user);
    await writeKubeconfig(path, {
      clusterName: 'test',
      server: server.url,
      caPem: pki.caPem,
      userName: user.name,
      credentials,
    });
    return path;
  };
  const clients: HttpApiClient[] = [];
  const clientOf = async (kubeconfig: string, name: string): Promise<HttpApiClient> => {
    const access = await loadKubeconfig(kubeconfig);
    const client = new HttpApiClient({ access, clock: systemClock, userAgentName: name });
    clients.push(client);
    return client;
  };
  const kubeconfig = await kubeconfigOf(users.admin);
  const client = await clientOf(kubeconfig, 'test');
  const schedulerClient = await clientOf(await kubeconfigOf(users.scheduler), 'kube-scheduler');
  const managerClient = await clientOf(await kubeconfigOf(users.controllerManager), 'kube-controller-manager');
  const components = new AbortController();
  // pods need it; where the controllers run, they make it too
  const account = { metadata: { name: 'default', namespace: 'default' } };
  await client.create(serviceAccounts, account, components.signal);
  const running: Array<Promise<void>> = [];

  return {
    client,
    signal: components.signal,
    caPem: pki.caPem,
    kubeconfig,
    startScheduler: () => {
      const clock = systemClock;
      const informers = new SharedInformers({ client: schedulerClient, clock, log });
      const events = new EventRecorder({ client: schedulerClient, component: 'default-scheduler', clock, log });
      const scheduler = new Scheduler({
        pods: informers.of(pods),
        nodes: informers.of(nodes),
        namespaces: informers.of(namespaces),
        storage: {
          claims: informers.of(persistentVolumeClaims),
          volumes: informers.of(persistentVolumes),
          classes: informers.of(storageClasses),
          csiNodes: informers.of(csiNodes),
          csiDrivers: informers.of(csiDrivers),
          capacities: informers.of(csiStorageCapacities),
          attachments: informers.of(volumeAttachments),
        },
        client: schedulerClient,
        events,
        clock,
        log,
        schedulerName: 'default-scheduler',
      });
      running.push(
        runTogether(components.signal, [
          (inner) => informers.run(inner),
          (inner) => events.run(inner),
          (inner) => scheduler.run(inner),
        ]),
      );
    },
    startControllers: (options = {}) => {
      const manager = new ControllerManager(
        managerClient,
        {
          controllers: ['*'],
          nodeLifecycle: { periodMs: 100, monitorMs: 50_000, startupMs: 60_000 },
          nodeIpam: undefined,
          rootCaPem: undefined,
          terminatedPodThreshold: 0,
          namespaceSettleMs: 50,
          ...options,
        },
        systemClock,
        log,
      );
      running.push(manager.run(components.signal));
    },
    stop: async () => {
      components.abort();
      await Promise.all(running);
      for (const each of clients) each.close();
      servers.abort();
      await server.done;
      await rm(directory, { recursive: true });
    },
  };
}

/** A node as a kubelet registers it, ready. */
export async function createNode(
  { client, signal }: ControlPlane,
  name: string,
  allocatable: Record<string, string> = { cpu: '4', memory: '8Gi', pods: '110', 'ephemeral-storage': '10Gi' },
): Promise<Node> {
  const created = await client.create(
    nodes,
    { metadata: { name, labels: { 'kubernetes.io/hostname': name } }, spec: {} },
    signal,
  );
  const now = rfc3339Seconds(Date.now());
  const ready = {
    type: 'Ready',
    status: 'True',
    reason: 'KubeletReady',
    lastHeartbeatTime: now,
    lastTransitionTime: now,
  };
  await client.updateStatus(
    nodes,
    { ...created, status: { capacity: allocatable, allocatable, conditions: [ready] } },
    signal,
  );
  // the API server marks a new node as not ready; where the controllers run, they take the taint off
  return client.patch(nodes, { name }, 'merge', { spec: { taints: null } }, signal);
}

/** Renews the node's lease, as a kubelet does. */
export async function renewLease({ client, signal }: ControlPlane, name: string): Promise<void> {
  const spec = { holderIdentity: name, leaseDurationSeconds: 40, renewTime: rfc3339Micros(Date.now()) };
  const metadata = { name, namespace: 'kube-node-lease' };
  try {
    const lease = await client.get(leases, metadata, signal);
    await client.update(leases, { ...lease, spec }, signal);
  } catch (err) {
    if (!isNotFound(err)) throw err;
    await client.create(leases, { metadata, spec }, signal);
  }
}

/** What a kubelet would report of a pod that runs. */
export async function reportPod(
  { client, signal }: ControlPlane,
  pod: Pod,
  { ready, ip }: { ready: boolean; ip: string },
): Promise<void> {
  const status = ready ? 'True' : 'False';
  const conditions = setCondition(pod.status?.conditions, { type: 'Ready', status }, rfc3339Seconds(Date.now()));
  const body = { status: { phase: 'Running', podIP: ip, podIPs: [{ ip }], conditions } };
  const { namespace, name } = pod.metadata;
  await client.patch(pods, { namespace, name, subresource: 'status' }, 'strategic', body, signal);
}

/** Ends what a kubelet would end: pods that are being deleted and have a node. */
export async function finishDeletedPods({ client, signal }: ControlPlane): Promise<void> {
  const { items } = await client.list(pods, {}, signal);
  for (const { metadata } of items) {
    if (metadata.deletionTimestamp === undefined) continue;
    await client
      .delete(pods, metadata, { gracePeriodSeconds: 0, preconditions: { uid: metadata.uid } }, signal)
      .catch((err: unknown) => {
        if (!isNotFound(err)) throw err;
      });
  }
}

export async function isGone<T extends KubeObject>(
  { client, signal }: ControlPlane,
  type: ResourceType<T>,
  ref: ObjectRef,
): Promise<boolean> {
  try {
    await client.get(type, ref, signal);
    return false;
  } catch (err) {
    if (isNotFound(err)) return true;
    throw err;
  }
}

/** Repeats an assertion until it holds. */
export function eventually<T>(check: () => Promise<T>, timeoutMs = 10_000): Promise<T> {
  return vi.waitFor(check, { timeout: timeoutMs, interval: 50 });
}
