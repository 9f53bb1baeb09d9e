/** A pod whose volume cannot be attached because the node has all that its driver allows; the driver is a real process. */
import { join } from 'node:path';
import { expect, it } from 'vitest';
import {
  csiDrivers,
  csiNodes,
  nodes,
  persistentVolumeClaims,
  persistentVolumes,
  volumeAttachments,
} from '../../src/client/resource-types.ts';
import { csiAttachmentName, csiUniqueName } from '../../src/objects/csi-names.ts';
import { CsiDriverProcess } from '../fakes/csi-driver-process.ts';
import { type KubeletFixture, apiPod, nodeName, openFixture, webContainer } from './kubelet-fixture.ts';

const driverName = 'dir.csi.example';

async function openNode(
  nodeAllocatableUpdatePeriodSeconds: number | undefined,
): Promise<{ t: KubeletFixture; driver: CsiDriverProcess }> {
  const t = await openFixture();
  const { api } = t;
  await api.create(csiDrivers, { metadata: { name: driverName }, spec: { nodeAllocatableUpdatePeriodSeconds } });
  const claim = await api.create(persistentVolumeClaims, {
    metadata: { name: 'claim', namespace: 'default' },
    spec: { volumeName: 'pv' },
    status: { phase: 'Bound' },
  });
  const csi = { driver: driverName, volumeHandle: 'vol-1' };
  await api.create(persistentVolumes, {
    metadata: { name: 'pv' },
    spec: { csi, claimRef: { uid: claim.metadata.uid } },
  });
  await api.create(volumeAttachments, {
    metadata: { name: csiAttachmentName('vol-1', driverName, nodeName) },
    spec: { attacher: driverName, nodeName, source: { persistentVolumeName: 'pv' } },
    status: { attached: false, attachError: { message: 'no room', errorCode: 8 } },
  });
  await t.start();
  const driver = await CsiDriverProcess.start(join(t.directory, 'driver'), {
    registry: join(t.directory, 'root/plugins_registry'),
    name: driverName,
    noMounts: true,
  });
  t.onClose(() => driver.stop());
  await t.until('the driver', () => api.find(csiNodes, undefined, nodeName)?.spec.drivers.length === 1);
  api.addPod(
    apiPod('web', {
      containers: [webContainer({ volumeMounts: [{ name: 'data', mountPath: '/data' }] })],
      volumes: [{ name: 'data', persistentVolumeClaim: { claimName: 'claim' } }],
    }),
    nodeName,
  );
  const name = csiUniqueName(driverName, 'vol-1');
  await t.until('the pod to wait', () =>
    api.find(nodes, undefined, nodeName)?.status?.volumesInUse?.some((one) => one === name),
  );
  return { t, driver };
}

const words =
  'Node has reached its volume attachment limit, rejecting pod. unmounted volumes=[data], unattached volumes=[data], failed to process volumes=[]: context deadline exceeded';

it('is rejected when its turn is over, and the API knows the limit by then', async ({ onTestFinished }) => {
  const { t, driver } = await openNode(86_400);
  onTestFinished(() => t.close());
  expect(await driver.requests('NodeGetInfo')).toHaveLength(1);
  t.clock.warp(123_000);
  const pod = await t.until('the pod to fail', () => {
    const found = t.api.pod('web');
    return found?.status?.phase === 'Failed' ? found : undefined;
  });
  expect(await driver.requests('NodeGetInfo')).toHaveLength(2);
  expect(pod.status).toMatchObject({
    reason: 'VolumeAttachmentLimitExceeded',
    message: `Pod was rejected: ${words}`,
  });
  const said = await t.until('the event', () =>
    t.api.eventList().find(({ reason }) => reason === 'VolumeAttachmentLimitExceeded'),
  );
  expect(said).toMatchObject({ type: 'Warning', message: words, involvedObject: { name: 'web' } });
  await t.until('the volume to be let go', () => {
    return (t.api.find(nodes, undefined, nodeName)?.status?.volumesInUse ?? []).length === 0;
  });
  await t.clock.pass(20_000);
  const { phase, reason } = t.api.pod('web')?.status ?? {};
  expect([phase, reason, t.cri.sandboxesOfPod('web')]).toEqual(['Failed', 'VolumeAttachmentLimitExceeded', []]);
  expect(t.api.eventsOf('web').filter((text) => text.startsWith('Volume'))).toHaveLength(1);
});

it('waits on when its driver does not want to be asked for its limits', async ({ onTestFinished }) => {
  const { t, driver } = await openNode(undefined);
  onTestFinished(() => t.close());
  t.clock.warp(123_000);
  await t.clock.pass(20_000);
  expect(t.api.pod('web')?.status?.phase).toBe('Pending');
  expect(await driver.requests('NodeGetInfo')).toHaveLength(1);
});
