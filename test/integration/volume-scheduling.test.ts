/** Pods whose volumes decide on their nodes, with scheduler and controllers on our API server. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  events,
  persistentVolumeClaims,
  persistentVolumes,
  pods,
  storageClasses,
} from '../../src/client/resource-types.ts';
import type { PersistentVolume } from '../../src/objects/generated/core-v1.ts';
import { type ControlPlane, createNode, eventually, startControlPlane } from './control-plane.ts';

let plane: ControlPlane;
beforeEach(async () => {
  plane = await startControlPlane();
});
afterEach(() => plane.stop());

const namespace = 'default';
const provisioner = 'csi.example.com';
const selectedNode = 'volume.kubernetes.io/selected-node';
const makeClass = (name: string, more: object = {}) =>
  plane.client.create(
    storageClasses,
    { metadata: { name }, provisioner, volumeBindingMode: 'WaitForFirstConsumer', ...more },
    plane.signal,
  );
const makeClaim = (name: string, storageClassName: string) =>
  plane.client.create(
    persistentVolumeClaims,
    {
      metadata: { name, namespace },
      spec: { accessModes: ['ReadWriteOnce'], storageClassName, resources: { requests: { storage: '1Gi' } } },
    },
    plane.signal,
  );
const makeVolume = (name: string, spec: PersistentVolume['spec']) =>
  plane.client.create(
    persistentVolumes,
    { metadata: { name }, spec: { accessModes: ['ReadWriteOnce'], capacity: { storage: '1Gi' }, ...spec } },
    plane.signal,
  );
const onNode = (name: string): PersistentVolume['spec'] => ({
  nodeAffinity: {
    required: {
      nodeSelectorTerms: [{ matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values: [name] }] }],
    },
  },
});
const makePod = (name: string, claimName: string) =>
  plane.client.create(
    pods,
    {
      metadata: { name, namespace },
      spec: {
        containers: [{ name: 'c', image: 'localhost:1/x' }],
        volumes: [{ name: 'data', persistentVolumeClaim: { claimName } }],
      },
    },
    plane.signal,
  );
const getPod = (name: string) => plane.client.get(pods, { namespace, name }, plane.signal);
const getClaim = (name: string) => plane.client.get(persistentVolumeClaims, { namespace, name }, plane.signal);
const messages = async (name: string): Promise<string[]> => {
  const { items } = await plane.client.list(events, { namespace }, plane.signal);
  return items
    .filter(({ involvedObject }) => involvedObject.name === name)
    .map(({ reason, message }) => `${reason}: ${message}`);
};

/** What an external provisioner does: a volume for the claim, on the node that the scheduler has chosen. */
async function provision(claimName: string): Promise<string> {
  const { metadata } = await eventually(async () => {
    const claim = await getClaim(claimName);
    expect(claim.metadata.annotations?.['volume.kubernetes.io/storage-provisioner']).toBe(provisioner);
    expect(claim.metadata.annotations?.[selectedNode]).toBeDefined();
    return claim;
  });
  const node = metadata.annotations?.[selectedNode] ?? '';
  await makeVolume(`pvc-${metadata.uid}`, {
    ...onNode(node),
    storageClassName: 'made',
    claimRef: { kind: 'PersistentVolumeClaim', apiVersion: 'v1', namespace, name: claimName, uid: metadata.uid },
    csi: { driver: provisioner, volumeHandle: claimName },
  });
  return node;
}

describe('pods with claims', () => {
  it('wait for a missing claim and for its volume, and go where the volume is', async () => {
    await createNode(plane, 'n1');
    await createNode(plane, 'n2');
    plane.startScheduler();
    plane.startControllers();
    await makePod('p', 'c');
    await eventually(async () =>
      expect(await messages('p')).toContain(
        'FailedScheduling: 0/2 nodes are available: persistentvolumeclaim "c" not found.',
      ),
    );
    await makeClass('now', { provisioner: 'kubernetes.io/no-provisioner', volumeBindingMode: 'Immediate' });
    await makeClaim('c', 'now');
    await eventually(async () =>
      expect(await messages('p')).toContain(
        'FailedScheduling: 0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims.',
      ),
    );
    await makeVolume('v', { storageClassName: 'now', local: { path: '/x' }, ...onNode('n2') });
    await eventually(async () => expect((await getPod('p')).spec.nodeName).toBe('n2'));
    expect((await getClaim('c')).spec?.volumeName).toBe('v');
  });

  it('get local volumes of their node, each its own', async () => {
    const names = ['n1', 'n2', 'n3'];
    for (const name of names) await createNode(plane, name, { cpu: '4', memory: '8Gi', pods: '10' });
    await makeClass('local', { provisioner: 'kubernetes.io/no-provisioner' });
    plane.startScheduler();
    plane.startControllers();
    for (const name of names)
      await makeVolume(`on-${name}`, { storageClassName: 'local', local: { path: '/x' }, ...onNode(name) });
    await eventually(async () => {
      const { items } = await plane.client.list(persistentVolumes, {}, plane.signal);
      expect(items.map(({ status }) => status?.phase)).toEqual(names.map(() => 'Available'));
    });
    const pair = ['0', '1', '2'];
    await Promise.all(pair.map(async (i) => (await makeClaim(`c${i}`, 'local'), makePod(`p${i}`, `c${i}`))));
    await eventually(async () => {
      for (const i of pair) expect((await getPod(`p${i}`)).spec.nodeName).toBeTruthy();
    });
    for (const i of pair) {
      const { spec, status } = await getClaim(`c${i}`);
      expect(status?.phase).toBe('Bound');
      expect(spec?.volumeName).toBe(`on-${(await getPod(`p${i}`)).spec.nodeName}`);
    }
    await makeClaim('c3', 'local');
    await makePod('p3', 'c3');
    await eventually(async () =>
      expect(await messages('p3')).toContain(
        "FailedScheduling: 0/3 nodes are available: 3 node(s) didn't find available persistent volumes to bind.",
      ),
    );
  });

  it('are bound when somebody has made their volume on the chosen node, and not before', async () => {
    await createNode(plane, 'n1');
    await createNode(plane, 'n2');
    await makeClass('made');
    plane.startScheduler();
    plane.startControllers();
    await makeClaim('c', 'made');
    await makePod('p', 'c');
    const node = await provision('c');
    await eventually(async () => expect((await getPod('p')).spec.nodeName).toBe(node));
    expect((await getClaim('c')).status?.phase).toBe('Bound');
    expect((await messages('p')).join()).not.toContain('FailedScheduling');
  });

  it('are tried again when it cannot be made, and forgotten when they are gone', async () => {
    await createNode(plane, 'n1');
    await makeClass('made');
    plane.startScheduler();
    plane.startControllers();
    await makeClaim('c', 'made');
    await makePod('p', 'c');
    await eventually(async () => expect((await getClaim('c')).metadata.annotations?.[selectedNode]).toBe('n1'));
    const refuse = { metadata: { annotations: { [selectedNode]: null } } };
    await plane.client.patch(persistentVolumeClaims, { namespace, name: 'c' }, 'merge', refuse, plane.signal);
    await eventually(async () =>
      expect(await messages('p')).toContain(
        'FailedScheduling: running PreBind plugin "VolumeBinding": binding volumes: provisioning failed for PVC "c"',
      ),
    );
    await eventually(async () => expect((await getClaim('c')).metadata.annotations?.[selectedNode]).toBe('n1'));
    await plane.client.delete(pods, { namespace, name: 'p' }, {}, plane.signal);
    await makePod('p', 'c');
    expect(await provision('c')).toBe('n1');
    await eventually(async () => expect((await getPod('p')).spec.nodeName).toBe('n1'));
  });
});
