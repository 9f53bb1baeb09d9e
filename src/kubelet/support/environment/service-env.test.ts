import { describe, expect, it } from 'vitest';
import type { Service, ServicePort } from '../../../objects/generated/core-v1.ts';
import { serviceEnvironment } from './service-env.ts';

const service = (namespace: string, name: string, clusterIP: string, ports: ServicePort[]): Service => ({
  metadata: { namespace, name },
  spec: { clusterIP, ports },
});
const api = service('default', 'kubernetes', '10.96.0.1', [{ name: 'https', port: 443 }]);
const redis = service('ns', 'redis-primary', '10.0.0.11', [
  { name: 'a-b', port: 6379, protocol: 'TCP' },
  { port: 53, protocol: 'UDP' },
]);

const names = (services: Service[], namespace: string, links: boolean): string[] =>
  [...serviceEnvironment(services, namespace, links)]
    .filter(([name]) => name.endsWith('_SERVICE_HOST'))
    .map(([name, value]) => `${name}=${value}`);

describe('serviceEnvironment', () => {
  it('writes all variables of a service', () => {
    expect(Object.fromEntries(serviceEnvironment([redis], 'ns', true))).toEqual({
      REDIS_PRIMARY_SERVICE_HOST: '10.0.0.11',
      REDIS_PRIMARY_SERVICE_PORT: '6379',
      REDIS_PRIMARY_SERVICE_PORT_A_B: '6379',
      REDIS_PRIMARY_PORT: 'tcp://10.0.0.11:6379',
      REDIS_PRIMARY_PORT_6379_TCP: 'tcp://10.0.0.11:6379',
      REDIS_PRIMARY_PORT_6379_TCP_PROTO: 'tcp',
      REDIS_PRIMARY_PORT_6379_TCP_PORT: '6379',
      REDIS_PRIMARY_PORT_6379_TCP_ADDR: '10.0.0.11',
      REDIS_PRIMARY_PORT_53_UDP: 'udp://10.0.0.11:53',
      REDIS_PRIMARY_PORT_53_UDP_PROTO: 'udp',
      REDIS_PRIMARY_PORT_53_UDP_PORT: '53',
      REDIS_PRIMARY_PORT_53_UDP_ADDR: '10.0.0.11',
    });
  });

  it('puts IPv6 in brackets in URLs only', () => {
    const variables = serviceEnvironment([service('ns', 'six', 'fd00::1', [{ port: 80 }])], 'ns', true);
    expect(variables.get('SIX_PORT')).toBe('tcp://[fd00::1]:80');
    expect(variables.get('SIX_SERVICE_HOST')).toBe('fd00::1');
    expect(variables.get('SIX_PORT_80_TCP_ADDR')).toBe('fd00::1');
  });

  const own = service('ns', 'kubernetes', '10.9.9.9', [{ port: 1 }]);
  it.each([
    { name: 'own namespace and the API', services: [api, redis], links: true, want: ['KUBERNETES', 'REDIS_PRIMARY'] },
    { name: 'without links the API only', services: [redis, api], links: false, want: ['KUBERNETES'] },
    {
      name: 'headless and IP-less services have none',
      services: [service('ns', 'h', 'None', [{ port: 1 }]), service('ns', 'e', '', [{ port: 1 }])],
      links: true,
      want: [],
    },
    {
      name: 'other namespaces do not show',
      services: [service('x', 'y', '1.1.1.1', [{ port: 1 }])],
      links: true,
      want: [],
    },
  ])('$name', ({ services, links, want }) => {
    expect(names(services, 'ns', links).map((line) => line.split('_SERVICE_HOST')[0])).toEqual(want);
  });

  it.each([[[api, own]], [[own, api]]])("the pod's own service named kubernetes wins", (services) => {
    expect(names(services, 'ns', true)).toEqual(['KUBERNETES_SERVICE_HOST=10.9.9.9']);
    expect(names(services, 'ns', false)).toEqual(['KUBERNETES_SERVICE_HOST=10.96.0.1']);
  });
});
