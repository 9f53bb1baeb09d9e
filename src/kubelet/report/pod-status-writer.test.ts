import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { testPod } from '../../../test/fixtures/kubelet-pods.ts';
import { FakeClock } from '../../base/clock.ts';
import { ConflictError, NotFoundError, UnavailableError } from '../../base/errors.ts';
import { silentLogger } from '../../base/logger.ts';
import type { ApiClient } from '../../client/api-client.ts';
import type { Pod, PodStatus } from '../../objects/generated/core-v1.ts';
import { PodStatusWriter } from './pod-status-writer.ts';

let clock: FakeClock;
let stop: AbortController;
let running: Promise<void>;
let copies: Map<string, Pod>;
let calls: unknown[][];
let failure: Error | undefined;
let hang: Promise<void> | undefined;
let couldRun: boolean;
let finished: Set<string>;
let version: number;
let written: number[];
let writer: PodStatusWriter;

beforeEach(() => {
  clock = new FakeClock();
  stop = new AbortController();
  copies = new Map();
  calls = [];
  failure = undefined;
  hang = undefined;
  couldRun = true;
  finished = new Set();
  version = 100;
  written = [];
  const api = {
    patch: async (
      _: unknown,
      { name, subresource }: { name: string; subresource: string },
      kind: string,
      body: { metadata: { uid: string }; status: PodStatus },
    ) => {
      calls.push(['patch', name, subresource, kind, body]);
      if (name === 'slow') await hang;
      if (failure !== undefined) throw failure;
      const copy = copies.get(body.metadata.uid);
      const status: Record<string, unknown> = { ...copy?.status };
      for (const [key, value] of Object.entries(body.status)) status[key] = value;
      return { ...copy, metadata: { ...copy?.metadata, resourceVersion: String(++version) }, status };
    },
    delete: (_: unknown, { name }: { name: string }, options: unknown) => {
      calls.push(['delete', name, options]);
      return failure === undefined ? Promise.resolve() : Promise.reject(failure);
    },
  } as unknown as Pick<ApiClient, 'patch' | 'delete'>; // only pods are written
  writer = new PodStatusWriter({
    api,
    apiCopy: (uid) => copies.get(uid),
    couldHaveRunningContainers: () => couldRun,
    isFinished: (uid) => finished.has(uid),
    onWritten: (sinceChangeMs) => written.push(sinceChangeMs),
    clock,
    log: silentLogger,
  });
  running = writer.run(stop.signal);
});
afterEach(async () => {
  stop.abort();
  await running;
});

const add = (uid: string, metadata: Partial<Pod['metadata']> = {}, status: PodStatus = { phase: 'Pending' }): Pod => {
  const pod = { ...testPod({}, { uid, name: uid, resourceVersion: '1', ...metadata }), status };
  copies.set(uid, pod);
  return pod;
};
const settle = (): Promise<void> => clock.advance(0);
const patchOf = (uid: string, status: unknown): unknown[] => [
  'patch',
  uid,
  'status',
  'strategic',
  { metadata: { uid }, status },
];

describe('PodStatusWriter', () => {
  it('patches what differs, with the uid as precondition, and nothing when nothing does', async () => {
    add('a');
    writer.set('a', { phase: 'Running' });
    await settle();
    expect(calls).toEqual([patchOf('a', { phase: 'Running' })]);
    expect(writer.get('a')).toEqual({ phase: 'Running' });
    writer.set('a', { phase: 'Running' });
    await clock.advance(30_000);
    expect(calls).toHaveLength(1); // the watch is behind: the answer to our write counts
  });

  it('tells how long the API was behind, from the first change that it had not seen', async () => {
    add('a');
    failure = new UnavailableError('away');
    writer.set('a', { phase: 'Running' });
    await clock.advance(100);
    failure = undefined;
    writer.set('a', { phase: 'Running', reason: 'x' });
    await settle();
    expect(written).toEqual([100]);
    writer.set('a', { phase: 'Running', reason: 'x' }); // nothing that the API does not have
    await clock.advance(5000);
    writer.set('a', { phase: 'Running' });
    await settle();
    expect(written).toEqual([100, 0]);
  });

  it('writes what the API lost, since the kubelet knows best', async () => {
    add('a');
    writer.set('a', { phase: 'Running' });
    await settle();
    add('a', { resourceVersion: '500' }, { phase: 'Pending' });
    await clock.advance(10_000);
    expect(calls).toHaveLength(2);
  });

  it('waits until the API has the pod: a mirror comes later', async () => {
    writer.set('a', { phase: 'Running' });
    await settle();
    expect(calls).toEqual([]);
    add('mirror');
    copies.set('a', add('mirror'));
    writer.mark('a');
    await settle();
    expect(calls).toEqual([
      ['patch', 'mirror', 'status', 'strategic', { metadata: { uid: 'mirror' }, status: { phase: 'Running' } }],
    ]);
  });

  it('holds a terminal phase back while containers could run', async () => {
    add('a', {}, { phase: 'Running' });
    writer.set('a', { phase: 'Failed', reason: 'Evicted', podIP: '10.0.0.1' });
    await clock.advance(250);
    expect(calls).toEqual([patchOf('a', { podIP: '10.0.0.1' })]);
    couldRun = false;
    writer.mark('a');
    await settle();
    expect(calls[1]).toEqual(patchOf('a', { phase: 'Failed', reason: 'Evicted' }));
  });

  it('tells a terminal phase that is free in a moment in one write', async () => {
    add('a', {}, { phase: 'Running' });
    writer.set('a', { phase: 'Succeeded', podIP: '10.0.0.1' });
    await clock.advance(200);
    couldRun = false;
    writer.mark('a');
    await clock.advance(1000);
    expect(calls).toEqual([patchOf('a', { phase: 'Succeeded', podIP: '10.0.0.1' })]);
  });

  it('deletes a pod when it is to go, the API shows it finished, and nothing is left: in two steps, once', async () => {
    couldRun = false;
    add('a', { deletionTimestamp: 'now' }, { phase: 'Running' });
    writer.set('a', { phase: 'Succeeded' });
    await settle();
    expect(calls.map(([what]) => what)).toEqual(['patch']);
    finished.add('a');
    writer.mark('a');
    await settle();
    expect(calls[1]).toEqual(['delete', 'a', { gracePeriodSeconds: 0, preconditions: { uid: 'a' } }]);
    await clock.advance(30_000);
    expect(calls).toHaveLength(2);
    expect(writer.get('a')).toBeUndefined();
  });

  it.each([
    { name: 'that is not to go', metadata: {}, phase: 'Succeeded', isFinished: true },
    {
      name: 'of which something is left',
      metadata: { deletionTimestamp: 'now' },
      phase: 'Succeeded',
      isFinished: false,
    },
    {
      name: 'that is a mirror',
      metadata: { deletionTimestamp: 'now', annotations: { 'kubernetes.io/config.mirror': 'h' } },
      phase: 'Succeeded',
      isFinished: true,
    },
  ])('does not delete a pod $name', async ({ metadata, phase, isFinished }) => {
    couldRun = false;
    add('a', metadata, { phase });
    if (isFinished) finished.add('a');
    writer.set('a', { phase });
    await clock.advance(20_000);
    expect(calls.filter(([what]) => what === 'delete')).toEqual([]);
  });

  it('tries again when the API is away, longer each time, until it is told', async () => {
    add('a');
    failure = new UnavailableError('away');
    writer.set('a', { phase: 'Running' });
    await clock.advance(5000);
    const tries = calls.length;
    expect(tries).toBeGreaterThan(2);
    expect(tries).toBeLessThan(8);
    failure = undefined;
    await clock.advance(15_000);
    expect(calls.length).toBeGreaterThan(tries);
    const told = calls.length;
    await clock.advance(30_000);
    expect(calls).toHaveLength(told);
  });

  it.each([new NotFoundError('gone'), new ConflictError('another uid')])(
    'lets a pod go that is gone or replaced: $name',
    async (err) => {
      add('a');
      failure = err;
      writer.set('a', { phase: 'Running' });
      await clock.advance(5000);
      expect(calls).toHaveLength(1);
    },
  );

  it('a slow write of one pod holds up no other, and is followed by the newest alone', async () => {
    const released = Promise.withResolvers<void>();
    hang = released.promise;
    add('slow');
    add('b');
    writer.set('slow', { phase: 'Running' });
    await settle();
    writer.set('slow', { phase: 'Running', podIP: '1' });
    writer.set('slow', { phase: 'Running', podIP: '2' });
    writer.set('b', { phase: 'Running' });
    await settle();
    expect(calls.map(([, name]) => name)).toEqual(['slow', 'b']);
    released.resolve();
    await settle();
    expect(calls.slice(2)).toEqual([patchOf('slow', { podIP: '2' })]);
  });

  it.each([
    { name: 'told', error: undefined },
    { name: 'not told', error: new UnavailableError('away') },
  ])('remembers nothing of a pod that is forgotten while it is $name', async ({ error }) => {
    const asked = Promise.withResolvers<void>();
    hang = asked.promise;
    add('slow');
    writer.set('slow', { phase: 'Running' });
    await settle();
    writer.forget('slow');
    failure = error;
    asked.resolve();
    await clock.advance(60_000);
    expect(calls).toHaveLength(1);
    // one that comes back by this name is told as the API has it, not as it was answered then
    failure = undefined;
    add('slow', { resourceVersion: '1' }, { phase: 'Pending' });
    writer.set('slow', { phase: 'Running' });
    await settle();
    expect(calls).toHaveLength(2);
  });

  it('keeps statuses without an API, for those who ask here', async () => {
    const alone = new PodStatusWriter({
      api: undefined,
      apiCopy: () => undefined,
      couldHaveRunningContainers: () => false,
      isFinished: () => false,
      clock,
      log: silentLogger,
    });
    const done = alone.run(stop.signal);
    alone.set('a', { phase: 'Running' });
    await settle();
    expect(alone.get('a')).toEqual({ phase: 'Running' });
    expect(alone.uids()).toEqual(['a']);
    alone.forget('a');
    expect(alone.get('a')).toBeUndefined();
    stop.abort();
    await done;
  });
});
