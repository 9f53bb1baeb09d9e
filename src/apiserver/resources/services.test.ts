import { describe, expect, it } from 'vitest';
import type { ServiceSpec } from '../../objects/generated/core-v1.ts';
import { ServiceAllocator } from './service-allocator.ts';
import { serviceStrategy } from './services.ts';

const strategy = serviceStrategy(new ServiceAllocator('10.96.0.0/16', { first: 30_000, last: 32_767 }));

describe('how a Service wants its traffic', () => {
  it.each<{ spec: Partial<ServiceSpec>; want: string | undefined }>([
    { spec: { trafficDistribution: 'PreferSameNode', internalTrafficPolicy: 'Local' }, want: undefined },
    { spec: { sessionAffinity: 'ClientIP' }, want: undefined },
    {
      spec: { trafficDistribution: 'Near' },
      want: 'Unsupported value: "Near": supported values: "PreferClose", "PreferSameNode", "PreferSameZone"',
    },
    {
      spec: { internalTrafficPolicy: 'Here' },
      want: 'Unsupported value: "Here": supported values: "Cluster", "Local"',
    },
    {
      spec: { type: 'NodePort', externalTrafficPolicy: 'Here' },
      want: 'Unsupported value: "Here": supported values: "Cluster", "Local"',
    },
    {
      spec: { sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 86_401 } } },
      want: 'Invalid value: 86401: must be greater than 0 and less than 86400',
    },
  ])('$spec: $want', ({ spec, want }) => {
    const service = {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { namespace: 'default', name: 'web' },
      spec: { ports: [{ port: 80 }], ...structuredClone(spec) },
    };
    strategy.applyDefaults?.(service);
    strategy.prepareCreate?.(service);
    const phrases = strategy.validate?.(service).map(({ phrase }) => phrase) ?? [];
    expect(phrases).toEqual(want === undefined ? [] : [want]);
  });
});
