import { describe, expect, it } from 'vitest';
import { FakeClock } from '../base/clock.ts';
import { UnavailableError } from '../base/errors.ts';
import { silentLogger } from '../base/logger.ts';
import type { ApiClient, KubeObject } from '../client/api-client.ts';
import { ProxyEvents } from './proxy-events.ts';

const signal = new AbortController().signal;
const starting = { type: 'Normal', reason: 'Starting', action: 'StartKubeProxy', note: '' } as const;

const build = (failures: Error[]) => {
  const stored: KubeObject[] = [];
  let tries = 0;
  const client: Pick<ApiClient, 'create'> = {
    create: (_, object) => {
      tries++;
      const failure = failures.shift();
      if (failure !== undefined) return Promise.reject(failure);
      stored.push(object);
      return Promise.resolve(object);
    },
  };
  const clock = new FakeClock(Date.UTC(2026, 0, 2));
  const events = new ProxyEvents({ client, nodeName: 'n1', clock, log: silentLogger });
  return { events, stored, clock, tries: () => tries };
};

describe('ProxyEvents', () => {
  it('has upstream’s form, about the node in no namespace of its own', async () => {
    const { events, stored } = build([]);
    await events.report({ ...starting, regarding: events.nodeReference }, signal);
    await events.report({ ...starting, regarding: events.nodeReference }, signal);
    expect(stored[0]).toMatchObject({
      metadata: { namespace: 'default', name: expect.stringMatching(/^n1\.[0-9a-f]{16}$/) },
      reportingController: 'kube-proxy',
      reportingInstance: 'kube-proxy-n1',
      regarding: { apiVersion: 'v1', kind: 'Node', name: 'n1' },
      ...starting,
    });
    expect(stored[1]?.metadata.name).not.toBe(stored[0]?.metadata.name);
  });

  it('is told again while the API server is away, and not when it is not wanted', async () => {
    const away = build([new UnavailableError('away'), new UnavailableError('away')]);
    const told = away.events.reportSurely({ ...starting, regarding: away.events.nodeReference }, signal);
    await away.clock.advance(20_000);
    await told;
    expect([away.stored.length, away.tries()]).toEqual([1, 3]);
    const refused = build([new Error('forbidden')]);
    await refused.events.reportSurely({ ...starting, regarding: refused.events.nodeReference }, signal);
    expect([refused.stored.length, refused.tries()]).toEqual([0, 1]);
  });
});
