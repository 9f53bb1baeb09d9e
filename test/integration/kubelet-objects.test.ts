/** Pods and the objects that they name: waited for, followed, and left alone where they never change. */
import { afterEach, expect, it } from 'vitest';
import { configMaps } from '../../src/client/resource-types.ts';
import type { PodSpec } from '../../src/objects/generated/core-v1.ts';
import { type KubeletFixture, apiPod, nodeName, openFixture, webContainer } from './kubelet-fixture.ts';

let t: KubeletFixture;

afterEach(async () => {
  await t.close();
});

const settings = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'settings', namespace: 'default' } };

it.each<{ what: string; spec: Partial<PodSpec>; told: string; event: string }>([
  {
    what: 'a volume',
    spec: {
      volumes: [{ name: 'v', configMap: { name: 'settings' } }],
      containers: [webContainer({ volumeMounts: [{ name: 'v', mountPath: '/v' }] })],
    },
    told: 'ContainerCreating',
    event: 'FailedMount: MountVolume.SetUp failed for volume "v" : configmap "settings" not found',
  },
  {
    what: 'an environment',
    spec: { containers: [webContainer({ envFrom: [{ configMapRef: { name: 'settings' } }] })] },
    told: 'CreateContainerConfigError',
    event: 'Failed: Error: configmap "settings" not found',
  },
])(
  'a pod that waits for an object of $what starts when it comes, not at its next try',
  async ({ spec, told, event }) => {
    t = await openFixture();
    await t.start();
    t.api.addPod(apiPod('waiting', spec), nodeName);
    await t.until('the event', () => t.api.eventsOf('waiting').includes(event));
    await t.until('its state', () => t.container('waiting', 'web')?.state?.waiting?.reason === told);
    const tries = (): number =>
      t.api.eventList().find(({ reason, message }) => `${reason}: ${message}` === event)?.count ?? 0;
    await t.until('the second try', () => tries() > 1); // the third comes ten seconds later at the earliest
    const createdMs = t.clock.nowMs();
    await t.api.create(configMaps, { ...settings, data: { a: 'b' } });
    const pod = await t.untilReady('waiting');
    const startedMs = Date.parse(pod.status?.containerStatuses?.[0]?.state?.running?.startedAt ?? '');
    expect(startedMs - createdMs).toBeLessThan(5000); // of the test's own clock
  },
);
