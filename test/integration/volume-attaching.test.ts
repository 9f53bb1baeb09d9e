/** Volumes that belong to one node at a time, with the attach/detach controller on our API server. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  csiDrivers,
  events,
  nodes,
  persistentVolumeClaims,
  persistentVolumes,
  pods,
  volumeAttachments,
} from '../../src/client/resource-types.ts';
import { systemClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/logger.ts';
import { runTogether } from '../../src/base/run-together.ts';
import type { ApiClient } from '../../src/client/api-client.ts';
import { SharedInformers } from '../../src/client/shared-informers.ts';
import { AttachDetachController } from '../../src/controllers/attach-detach/attach-detach-controller.ts';
import { csiAttachmentName, csiUniqueName } from '../../src/objects/csi-names.ts';
import { type ControlPlane, createNode, eventually, startControlPlane } from './control-plane.ts';

let plane: ControlPlane;
beforeEach(async () => {
  plane = await startControlPlane();
});
afterEach(() => plane.stop());

const namespace = 'default';
const driver = 'csi.example.com';
const finalizer = 'external-attacher/csi-example-com';
const managed = { metadata: { annotations: { 'volumes.kubernetes.io/controller-managed-attach-detach': 'true' } } };
const makeNode = async (name: string): Promise<void> => {
  await createNode(plane, name);
  await plane.client.patch(nodes, { name }, 'merge', managed, plane.signal);
};
const getNode = (name: string) => plane.client.get(nodes, { name }, plane.signal);
const attachedTo = async (name: string): Promise<string[]> =>
  ((await getNode(name)).status?.volumesAttached ?? []).map((volume) => volume.name);
/** As a kubelet says which volumes it uses. */
const use = (name: string, ...volumesInUse: string[]) =>
  plane.client.patch(nodes, { name, subresource: 'status' }, 'merge', { status: { volumesInUse } }, plane.signal);

async function makeClaim(name: string): Promise<void> {
  await plane.client.create(
    persistentVolumes,
    {
      metadata: { name: `v-${name}` },
      spec: {
        accessModes: ['ReadWriteOnce'],
        capacity: { storage: '1Gi' },
        csi: { driver, volumeHandle: `h-${name}` },
        claimRef: { namespace, name },
      },
    },
    plane.signal,
  );
  await plane.client.create(
    persistentVolumeClaims,
    {
      metadata: { name, namespace },
      spec: { accessModes: ['ReadWriteOnce'], storageClassName: '', resources: { requests: { storage: '1Gi' } } },
    },
    plane.signal,
  );
}

const makePod = (name: string, nodeName: string, claimName: string) =>
  plane.client.create(
    pods,
    {
      metadata: { name, namespace },
      spec: {
        nodeName,
        containers: [{ name: 'c', image: 'localhost:1/x' }],
        volumes: [{ name: 'data', persistentVolumeClaim: { claimName } }],
      },
    },
    plane.signal,
  );
const removePod = (name: string) =>
  plane.client.delete(pods, { namespace, name }, { gracePeriodSeconds: 0 }, plane.signal);
const attachments = async () => (await plane.client.list(volumeAttachments, {}, plane.signal)).items;
const told = async (name: string): Promise<string[]> => {
  const { items } = await plane.client.list(events, { namespace }, plane.signal);
  return items
    .filter(({ involvedObject }) => involvedObject.name === name)
    .map(({ type, reason, message }) => `${type} ${reason}: ${message}`);
};

/** One look of a driver's attacher: attaches what is asked for, lets go of what is deleted. */
async function attacherLooks(): Promise<void> {
  for (const { metadata, status } of await attachments()) {
    const { name, deletionTimestamp, finalizers = [] } = metadata;
    const patch = (body: object, subresource?: string) =>
      plane.client.patch(volumeAttachments, { name, subresource }, 'merge', body, plane.signal);
    if (deletionTimestamp !== undefined) await patch({ metadata: { finalizers: null } });
    else if (finalizers.length === 0) await patch({ metadata: { finalizers: [finalizer] } });
    else if (status?.attached !== true) await patch({ status: { attached: true } }, 'status');
  }
}

describe('attach and detach', () => {
  it('a volume follows its pod from node to node, and never is on two', async () => {
    await makeNode('n1');
    await makeNode('n2');
    plane.startControllers();
    await makeClaim('c');
    await makePod('p', 'n1', 'c');
    const name = csiAttachmentName('h-c', driver, 'n1');
    await eventually(async () => expect((await attachments()).map(({ metadata }) => metadata.name)).toEqual([name]));
    expect((await attachments())[0]?.spec).toEqual({
      attacher: driver,
      nodeName: 'n1',
      source: { persistentVolumeName: 'v-c' },
    });
    const unique = csiUniqueName(driver, 'h-c');
    expect(await attachedTo('n1')).toEqual([]);
    await use('n1', unique);
    await eventually(async () => {
      await attacherLooks();
      expect(await attachedTo('n1')).toEqual([unique]);
    });
    await eventually(async () =>
      expect(await told('p')).toContain(
        'Normal SuccessfulAttachVolume: AttachVolume.Attach succeeded for volume "v-c" ',
      ),
    );

    await makePod('q', 'n2', 'c');
    await eventually(async () =>
      expect(await told('q')).toContain(
        'Warning FailedAttachVolume: Multi-Attach error for volume "v-c" Volume is already used by pod(s) p',
      ),
    );
    await removePod('p');
    // the node still uses it: a claim of another volume shows that the controller has looked meanwhile
    await makeClaim('d');
    await makePod('r', 'n1', 'd');
    await eventually(async () => {
      await attacherLooks();
      expect(await attachedTo('n1')).toEqual([unique, csiUniqueName(driver, 'h-d')]);
    });
    expect((await attachments()).filter(({ spec }) => spec.source.persistentVolumeName === 'v-c')).toMatchObject([
      { spec: { nodeName: 'n1' } },
    ]);
    await use('n1', csiUniqueName(driver, 'h-d'));
    await eventually(async () => expect(await attachedTo('n1')).toEqual([csiUniqueName(driver, 'h-d')]));
    await eventually(async () => {
      const on = (await attachments()).filter(({ spec }) => spec.source.persistentVolumeName === 'v-c');
      expect(on.length).toBeLessThan(2);
      await attacherLooks();
      expect(await attachedTo('n2')).toEqual([unique]);
    });
  });

  it('nothing is attached of a driver that needs none, nor on a node that sees to it itself', async () => {
    await makeNode('n1');
    await createNode(plane, 'n2');
    const spec = { attachRequired: false };
    await plane.client.create(csiDrivers, { metadata: { name: driver }, spec }, plane.signal);
    plane.startControllers();
    await makeClaim('c');
    await makeClaim('d');
    await makePod('p', 'n1', 'c');
    await makePod('q', 'n2', 'd');
    await eventually(async () => {
      const { items } = await plane.client.list(persistentVolumeClaims, {}, plane.signal);
      expect(items.map(({ status }) => status?.phase)).toEqual(['Bound', 'Bound']);
    });
    await plane.client.delete(csiDrivers, { name: driver }, {}, plane.signal);
    await eventually(async () => expect(await attachments()).toHaveLength(1));
    expect((await attachments())[0]?.spec.nodeName).toBe('n1');
  });

  it('a failure is told in the words of the driver; a lost node loses its volumes in the end', async () => {
    await makeNode('n1');
    plane.startControllers({
      attachDetach: { forceAfterMs: 300 },
      nodeLifecycle: { periodMs: 60_000, monitorMs: 600_000, startupMs: 600_000 },
    });
    await makeClaim('c');
    await makePod('p', 'n1', 'c');
    await eventually(async () => expect(await attachments()).toHaveLength(1));
    const name = csiAttachmentName('h-c', driver, 'n1');
    const attachError = { message: 'rpc error: no such disk', time: '2026-01-01T00:00:00Z', errorCode: 8 };
    const ref = { name, subresource: 'status' };
    await plane.client.patch(
      volumeAttachments,
      ref,
      'merge',
      { status: { attached: false, attachError } },
      plane.signal,
    );
    expect((await attachments())[0]?.status?.attachError).toEqual(attachError);
    await eventually(async () =>
      expect(await told('p')).toContain(
        'Warning FailedAttachVolume: AttachVolume.Attach failed for volume "v-c" : rpc error: no such disk',
      ),
    );
    await use('n1', csiUniqueName(driver, 'h-c'));
    await removePod('p');
    const conditions = [{ type: 'Ready', status: 'Unknown' }];
    const lost = { status: { conditions } };
    await plane.client.patch(nodes, { name: 'n1', subresource: 'status' }, 'strategic', lost, plane.signal);
    await eventually(async () => expect(await attachments()).toEqual([]));
  });

  it('a node that begins to use a volume while it is taken off keeps it', async () => {
    const { client } = plane;
    await makeNode('n1');
    await makeClaim('c');
    const unique = csiUniqueName(driver, 'h-c');
    let isRacing = true;
    let raced = 0;
    /** A kubelet that is faster than the informer: it says that it uses the volume just before it is told. */
    const racing: ApiClient = {
      get: (type, ref, inner) => client.get(type, ref, inner),
      list: (type, options, inner) => client.list(type, options, inner),
      watch: (type, options, inner) => client.watch(type, options, inner),
      create: (type, object, inner) => client.create(type, object, inner),
      update: (type, object, inner) => client.update(type, object, inner),
      updateStatus: (type, object, inner) => client.updateStatus(type, object, inner),
      patch: async (type, ref, kind, body, inner) => {
        const isRace = isRacing && JSON.stringify(body).includes('"volumesAttached":null');
        if (isRace) await use('n1', unique);
        const after = await client.patch(type, ref, kind, body, inner);
        if (isRace) raced++;
        return after;
      },
      delete: (type, ref, options, inner) => client.delete(type, ref, options, inner),
      createSubresource: (type, ref, subresource, body, inner) =>
        client.createSubresource(type, ref, subresource, body, inner),
      raw: (method, path, body, inner) => client.raw(method, path, body, inner),
    };
    plane.startControllers({ controllers: ['persistentvolume-binder'] });
    const context = { clock: systemClock, log: silentLogger };
    const informers = new SharedInformers({ client, ...context });
    const controller = new AttachDetachController(
      { client: racing, watchClient: client, informers, eventsOf: () => ({ record: () => {} }), ...context },
      { forceAfterMs: 360_000 },
    );
    const stop = new AbortController();
    const running = runTogether(stop.signal, [(inner) => informers.run(inner), (inner) => controller.run(inner)]);
    try {
      await makePod('p', 'n1', 'c');
      await eventually(async () => {
        await attacherLooks();
        expect(await attachedTo('n1')).toEqual([unique]);
      });
      await removePod('p');
      await eventually(async () => {
        expect(raced).toBeGreaterThan(0);
        expect(await attachedTo('n1')).toEqual([unique]);
      });
      expect((await attachments()).map(({ metadata }) => metadata.deletionTimestamp)).toEqual([undefined]);
      isRacing = false;
      await use('n1');
      await eventually(async () => {
        await attacherLooks();
        expect(await attachments()).toEqual([]);
      });
      expect(await attachedTo('n1')).toEqual([]);
    } finally {
      stop.abort();
      await running;
    }
  });
});
