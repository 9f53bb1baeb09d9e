/** Fields that this node or its runtime cannot honour: said by name, to whom it concerns, and to nobody else's cost. */
import { afterEach, expect, it } from 'vitest';
import { pods } from '../../src/client/resource-types.ts';
import type { EphemeralContainer } from '../../src/objects/generated/core-v1.ts';
import { type KubeletFixture, apiPod, nodeName, openFixture, webContainer } from './kubelet-fixture.ts';

let t: KubeletFixture;

afterEach(async () => {
  await t.close();
});

const untilEvent = (pod: string, start: string): Promise<string> =>
  t.until(`an event "${start}"`, () => t.api.eventsOf(pod).find((text) => text.startsWith(start)));

it('an ephemeral container that cannot run waits with the reason, and its pod goes on', async () => {
  t = await openFixture();
  const first = await t.start();
  t.api.addPod(
    apiPod('debugged', {
      volumes: [{ name: 'claim', flexVolume: { driver: 'd/d' } }], // which nobody mounts at first
    }),
    nodeName,
  );
  const pod = await t.untilReady('debugged');
  const debug = (name: string, more: Partial<EphemeralContainer>): EphemeralContainer => ({
    name,
    image: 'web:1',
    ...more,
  });
  const ephemeralContainers = [
    debug('device', { resources: { claims: [{ name: 'gpu' }] } }),
    debug('ports', { ports: [{ containerPort: 80 }] }),
    debug('volume', { volumeMounts: [{ name: 'claim', mountPath: '/data' }] }),
    debug('plain', {}),
  ];
  await t.api.update(pods, {
    ...pod,
    metadata: { ...pod.metadata, generation: 2 },
    spec: { ...pod.spec, ephemeralContainers },
  });
  const stateOf = (name: string): object | undefined =>
    t.api.pod('debugged')?.status?.ephemeralContainerStatuses?.find((one) => one.name === name)?.state;
  await t.until('the one that can run', () => stateOf('plain') !== undefined && 'running' in (stateOf('plain') ?? {}));

  const what = {
    device: 'dynamic resource allocation (resources.claims of container "device")',
    ports: 'ports for ephemeral containers (ports of container "ports")',
  };
  for (const [name, text] of Object.entries(what)) {
    const message = `Container requires node features that are not available: ${text}`;
    expect(stateOf(name)).toEqual({ waiting: { reason: 'PodFeatureUnsupported', message } });
    await untilEvent('debugged', `PodFeatureUnsupported: ${message}`);
  }
  const message = 'volume "claim" is of type flexVolume, which this node does not support';
  expect(stateOf('volume')).toEqual({ waiting: { reason: 'PodFeatureUnsupported', message } });

  // the pod's own containers go on as if there were no others, and nobody is told twice
  t.cri.exitContainer({ pod: 'debugged', name: 'web' }, 1);
  await t.until('its next instance', () => t.container('debugged', 'web')?.restartCount === 1);
  await t.untilReady('debugged');
  // nor by the next kubelet
  await first.stop();
  await t.start();
  await t.clock.pass(5000);
  const refusals = t.api.eventList().filter(({ reason }) => reason === 'PodFeatureUnsupported');
  expect(refusals.map(({ involvedObject, count }) => `${involvedObject.fieldPath} ${count}`).toSorted()).toEqual([
    'spec.ephemeralContainers{device} 1',
    'spec.ephemeralContainers{ports} 1',
    'spec.ephemeralContainers{volume} 1',
  ]);
  expect(t.api.eventsOf('debugged').filter((text) => text.startsWith('FailedMount'))).toEqual([]);
});

it.each([
  { fields: '1.6' as const, isTold: true },
  { fields: '2.x' as const, isTold: false },
])('a stop signal that a runtime of $fields does not know is told: $isTold', async ({ fields, isTold }) => {
  t = await openFixture({ cri: { fields }, config: { featureGates: { ContainerStopSignals: true } } });
  await t.start();
  const spec = { os: { name: 'linux' }, containers: [webContainer({ lifecycle: { stopSignal: 'SIGUSR1' } })] };
  t.api.addPod(apiPod('signalled', spec), nodeName);
  await t.untilReady('signalled');
  if (isTold) await untilEvent('signalled', 'StopSignalIgnored: Container web asks for the stop signal SIGUSR1, ');
  t.cri.exitContainer({ pod: 'signalled', name: 'web' }, 1);
  await t.until('its next instance', () => t.container('signalled', 'web')?.restartCount === 1);
  await t.untilReady('signalled');
  const told = t.api.eventList().filter(({ reason }) => reason === 'StopSignalIgnored');
  expect(told.map(({ count }) => count)).toEqual(isTold ? [1] : []);
  expect(t.container('signalled', 'web')?.stopSignal).toBe(isTold ? undefined : 'SIGUSR1');
});
