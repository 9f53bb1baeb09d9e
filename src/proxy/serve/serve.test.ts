import { describe, expect, it } from 'vitest';
import { FakeClock } from '../../base/clock.ts';
import { testEndpoint, testPort, testState } from '../compute/test-objects.ts';
import { ProxyHealth } from './health.ts';
import { serviceHealthBody, serviceHealths } from './service-health-ports.ts';

describe('ProxyHealth', () => {
  const build = () => {
    const clock = new FakeClock(Date.UTC(2026, 0, 2, 3, 4, 5));
    return { clock, health: new ProxyHealth(30_000, clock) };
  };

  it('is healthy while it starts and while nothing waits', async () => {
    const { clock, health } = build();
    expect(health.answer(true)).toMatchObject({ code: 200 });
    health.updated('IPv4');
    await clock.advance(600_000);
    expect(health.answer(true).code).toBe(200);
  });

  it('is unhealthy once a request has waited for two periods, until it is served', async () => {
    const { clock, health } = build();
    health.updated('IPv4');
    health.queued('IPv4');
    await clock.advance(59_999);
    expect(health.isHealthy).toBe(true);
    health.queued('IPv4'); // the oldest counts
    await clock.advance(1);
    expect(health.answer(true).code).toBe(503);
    health.updated('IPv4');
    expect(health.answer(true).code).toBe(200);
  });

  it('tells balancers to leave a node that is about to go, and probes nothing of it', () => {
    const { health } = build();
    health.updated('IPv4');
    expect(health.answer(false).code).toBe(503);
    expect(health.answer(undefined).code).toBe(200);
  });

  it('answers with upstream’s fields in their order', () => {
    const { health } = build();
    health.updated('IPv4');
    const time = '2026-01-02T03:04:05.000000000Z';
    expect(health.answer(true).body).toBe(
      `{"lastUpdated":"${time}","currentTime":"${time}","nodeEligible":true,"healthy":true,"status":{"IPv4":{"lastUpdated":"${time}","healthy":true}}}`,
    );
  });
});

describe('serviceHealths', () => {
  it('counts the addresses of ready endpoints on this node', () => {
    const port = testPort({ healthCheckNodePort: 32_000 });
    const local = { isLocal: true };
    const state = testState(port, [
      testEndpoint('10.0.0.1', local),
      testEndpoint('10.0.0.1', { ...local, port: 81 }),
      testEndpoint('10.0.0.2', { ...local, isReady: false, isTerminating: true }),
      testEndpoint('10.0.0.3'),
    ]);
    expect(serviceHealths([state, testState(testPort({ name: 'no' }), [])])).toEqual(
      new Map([['ns1/svc1', { namespace: 'ns1', name: 'svc1', port: 32_000, localEndpoints: 1 }]]),
    );
  });

  it('has upstream’s body', () => {
    expect(serviceHealthBody({ namespace: 'ns', name: 'svc', port: 1, localEndpoints: 1 }, true)).toBe(
      '{\n\t"service": {\n\t\t"namespace": "ns",\n\t\t"name": "svc"\n\t},\n\t"localEndpoints": 1,\n\t"serviceProxyHealthy": true\n}',
    );
  });
});
