/** Claims, volumes and the controllers that bring them together, on our API server. */
import { access, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  events,
  persistentVolumeClaims,
  persistentVolumes,
  pods,
  storageClasses,
  volumeAttributesClasses,
} from '../../src/client/resource-types.ts';
import type { PersistentVolume, PersistentVolumeClaim, Pod, Volume } from '../../src/objects/generated/core-v1.ts';
import { removeDirectory } from '../../src/controllers/volume-binding/remove-directory.ts';
import { type ControlPlane, eventually, isGone, startControlPlane } from './control-plane.ts';

let plane: ControlPlane;
beforeEach(async () => {
  plane = await startControlPlane();
});
afterEach(() => plane.stop());

const namespace = 'default';
const makeVolume = (name: string, storage: string, spec: PersistentVolume['spec'] = {}): Promise<PersistentVolume> =>
  plane.client.create(
    persistentVolumes,
    {
      metadata: { name },
      spec: { accessModes: ['ReadWriteOnce'], capacity: { storage }, hostPath: { path: '/tmp/gantry-none' }, ...spec },
    },
    plane.signal,
  );
const makeClaim = (
  name: string,
  storage: string,
  spec: PersistentVolumeClaim['spec'] = {},
): Promise<PersistentVolumeClaim> =>
  plane.client.create(
    persistentVolumeClaims,
    {
      metadata: { name, namespace },
      spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage } }, ...spec },
    },
    plane.signal,
  );
const getVolume = (name: string) => plane.client.get(persistentVolumes, { name }, plane.signal);
const getClaim = (name: string) => plane.client.get(persistentVolumeClaims, { namespace, name }, plane.signal);
const deleteClaim = (name: string) =>
  plane.client.delete(persistentVolumeClaims, { namespace, name }, {}, plane.signal);
const told = async (name: string): Promise<string[]> => {
  const { items } = await plane.client.list(events, {}, plane.signal);
  return items
    .filter(({ involvedObject }) => involvedObject.name === name)
    .map(({ type, reason, message, source }) => `${source?.component} ${type} ${reason}: ${message}`);
};
const makePod = (name: string, volume: Volume, nodeName?: string): Promise<Pod> =>
  plane.client.create(
    pods,
    {
      metadata: { name, namespace },
      spec: { containers: [{ name: 'c', image: 'localhost:1/x' }], volumes: [volume], nodeName },
    },
    plane.signal,
  );
const removePod = (name: string) =>
  plane.client.delete(pods, { namespace, name }, { gracePeriodSeconds: 0 }, plane.signal);

describe('volumes made by hand', () => {
  it('are bound to the claims that they fit best, kept, and released', async () => {
    plane.startControllers();
    await makeVolume('large', '9Gi');
    await makeVolume('small', '1Gi');
    await makeVolume('fits', '3Gi');
    const claim = await makeClaim('c', '2Gi');
    await eventually(async () => expect((await getClaim('c')).status?.phase).toBe('Bound'));
    expect(await getClaim('c')).toMatchObject({
      metadata: {
        annotations: { 'pv.kubernetes.io/bind-completed': 'yes', 'pv.kubernetes.io/bound-by-controller': 'yes' },
      },
      spec: { volumeName: 'fits' },
      status: { accessModes: ['ReadWriteOnce'], capacity: { storage: '3Gi' } },
    });
    expect(await getVolume('fits')).toMatchObject({
      metadata: { annotations: { 'pv.kubernetes.io/bound-by-controller': 'yes' } },
      spec: { claimRef: { kind: 'PersistentVolumeClaim', namespace, name: 'c', uid: claim.metadata.uid } },
      status: { phase: 'Bound' },
    });
    await makeClaim('d', '20Gi');
    await eventually(async () =>
      expect(await told('d')).toContain(
        'persistentvolume-controller Normal FailedBinding: no persistent volumes available for this claim and no storage class is set',
      ),
    );
    await makeVolume('huge', '20Gi');
    await eventually(async () => expect((await getClaim('d')).spec?.volumeName).toBe('huge'));
    await eventually(async () => expect((await getVolume('small')).status?.phase).toBe('Available'));

    await deleteClaim('c');
    await eventually(async () => expect((await getVolume('fits')).status?.phase).toBe('Released'));
    expect(await isGone(plane, persistentVolumeClaims, { namespace, name: 'c' })).toBe(true);
    await makeClaim('c', '3Gi');
    await eventually(async () => expect((await getClaim('c')).spec?.volumeName).toBe('large'));
    await plane.client.delete(persistentVolumes, { name: 'huge' }, {}, plane.signal);
    expect((await getVolume('huge')).metadata.deletionTimestamp).toBeDefined();
    await deleteClaim('d');
    await eventually(async () => expect(await isGone(plane, persistentVolumes, { name: 'huge' })).toBe(true));
  });

  it('twenty claims get twenty volumes, each its own', async () => {
    const names = Array.from({ length: 20 }, (_, i) => `n${i}`);
    await Promise.all(names.map((name) => makeVolume(name, '1Gi')));
    plane.startControllers();
    await Promise.all(names.map((name) => makeClaim(name, '1Gi')));
    await eventually(async () => {
      const { items } = await plane.client.list(persistentVolumeClaims, { namespace }, plane.signal);
      expect(items.map(({ status }) => status?.phase)).toEqual(names.map(() => 'Bound'));
      expect(new Set(items.map(({ spec }) => spec?.volumeName)).size).toBe(20);
    });
    for (const { metadata, spec } of (await plane.client.list(persistentVolumes, {}, plane.signal)).items) {
      expect((await getClaim(spec?.claimRef?.name ?? '')).spec?.volumeName).toBe(metadata.name);
    }
  });

  it('a claim that has lost its volume says so; one that asks for the wrong one is told why', async () => {
    plane.startControllers();
    await makeVolume('v', '1Gi');
    await makeClaim('c', '1Gi', { volumeName: 'v' });
    await eventually(async () => expect((await getClaim('c')).status?.phase).toBe('Bound'));
    await plane.client.patch(
      persistentVolumes,
      { name: 'v' },
      'merge',
      { metadata: { finalizers: null } },
      plane.signal,
    );
    await plane.client.delete(persistentVolumes, { name: 'v' }, {}, plane.signal);
    await plane.client
      .patch(persistentVolumes, { name: 'v' }, 'merge', { metadata: { finalizers: null } }, plane.signal)
      .catch(() => {}); // gone already
    await eventually(async () => expect((await getClaim('c')).status?.phase).toBe('Lost'));
    await eventually(async () =>
      expect(await told('c')).toContain(
        'persistentvolume-controller Warning ClaimLost: Bound claim has lost its PersistentVolume. Data on the volume is lost!',
      ),
    );
    await makeVolume('w', '1Gi', { volumeMode: 'Block' });
    await makeClaim('d', '1Gi', { volumeName: 'w' });
    await eventually(async () =>
      expect(await told('d')).toContain(
        'persistentvolume-controller Warning VolumeMismatch: Cannot bind to requested volume "w": incompatible volumeMode',
      ),
    );
  });
});

describe('volumes that are given back', () => {
  it('a directory in /tmp goes with its volume, others fail', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'gantry-reclaim-'));
    try {
      const path = join(directory, 'data');
      await mkdir(join(path, 'deep'), { recursive: true });
      plane.startControllers({ volumeBinding: { removeDirectory } });
      const persistentVolumeReclaimPolicy = 'Delete';
      await makeVolume('v', '1Gi', { hostPath: { path }, persistentVolumeReclaimPolicy });
      await makeVolume('w', '5Gi', { hostPath: { path: '/var/lib/x' }, persistentVolumeReclaimPolicy });
      await makeClaim('c', '1Gi');
      await makeClaim('d', '5Gi');
      await eventually(async () => expect((await getClaim('d')).status?.phase).toBe('Bound'));
      await deleteClaim('c');
      await deleteClaim('d');
      await eventually(async () => expect(await isGone(plane, persistentVolumes, { name: 'v' })).toBe(true));
      await expect(access(path)).rejects.toThrow('ENOENT');
      const message = 'host_path deleter only supports /tmp/.+ but received provided /var/lib/x';
      await eventually(async () => expect((await getVolume('w')).status).toMatchObject({ phase: 'Failed', message }));
      await eventually(async () =>
        expect(await told('w')).toEqual([`persistentvolume-controller Warning VolumeFailedDelete: ${message}`]),
      );
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});

describe('volumes that somebody else makes', () => {
  it('are asked for, and bound when they are there', async () => {
    const provisioner = 'csi.example.com';
    await plane.client.create(storageClasses, { metadata: { name: 's' }, provisioner }, plane.signal);
    plane.startControllers();
    const claim = await makeClaim('c', '1Gi', { storageClassName: 's' });
    await eventually(async () =>
      expect((await getClaim('c')).metadata.annotations).toMatchObject({
        'volume.kubernetes.io/storage-provisioner': provisioner,
        'volume.beta.kubernetes.io/storage-provisioner': provisioner,
      }),
    );
    await eventually(async () => expect((await told('c')).join()).toContain('Normal ExternalProvisioning: Waiting'));
    const { uid } = claim.metadata;
    await plane.client.create(
      persistentVolumes,
      {
        metadata: {
          name: `pvc-${uid}`,
          annotations: { 'pv.kubernetes.io/provisioned-by': provisioner },
        },
        spec: {
          accessModes: ['ReadWriteOnce'],
          capacity: { storage: '1Gi' },
          storageClassName: 's',
          persistentVolumeReclaimPolicy: 'Delete',
          claimRef: { kind: 'PersistentVolumeClaim', apiVersion: 'v1', namespace, name: 'c', uid },
          csi: { driver: provisioner, volumeHandle: 'h' },
        },
      },
      plane.signal,
    );
    await eventually(async () => expect((await getClaim('c')).status?.phase).toBe('Bound'));
    await deleteClaim('c');
    // who has made the volume takes it back
    await eventually(async () => expect((await getVolume(`pvc-${uid}`)).status?.phase).toBe('Released'));
    expect(await told(`pvc-${uid}`)).toEqual([]);
  });

  it('grow when somebody makes them grow', async () => {
    await plane.client.create(
      storageClasses,
      { metadata: { name: 's' }, provisioner: 'csi.example.com', allowVolumeExpansion: true },
      plane.signal,
    );
    plane.startControllers();
    const source = { hostPath: undefined, csi: { driver: 'csi.example.com', volumeHandle: 'h' } };
    await makeVolume('v', '1Gi', { ...source, storageClassName: 's' });
    await makeClaim('c', '1Gi', { storageClassName: 's', volumeName: 'v' });
    await eventually(async () => expect((await getClaim('c')).status?.phase).toBe('Bound'));
    const spec = { resources: { requests: { storage: '2Gi' } } };
    await plane.client.patch(persistentVolumeClaims, { namespace, name: 'c' }, 'merge', { spec }, plane.signal);
    await eventually(async () =>
      expect(await told('c')).toContain(
        'volume_expand Normal ExternalExpanding: waiting for an external controller to expand this PVC',
      ),
    );
  });

  it('wait for a pod where their class says so', async () => {
    await plane.client.create(
      storageClasses,
      { metadata: { name: 's' }, provisioner: 'csi.example.com', volumeBindingMode: 'WaitForFirstConsumer' },
      plane.signal,
    );
    plane.startControllers({ volumeBinding: { periodMs: 100 } });
    await makeVolume('v', '1Gi', { storageClassName: 's' });
    await makeClaim('c', '1Gi', { storageClassName: 's' });
    const says = async (text: string) =>
      eventually(async () => expect(await told('c')).toContain(`persistentvolume-controller Normal ${text}`));
    await says('WaitForFirstConsumer: waiting for first consumer to be created before binding');
    await makePod('p', { name: 'data', persistentVolumeClaim: { claimName: 'c' } });
    await says('WaitForPodScheduled: waiting for pod p to be scheduled');
    expect((await getClaim('c')).status).toEqual({ phase: 'Pending' });
  });
});

describe('claims that pods use', () => {
  it('stay until the last pod is gone', async () => {
    plane.startControllers();
    await makeVolume('v', '1Gi');
    await makeClaim('c', '1Gi');
    await makePod('p', { name: 'data', persistentVolumeClaim: { claimName: 'c' } }, 'n');
    await eventually(async () => expect((await getClaim('c')).status?.phase).toBe('Bound'));
    await deleteClaim('c');
    await makeClaim('other', '1Gi');
    await deleteClaim('other');
    await eventually(async () =>
      expect(await isGone(plane, persistentVolumeClaims, { namespace, name: 'other' })).toBe(true),
    );
    expect((await getClaim('c')).metadata.finalizers).toEqual(['kubernetes.io/pvc-protection']);
    await removePod('p');
    await eventually(async () =>
      expect(await isGone(plane, persistentVolumeClaims, { namespace, name: 'c' })).toBe(true),
    );
    await eventually(async () => expect((await getVolume('v')).status?.phase).toBe('Released'));
  });

  it('are made for ephemeral volumes, and go with their pods', async () => {
    plane.startControllers();
    await makeVolume('v', '1Gi');
    const template = {
      metadata: { name: '', labels: { a: 'b' } },
      spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
    };
    const { name: _name, ...metadata } = template.metadata;
    const volume = {
      name: 'data',
      ephemeral: { volumeClaimTemplate: { spec: template.spec, metadata: { ...metadata } } },
    };
    const pod = await makePod('p', volume as unknown as Volume, 'n'); // a template has no name
    await eventually(async () => expect((await getClaim('p-data')).status?.phase).toBe('Bound'));
    expect((await getClaim('p-data')).metadata).toMatchObject({
      labels: { a: 'b' },
      ownerReferences: [
        { apiVersion: 'v1', kind: 'Pod', name: 'p', uid: pod.metadata.uid, controller: true, blockOwnerDeletion: true },
      ],
    });
    await removePod('p');
    await eventually(async () =>
      expect(await isGone(plane, persistentVolumeClaims, { namespace, name: 'p-data' })).toBe(true),
    );
    await makeClaim('q-data', '1Gi');
    await makePod('q', volume as unknown as Volume, 'n');
    await eventually(async () =>
      expect(await told('q')).toContain(
        'ephemeral_volume Warning FailedBinding: ephemeral volume data: PVC default/q-data was not created for pod default/q (pod is not owner)',
      ),
    );
  });
});

describe('classes of volume attributes', () => {
  it('stay while a volume or a claim has them', async () => {
    const name = 'gold';
    await plane.client.create(
      volumeAttributesClasses,
      { metadata: { name }, driverName: 'csi.example.com', parameters: { a: 'b' } },
      plane.signal,
    );
    plane.startControllers();
    const csi = { driver: 'csi.example.com', volumeHandle: 'h' };
    await makeVolume('v', '1Gi', { hostPath: undefined, csi, volumeAttributesClassName: name });
    await makeClaim('c', '1Gi', { volumeAttributesClassName: name });
    await eventually(async () => expect((await getClaim('c')).status?.currentVolumeAttributesClassName).toBe(name));
    await plane.client.delete(volumeAttributesClasses, { name }, {}, plane.signal);
    await deleteClaim('c');
    await eventually(async () => expect((await getVolume('v')).status?.phase).toBe('Released'));
    expect(await isGone(plane, volumeAttributesClasses, { name })).toBe(false);
    await plane.client.delete(persistentVolumes, { name: 'v' }, {}, plane.signal);
    await eventually(async () => expect(await isGone(plane, volumeAttributesClasses, { name })).toBe(true));
  });
});
