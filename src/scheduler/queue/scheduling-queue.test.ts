import { describe, expect, it } from 'vitest';
import { FakeClock } from '../../base/clock.ts';
import type { Pod } from '../../objects/generated/core-v1.ts';
import { type FilterName, SchedulingQueue } from './scheduling-queue.ts';

const pod = (name: string, priority = 0, gates: string[] = []): Pod => ({
  metadata: { name, namespace: 'ns', uid: name },
  spec: { containers: [], priority, schedulingGates: gates.map((gate) => ({ name: gate })) },
});

function setUp() {
  const clock = new FakeClock();
  const queue = new SchedulingQueue(clock);
  const stop = new AbortController();
  const pop = async () => {
    const popped = await queue.pop(stop.signal);
    if (popped === undefined) throw new Error('the queue was stopped');
    return popped;
  };
  return { clock, queue, stop, pop };
}
const rejectedBy = (...filters: FilterName[]) => new Set(filters);

describe('SchedulingQueue', () => {
  it('pops by priority, then by age', async () => {
    const { clock, queue, pop } = setUp();
    queue.add(pod('old'));
    await clock.advance(10);
    queue.add(pod('young'));
    queue.add(pod('important', 5));
    const names = [await pop(), await pop(), await pop()].map((queued) => queued.pod.metadata.name);
    expect(names).toEqual(['important', 'old', 'young']);
  });

  it.each([
    { event: 'pod-deleted', filter: 'NodeResourcesFit', wakes: true },
    { event: 'pod-deleted', filter: 'TaintToleration', wakes: false },
    { event: 'node-changed', filter: 'TaintToleration', wakes: true },
    { event: 'node-added', filter: 'Unsupported', wakes: false },
    { event: 'pod-added', filter: 'InterPodAffinity', wakes: true },
  ] as const)('$event wakes a pod rejected by $filter: $wakes', async ({ event, filter, wakes }) => {
    const { queue, pop } = setUp();
    queue.add(pod('p'));
    queue.park(await pop(), rejectedBy(filter));
    queue.notice(event);
    expect(queue.sizes).toMatchObject({ unschedulable: wakes ? 0 : 1, backoff: wakes ? 1 : 0 });
  });

  it('does not lose an event that came while the pod was being tried', async () => {
    const { queue, pop } = setUp();
    queue.add(pod('p'));
    const queued = await pop();
    queue.notice('pod-deleted');
    queue.park(queued, rejectedBy('NodeResourcesFit'));
    expect(queue.sizes).toMatchObject({ unschedulable: 0, backoff: 1 });
  });

  it('lets failed pods wait longer each time, up to ten seconds', async () => {
    const { clock, queue, pop } = setUp();
    queue.add(pod('p'));
    const waitsMs: number[] = [];
    let queued = await pop();
    for (let failures = 0; failures < 6; failures++) {
      queue.retryLater(queued);
      const startMs = clock.nowMs();
      let poppedMs = 0;
      const next = pop().then((again) => {
        poppedMs = clock.nowMs();
        return again;
      });
      await clock.advance(10_000);
      waitsMs.push(poppedMs - startMs);
      queued = await next;
    }
    expect(waitsMs).toEqual([1000, 2000, 4000, 8000, 10_000, 10_000]);
  });

  it('tries parked pods again after five minutes', async () => {
    const { clock, queue, pop } = setUp();
    queue.add(pod('p'));
    queue.park(await pop(), rejectedBy('TaintToleration'));
    const next = pop();
    await clock.advance(299_000);
    expect(queue.sizes.unschedulable).toBe(1);
    await clock.advance(1000);
    expect((await next).pod.metadata.name).toBe('p');
  });

  it('keeps gated pods back until their gates are gone', async () => {
    const { queue, pop } = setUp();
    queue.add(pod('p', 0, ['wait']));
    expect(queue.sizes).toMatchObject({ gated: 1, active: 0 });
    queue.add(pod('p'));
    expect((await pop()).pod.metadata.name).toBe('p');
    expect(queue.sizes).toMatchObject({ gated: 0, active: 0 });
  });

  it('forgets a pod that was deleted while it was being tried', async () => {
    const { queue, pop } = setUp();
    queue.add(pod('p'));
    const queued = await pop();
    queue.remove(queued.pod);
    queue.park(queued, rejectedBy('NodeResourcesFit'));
    expect(queue.sizes).toEqual({ active: 0, backoff: 0, unschedulable: 0, gated: 0 });
  });

  it('ends with its signal', async () => {
    const { queue, stop } = setUp();
    const popping = queue.pop(stop.signal);
    stop.abort();
    expect(await popping).toBeUndefined();
  });
});
