import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findCondition } from '../../src/objects/conditions.ts';
import {
  configMaps,
  deployments,
  endpointSlices,
  endpoints,
  events,
  namespaces,
  nodes,
  pods,
  replicaSets,
  serviceAccounts,
  services,
} from '../../src/client/resource-types.ts';
import type { Deployment } from '../../src/objects/generated/apps-v1.ts';
import type { Pod } from '../../src/objects/generated/core-v1.ts';
import {
  type ControlPlane,
  createNode,
  eventually,
  finishDeletedPods,
  isGone,
  renewLease,
  reportPod,
  startControlPlane,
} from './control-plane.ts';

let plane: ControlPlane;
beforeEach(async () => {
  plane = await startControlPlane();
});
afterEach(() => plane.stop());

const web = (image: string, replicas = 3): Deployment => ({
  metadata: { name: 'web', namespace: 'default' },
  spec: {
    replicas,
    selector: { matchLabels: { app: 'web' } },
    template: {
      metadata: { name: '', labels: { app: 'web' } },
      spec: {
        containers: [{ name: 'web', image, ports: [{ name: 'http', containerPort: 8080 }] }],
      },
    },
  },
});
const ref = { namespace: 'default', name: 'web' };
const getWeb = () => plane.client.get(deployments, ref, plane.signal);
const listPods = async (): Promise<Pod[]> =>
  (await plane.client.list(pods, { namespace: 'default', labelSelector: 'app=web' }, plane.signal)).items;
const livingPods = async () => (await listPods()).filter(({ metadata }) => metadata.deletionTimestamp === undefined);
const listSets = async () => (await plane.client.list(replicaSets, { namespace: 'default' }, plane.signal)).items;
const messages = async (reason: string) =>
  (await plane.client.list(events, { namespace: 'default' }, plane.signal)).items
    .filter((event) => event.reason === reason)
    .map(({ message }) => message);

/** Does what kubelets would: bound pods become ready, deleted ones go. */
async function beKubelet(): Promise<void> {
  await finishDeletedPods(plane);
  for (const [i, pod] of (await livingPods()).entries()) {
    if ((pod.spec.nodeName ?? '') === '' || findCondition(pod.status?.conditions, 'Ready')?.status === 'True') continue;
    await reportPod(plane, pod, { ready: true, ip: `10.244.0.${i + 2}` });
  }
}

async function isRolledOut(replicas: number): Promise<void> {
  await beKubelet();
  const { metadata, status } = await getWeb();
  expect(status).toMatchObject({
    observedGeneration: metadata.generation,
    replicas,
    updatedReplicas: replicas,
    readyReplicas: replicas,
    availableReplicas: replicas,
  });
  expect(findCondition(status?.conditions, 'Progressing')?.reason).toBe('NewReplicaSetAvailable');
}

describe('the controllers on our API server', () => {
  it('a Deployment comes up, scales, rolls out a new template, rolls back, and is collected', async () => {
    await createNode(plane, 'n1');
    plane.startScheduler();
    plane.startControllers();
    await plane.client.create(deployments, web('localhost:1/web:1'), plane.signal);
    await eventually(() => isRolledOut(3));
    const [first] = await listSets();
    expect(first?.metadata.annotations).toMatchObject({
      'deployment.kubernetes.io/revision': '1',
      'deployment.kubernetes.io/desired-replicas': '3',
      'deployment.kubernetes.io/max-replicas': '4',
    });
    expect(first?.metadata.name).toMatch(/^web-[a-z0-9]+$/);
    const started = await livingPods();
    expect(started).toHaveLength(3);
    for (const { metadata, spec } of started) {
      expect(spec.nodeName).toBe('n1');
      expect(metadata.name.startsWith(`${first?.metadata.name}-`)).toBe(true);
      expect(metadata.labels?.['pod-template-hash']).toBe(first?.metadata.labels?.['pod-template-hash']);
    }
    expect((await getWeb()).metadata.annotations?.['deployment.kubernetes.io/revision']).toBe('1');
    expect(await messages('ScalingReplicaSet')).toContain(`Scaled up replica set ${first?.metadata.name} from 0 to 3`);

    await plane.client.patch(deployments, ref, 'merge', { spec: { replicas: 5 } }, plane.signal);
    await eventually(() => isRolledOut(5));
    await plane.client.patch(deployments, ref, 'merge', { spec: { replicas: 2 } }, plane.signal);
    await eventually(() => isRolledOut(2));
    expect(await livingPods()).toHaveLength(2);

    let fewest = Infinity;
    const update = async (image: string): Promise<void> => {
      const containers = [{ name: 'web', image }];
      await plane.client.patch(
        deployments,
        ref,
        'strategic',
        { spec: { template: { spec: { containers } } } },
        plane.signal,
      );
      await eventually(async () => {
        const ready = (await livingPods()).filter(
          ({ status }) => findCondition(status?.conditions, 'Ready')?.status === 'True',
        );
        fewest = Math.min(fewest, ready.length);
        await isRolledOut(2);
      }, 20_000);
    };
    await update('localhost:1/web:2');
    expect(fewest).toBe(2); // 25 % of 2, rounded down, may be unavailable: none
    const sets = await listSets();
    expect(new Set(sets.map(({ spec }) => spec.replicas))).toEqual(new Set([0, 2]));
    expect((await getWeb()).metadata.annotations?.['deployment.kubernetes.io/revision']).toBe('2');
    await update('localhost:1/web:1');
    expect(await listSets()).toHaveLength(2);
    const back = (await listSets()).find(({ metadata }) => metadata.uid === first?.metadata.uid);
    expect(back?.spec.replicas).toBe(2);
    expect(back?.metadata.annotations).toMatchObject({
      'deployment.kubernetes.io/revision': '3',
      'deployment.kubernetes.io/revision-history': '1',
    });

    await plane.client.delete(deployments, ref, { propagationPolicy: 'Background' }, plane.signal);
    await eventually(async () => {
      await finishDeletedPods(plane);
      expect(await listSets()).toEqual([]);
      expect(await listPods()).toEqual([]);
    }, 20_000);
  });

  it('replaces a deleted pod, adopts an orphan, and releases a pod that it no longer selects', async () => {
    await createNode(plane, 'n1');
    plane.startScheduler();
    plane.startControllers();
    await plane.client.create(deployments, web('localhost:1/web:1', 2), plane.signal);
    await eventually(() => isRolledOut(2));
    const [victim, other] = await livingPods();
    await plane.client.delete(pods, victim?.metadata ?? ref, {}, plane.signal);
    await eventually(() => isRolledOut(2));
    expect((await livingPods()).map(({ metadata }) => metadata.uid)).not.toContain(victim?.metadata.uid);

    const released = other?.metadata ?? ref;
    await plane.client.patch(pods, released, 'merge', { metadata: { labels: { app: 'debug' } } }, plane.signal);
    await eventually(async () => {
      const pod = await plane.client.get(pods, released, plane.signal);
      expect(pod.metadata.ownerReferences ?? []).toEqual([]);
      await isRolledOut(2);
    });
  });

  it('Recreate lets the old pods go before the new ones come', async () => {
    await createNode(plane, 'n1');
    plane.startScheduler();
    plane.startControllers();
    const deployment = web('localhost:1/web:1', 2);
    await plane.client.create(
      deployments,
      { ...deployment, spec: { ...deployment.spec, strategy: { type: 'Recreate' } } },
      plane.signal,
    );
    await eventually(() => isRolledOut(2));
    const old = new Set((await livingPods()).map(({ metadata }) => metadata.uid));
    const containers = [{ name: 'web', image: 'localhost:1/web:2' }];
    await plane.client.patch(
      deployments,
      ref,
      'strategic',
      { spec: { template: { spec: { containers } } } },
      plane.signal,
    );
    await eventually(async () => {
      const all = await listPods();
      expect(all.every(({ metadata }) => old.has(metadata.uid) && metadata.deletionTimestamp !== undefined)).toBe(true);
    });
    await eventually(() => isRolledOut(2));
    expect((await livingPods()).some(({ metadata }) => old.has(metadata.uid))).toBe(false);
  });

  it('EndpointSlice and Endpoints follow the readiness of the pods', async () => {
    await createNode(plane, 'n1');
    plane.startScheduler();
    plane.startControllers();
    await plane.client.create(
      services,
      {
        metadata: { name: 'web', namespace: 'default' },
        spec: { selector: { app: 'web' }, ports: [{ port: 80, targetPort: 'http' }] },
      },
      plane.signal,
    );
    const slices = async () =>
      (
        await plane.client.list(
          endpointSlices,
          { namespace: 'default', labelSelector: 'kubernetes.io/service-name=web' },
          plane.signal,
        )
      ).items;
    await eventually(async () => expect((await slices()).map((slice) => slice.endpoints ?? [])).toEqual([[]]));
    await plane.client.create(deployments, web('localhost:1/web:1', 2), plane.signal);
    await eventually(() => isRolledOut(2));
    const addresses = async () =>
      (await slices())
        .flatMap((slice) => slice.endpoints ?? [])
        .map(({ addresses: [ip], conditions }) => `${ip} ${conditions?.ready === true ? 'ready' : 'not ready'}`)
        .toSorted();
    await eventually(async () => expect(await addresses()).toEqual(['10.244.0.2 ready', '10.244.0.3 ready']));
    expect((await slices())[0]?.ports).toEqual([expect.objectContaining({ port: 8080, protocol: 'TCP' })]);
    const [pod] = (await livingPods()).filter(({ status }) => status?.podIP === '10.244.0.2');
    if (pod === undefined) throw new Error('there is no pod with that address');
    await reportPod(plane, pod, { ready: false, ip: '10.244.0.2' });
    await eventually(async () => expect(await addresses()).toEqual(['10.244.0.2 not ready', '10.244.0.3 ready']));
    await eventually(async () => {
      const { subsets } = await plane.client.get(endpoints, ref, plane.signal);
      expect(subsets?.[0]?.addresses?.map(({ ip }) => ip)).toEqual(['10.244.0.3']);
      expect(subsets?.[0]?.notReadyAddresses?.map(({ ip }) => ip)).toEqual(['10.244.0.2']);
    });
    await plane.client.delete(services, ref, {}, plane.signal);
    await eventually(async () => expect(await slices()).toEqual([]), 20_000);
    await eventually(async () => expect(await isGone(plane, endpoints, ref)).toBe(true));
  });

  it('gives each namespace a ServiceAccount and the CA, and empties it when it is deleted', async () => {
    plane.startControllers({ rootCaPem: plane.caPem });
    await plane.client.create(namespaces, { metadata: { name: 'team' } }, plane.signal);
    await eventually(async () => {
      await plane.client.get(serviceAccounts, { namespace: 'team', name: 'default' }, plane.signal);
      const published = await plane.client.get(
        configMaps,
        { namespace: 'team', name: 'kube-root-ca.crt' },
        plane.signal,
      );
      expect(published.data).toEqual({ 'ca.crt': plane.caPem });
    });
    await plane.client.patch(
      configMaps,
      { namespace: 'team', name: 'kube-root-ca.crt' },
      'merge',
      { data: { 'ca.crt': 'no' } },
      plane.signal,
    );
    await eventually(async () => {
      const published = await plane.client.get(
        configMaps,
        { namespace: 'team', name: 'kube-root-ca.crt' },
        plane.signal,
      );
      expect(published.data).toEqual({ 'ca.crt': plane.caPem });
    });
    await plane.client.create(configMaps, { metadata: { name: 'mine', namespace: 'team' } }, plane.signal);
    await plane.client.delete(namespaces, { name: 'team' }, {}, plane.signal);
    await eventually(async () => expect(await isGone(plane, namespaces, { name: 'team' })).toBe(true), 20_000);
    expect(await isGone(plane, configMaps, { namespace: 'team', name: 'mine' })).toBe(true);
  });

  it('hands out pod CIDRs, one for each node', async () => {
    plane.startControllers({
      nodeIpam: { clusterCidrs: ['10.244.0.0/16'], maskSizeIpv4: 24, maskSizeIpv6: 64, reservedCidrs: [] },
    });
    for (const name of ['n1', 'n2', 'n3']) await createNode(plane, name);
    await eventually(async () => {
      const { items } = await plane.client.list(nodes, {}, plane.signal);
      expect(items.map(({ spec }) => spec?.podCIDR ?? '').toSorted()).toEqual([
        '10.244.0.0/24',
        '10.244.1.0/24',
        '10.244.2.0/24',
      ]);
    });
  });

  it('leaves a new node to somebody else for as long as it is told', async () => {
    const nodeIpam = { clusterCidrs: ['10.244.0.0/16', 'fd00:1::/56'], maskSizeIpv4: 24, maskSizeIpv6: 64 };
    plane.startControllers({ nodeIpam: { ...nodeIpam, reservedCidrs: [], delayMs: 2000 } });
    await createNode(plane, 'served');
    const podCIDRs = ['10.244.7.0/24', 'fd00:1:0:7::/64'];
    await plane.client.patch(nodes, { name: 'served' }, 'merge', { spec: { podCIDRs } }, plane.signal);
    await createNode(plane, 'forgotten');
    await eventually(async () => {
      const { spec } = await plane.client.get(nodes, { name: 'forgotten' }, plane.signal);
      expect(spec.podCIDRs).toEqual(['10.244.0.0/24', 'fd00:1::/64']);
    });
    expect((await plane.client.get(nodes, { name: 'served' }, plane.signal)).spec.podCIDRs).toEqual(podCIDRs);
  });

  it('a silent node becomes Unknown and tainted, its pods not ready and then evicted; a heard one is freed', async () => {
    for (const name of ['silent', 'heard']) await createNode(plane, name);
    await renewLease(plane, 'silent');
    await renewLease(plane, 'heard');
    plane.startControllers({ nodeLifecycle: { periodMs: 100, monitorMs: 1500, startupMs: 1500 } });
    const pod: Pod = {
      metadata: { name: 'p', namespace: 'default' },
      spec: {
        nodeName: 'silent',
        containers: [{ name: 'c', image: 'localhost:1/x' }],
        tolerations: [
          { key: 'node.kubernetes.io/unreachable', operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 2 },
          { key: 'node.kubernetes.io/not-ready', operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 2 },
        ],
      },
    };
    const created = await plane.client.create(pods, pod, plane.signal);
    await reportPod(plane, created, { ready: true, ip: '10.244.0.9' });
    const get = (name: string) => plane.client.get(nodes, { name }, plane.signal);
    const taintsOf = async (name: string) =>
      ((await get(name)).spec?.taints ?? []).map(({ key, effect }) => `${key}:${effect}`).toSorted();
    const keepHeard = async (...names: string[]): Promise<void> => {
      for (const name of names) await renewLease(plane, name);
    };
    await eventually(async () => {
      await keepHeard('heard');
      const silent = await get('silent');
      expect(findCondition(silent.status?.conditions, 'Ready')).toMatchObject({
        status: 'Unknown',
        reason: 'NodeStatusUnknown',
        message: 'Kubelet stopped posting node status.',
      });
      expect(await taintsOf('silent')).toEqual([
        'node.kubernetes.io/unreachable:NoExecute',
        'node.kubernetes.io/unreachable:NoSchedule',
      ]);
      const told = await plane.client.get(pods, { namespace: 'default', name: 'p' }, plane.signal);
      expect(findCondition(told.status?.conditions, 'Ready')?.status).toBe('False');
    });
    expect(findCondition((await get('heard')).status?.conditions, 'Ready')?.status).toBe('True');
    expect(await taintsOf('heard')).toEqual([]);
    expect(await messages('NodeNotReady')).toContain('Node silent status is now: NodeNotReady');
    await eventually(async () => {
      await keepHeard('heard');
      const going = await plane.client.get(pods, { namespace: 'default', name: 'p' }, plane.signal);
      expect(going.metadata.deletionTimestamp).toBeDefined();
      expect(findCondition(going.status?.conditions, 'DisruptionTarget')?.reason).toBe('DeletionByTaintManager');
    });

    await keepHeard('heard', 'silent'); // it speaks again, and then reports
    const silent = await get('silent');
    const ready = {
      ...findCondition(silent.status?.conditions, 'Ready'),
      type: 'Ready',
      status: 'True',
      reason: 'KubeletReady',
    };
    await plane.client.patch(
      nodes,
      { name: 'silent', subresource: 'status' },
      'strategic',
      { status: { conditions: [ready] } },
      plane.signal,
    );
    await eventually(async () => {
      await keepHeard('heard', 'silent');
      expect(await taintsOf('silent')).toEqual([]);
    });
  });

  it('an owner deleted in the foreground waits for what it owns; orphans stay without it', async () => {
    await createNode(plane, 'n1');
    plane.startScheduler();
    plane.startControllers();
    await plane.client.create(deployments, web('localhost:1/web:1', 1), plane.signal);
    await eventually(() => isRolledOut(1));
    await plane.client.delete(deployments, ref, { propagationPolicy: 'Orphan' }, plane.signal);
    await eventually(async () => expect(await isGone(plane, deployments, ref)).toBe(true));
    const [orphan] = await listSets();
    expect(orphan?.metadata.ownerReferences ?? []).toEqual([]);
    expect(orphan?.metadata.deletionTimestamp).toBeUndefined();

    await plane.client.create(deployments, web('localhost:1/web:1', 1), plane.signal);
    await eventually(async () => {
      const [adopted] = await listSets();
      expect(adopted?.metadata.uid).toBe(orphan?.metadata.uid);
      expect(adopted?.metadata.ownerReferences?.[0]?.kind).toBe('Deployment');
    });
    await plane.client.delete(deployments, ref, { propagationPolicy: 'Foreground' }, plane.signal);
    await eventually(async () => {
      const { metadata } = await getWeb();
      expect(metadata.finalizers).toContain('foregroundDeletion');
      const sets = await listSets();
      expect(sets[0]?.metadata.deletionTimestamp).toBeDefined();
    });
    await eventually(async () => {
      await finishDeletedPods(plane);
      expect(await isGone(plane, deployments, ref)).toBe(true);
      expect(await listSets()).toEqual([]);
    }, 20_000);
  });
});
