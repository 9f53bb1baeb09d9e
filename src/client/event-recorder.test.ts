import { describe, expect, it } from 'vitest';
import { FakeClock } from '../base/clock.ts';
import { NotFoundError, UnavailableError } from '../base/errors.ts';
import { silentLogger } from '../base/logger.ts';
import type { Event } from '../objects/generated/core-v1.ts';
import { ApiStatusError, type KubeObject, type PatchType, type ResourceType } from './api-client.ts';
import { EventRecorder } from './event-recorder.ts';

function recorderOn(answer: (call: string) => void) {
  const clock = new FakeClock();
  const written: Array<{ call: string; body: unknown }> = [];
  const recorder = new EventRecorder({
    client: {
      create: <T extends KubeObject>(_: ResourceType<T>, object: T) => {
        written.push({ call: 'create', body: object });
        return Promise.resolve()
          .then(() => answer('create'))
          .then(() => object);
      },
      patch: <T extends KubeObject>(_: ResourceType<T>, ref: { name: string }, __: PatchType, body: unknown) => {
        written.push({ call: `patch ${ref.name}`, body });
        return Promise.resolve()
          .then(() => answer('patch'))
          .then(() => ({ metadata: ref, ...(body as object) }) as unknown as T); // the fields that are read
      },
    },
    component: 'kubelet',
    host: 'node-1',
    clock,
    log: silentLogger,
  });
  const stop = new AbortController();
  const ended = recorder.run(stop.signal);
  return { clock, written, recorder, end: () => (stop.abort(), ended) };
}

const target = { apiVersion: 'v1', kind: 'Pod', namespace: 'ns', name: 'web', uid: 'u1' };

describe('EventRecorder', () => {
  it('writes the fields that tools read, then counts', async () => {
    const { clock, written, recorder, end } = recorderOn(() => {});
    recorder.record(target, 'Normal', 'Started', 'Container started');
    recorder.record(target, 'Normal', 'Started', 'Container started');
    await clock.advance(0);
    const event = written[0]?.body as Event; // the recorder's own
    expect(event).toMatchObject({
      metadata: { namespace: 'ns' },
      involvedObject: target,
      source: { component: 'kubelet', host: 'node-1' },
      reportingComponent: 'kubelet',
      reportingInstance: 'node-1',
      count: 1,
      type: 'Normal',
      reason: 'Started',
    });
    expect(event.metadata.name).toMatch(/^web\.[0-9a-f]{16}$/);
    expect(written[1]).toMatchObject({ call: `patch ${event.metadata.name}`, body: { count: 2 } });
    await end();
  });

  it('creates anew when the event to count is gone', async () => {
    const { clock, written, recorder, end } = recorderOn((call) => {
      if (call === 'patch') throw new NotFoundError('gone', { cause: new ApiStatusError(404, 'NotFound', 'gone') });
    });
    recorder.record(target, 'Normal', 'Started', 'x');
    recorder.record(target, 'Normal', 'Started', 'x');
    await clock.advance(0);
    expect(written.map(({ call }) => call.split(' ')[0])).toEqual(['create', 'patch', 'create']);
    await end();
  });

  it('gives up after twelve tries without a server, and at once when the server refuses', async () => {
    let refuse = false;
    const { clock, written, recorder, end } = recorderOn(() => {
      if (refuse) throw new UnavailableError('no', { cause: new ApiStatusError(500, 'InternalError', 'no') });
      throw new UnavailableError('no connection');
    });
    recorder.record(target, 'Normal', 'Started', 'x');
    await clock.advance(200_000);
    expect(written).toHaveLength(12);
    refuse = true;
    recorder.record(target, 'Normal', 'Stopped', 'y');
    await clock.advance(200_000);
    expect(written).toHaveLength(13);
    await end();
  });

  it('puts events about cluster-wide objects into "default", and keeps its queue bounded', async () => {
    const { clock, written, recorder, end } = recorderOn(() => {});
    for (let i = 0; i < 1200; i++) {
      recorder.record({ apiVersion: 'v1', kind: 'Node', name: `n${i}` }, 'Normal', 'NodeReady', 'x');
    }
    for (let i = 0; i < 400; i++) await clock.advance(0);
    expect(written).toHaveLength(1000);
    expect(written[0]?.body).toMatchObject({ metadata: { namespace: 'default' } });
    await end();
  });
});
