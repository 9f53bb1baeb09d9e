import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { events, nodes, pods } from '../../src/client/resource-types.ts';
import type { Pod, PodSpec } from '../../src/objects/generated/core-v1.ts';
import { type ControlPlane, createNode, eventually, startControlPlane } from './control-plane.ts';

let plane: ControlPlane;
beforeEach(async () => {
  plane = await startControlPlane();
});
afterEach(() => plane.stop());

const podOf = (name: string, spec: Partial<PodSpec> = {}): Pod => ({
  metadata: { name, namespace: 'default' },
  spec: { containers: [{ name: 'c', image: 'localhost:1/x', resources: { requests: { cpu: '1' } } }], ...spec },
});
const create = (name: string, spec?: Partial<PodSpec>) => plane.client.create(pods, podOf(name, spec), plane.signal);
const get = (name: string) => plane.client.get(pods, { namespace: 'default', name }, plane.signal);
const eventsOf = async (name: string) =>
  (await plane.client.list(events, { namespace: 'default' }, plane.signal)).items.filter(
    ({ involvedObject }) => involvedObject.name === name,
  );

describe('kube-scheduler on our API server', () => {
  it('binds a pod, says so, and counts it', async () => {
    await createNode(plane, 'n1', { cpu: '2', memory: '4Gi', pods: '10' });
    plane.startScheduler();
    await create('a');
    await create('b');
    await eventually(async () => expect((await get('b')).spec.nodeName).toBe('n1'));
    expect((await get('a')).status?.conditions).toContainEqual(
      expect.objectContaining({ type: 'PodScheduled', status: 'True' }),
    );
    await eventually(async () =>
      expect(await eventsOf('a')).toContainEqual(
        expect.objectContaining({
          type: 'Normal',
          reason: 'Scheduled',
          message: 'Successfully assigned default/a to n1',
          source: expect.objectContaining({ component: 'default-scheduler' }),
        }),
      ),
    );
  });

  it('says why a pod has no node, and places it when there is room', async () => {
    await createNode(plane, 'n1', { cpu: '1', memory: '4Gi', pods: '10' });
    plane.startScheduler();
    await create('a');
    await eventually(async () => expect((await get('a')).spec.nodeName).toBe('n1'));
    await create('b');
    const message = '0/1 nodes are available: 1 Insufficient cpu.';
    await eventually(async () =>
      expect((await get('b')).status?.conditions).toContainEqual(
        expect.objectContaining({ type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message }),
      ),
    );
    await eventually(async () =>
      expect(await eventsOf('b')).toContainEqual(
        expect.objectContaining({ type: 'Warning', reason: 'FailedScheduling', message }),
      ),
    );
    await plane.client.delete(pods, { namespace: 'default', name: 'a' }, { gracePeriodSeconds: 0 }, plane.signal);
    await eventually(async () => expect((await get('b')).spec.nodeName).toBe('n1'));
  });

  it('waits for nodes, for taints to go, and for gates to open; leaves the pods of others alone', async () => {
    plane.startScheduler();
    await create('a');
    await create('gated', { schedulingGates: [{ name: 'example.com/wait' }] });
    await create('foreign', { schedulerName: 'somebody-else' });
    await eventually(async () => expect((await eventsOf('a'))[0]?.message).toBe('no nodes available to schedule pods'));
    const node = await createNode(plane, 'n1');
    await eventually(async () => expect((await get('a')).spec.nodeName).toBe('n1'));
    const taints = [{ key: 'k', value: 'v', effect: 'NoSchedule' }];
    await plane.client.patch(nodes, node.metadata, 'merge', { spec: { taints } }, plane.signal);
    await eventually(async () => {
      await create(`probe-${Date.now()}`);
      const { items } = await plane.client.list(events, { namespace: 'default' }, plane.signal);
      expect(items.map(({ message }) => message)).toContain(
        '0/1 nodes are available: 1 node(s) had untolerated taint(s).',
      );
    });
    await plane.client.patch(
      pods,
      { namespace: 'default', name: 'gated' },
      'merge',
      { spec: { schedulingGates: null } },
      plane.signal,
    );
    await plane.client.patch(nodes, node.metadata, 'merge', { spec: { taints: null } }, plane.signal);
    await eventually(async () => expect((await get('gated')).spec.nodeName).toBe('n1'));
    expect((await get('foreign')).spec.nodeName ?? '').toBe('');
    expect(await eventsOf('foreign')).toEqual([]);
  });
});
