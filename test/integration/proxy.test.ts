/** A whole kube-proxy on our API server, with a back end that notes what it is asked for instead of writing rules. */
import { createServer } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/logger.ts';
import type { KubeObject, ResourceType } from '../../src/client/api-client.ts';
import { endpointSlices, namespaces, nodes, services } from '../../src/client/resource-types.ts';
import type { Event } from '../../src/objects/generated/events-v1.ts';
import { OwnNode } from '../../src/proxy/collect/own-node.ts';
import { type Installer, PartialSyncError, type SyncRequest } from '../../src/proxy/install/installer.ts';
import { ProxyMetrics } from '../../src/proxy/metrics.ts';
import { parseProxyConfig } from '../../src/proxy/parse-proxy-config.ts';
import { endpointAddress } from '../../src/proxy/proxy-model.ts';
import { Proxy } from '../../src/proxy/proxy.ts';
import { awaitUntil } from '../await-until.ts';
import { type ControlPlane, startControlPlane } from './control-plane.ts';

const nodeName = 'node-1';
const signal = new AbortController().signal;
let plane: ControlPlane;
beforeAll(async () => {
  plane = await startControlPlane();
  await put(namespaces, { metadata: { name: 'shop' } });
});
afterAll(() => plane.stop());

const put = <T extends KubeObject>(type: ResourceType<T>, object: T): Promise<T> =>
  plane.client.create(type, object, signal);

const merge = <T extends KubeObject>(type: ResourceType<T>, name: string, body: unknown): Promise<T> =>
  plane.client.patch(type, type.namespaced ? { namespace: 'shop', name } : { name }, 'merge', body, signal);

const addService = (name: string, spec: object = {}, labels: Record<string, string> = {}) =>
  put(services, {
    metadata: { namespace: 'shop', name, labels },
    spec: { ports: [{ name: 'http', port: 80, protocol: 'TCP' }], ...spec },
  });

const addSlice = (of: string, addresses: string[], labels: Record<string, string> = {}) =>
  put(endpointSlices, {
    metadata: { namespace: 'shop', name: of, labels: { 'kubernetes.io/service-name': of, ...labels } },
    addressType: 'IPv4',
    endpoints: addresses.map((address) => ({ addresses: [address], nodeName })),
    ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
  });

const eventsV1: ResourceType<Event> = {
  prefix: '/apis/events.k8s.io/v1',
  plural: 'events',
  kind: 'Event',
  namespaced: true,
};

const eventOf = (reason: string): Promise<Event> =>
  awaitUntil(`the event ${reason}`, async () =>
    (await plane.client.list(eventsV1, {}, signal)).items.find((event) => event.reason === reason),
  );

interface Asked {
  /** Whether all lists were there, also that of the ranges of cluster IPs. */
  hasRanges: boolean;
  changed: readonly string[] | 'all';
  zone: string | undefined;
  nodeIp: string | undefined;
  /** `namespace/name`, with its endpoints. */
  services: Record<string, string[]>;
}

class NotedInstaller implements Installer {
  readonly asked: Asked[] = [];
  /** What the next syncs end with. */
  readonly failures: Error[] = [];
  lose: () => void = () => {};

  sync({ services: all, changed, node, serviceCidrs }: SyncRequest) {
    this.asked.push({
      hasRanges: serviceCidrs !== undefined,
      changed: changed === 'all' ? 'all' : [...changed],
      zone: node.zone,
      nodeIp: node.ip,
      services: Object.fromEntries(
        [...all].map(([key, { endpoints }]) => [key, [...endpoints.values()].flat().map(endpointAddress)]),
      ),
    });
    const failure = this.failures.shift();
    if (failure !== undefined) return Promise.reject(failure);
    return Promise.resolve({ isFull: changed === 'all', lacksLocal: { internal: 0, external: 1 }, rules: new Map() });
  }

  async watch(onLost: () => void, ends: AbortSignal): Promise<void> {
    this.lose = onLost;
    await new Promise<void>((resolve) => ends.addEventListener('abort', () => resolve(), { once: true }));
  }

  get last(): Asked | undefined {
    return this.asked.at(-1);
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}

let running: Array<() => Promise<void>> = [];
afterEach(async () => {
  for (const end of running.splice(0)) await end();
});

async function startProxy(fields: object = {}) {
  const [healthz, metricsPort] = [await freePort(), await freePort()];
  const config = parseProxyConfig(
    {
      iptables: { minSyncPeriod: '0s', syncPeriod: '100ms' },
      healthzBindAddress: `127.0.0.1:${healthz}`,
      metricsBindAddress: `127.0.0.1:${metricsPort}`,
      ...fields,
    },
    { source: 'a test', isZeroMeant: true },
  );
  const { client } = plane;
  const [clock, log] = [systemClock, silentLogger];
  const installer = new NotedInstaller();
  const proxy = new Proxy(config, nodeName, {
    client,
    node: new OwnNode({ name: nodeName, bindAddress: config.bindAddress }, { client, clock, log }),
    installers: new Map([['IPv4', installer]]),
    flows: { flows: () => Promise.resolve(), deleteFlows: () => Promise.resolve(0) },
    metrics: new ProxyMetrics(config.mode),
    flags: {},
    setVerbosity: () => {},
    interfaceIps: () => ['127.0.0.1'],
    clock,
    log,
  });
  const stop = new AbortController();
  const done = proxy.run(stop.signal);
  const settled = done.catch(() => {}); // a test that expects a failure looks at `done`
  running.push(() => {
    stop.abort();
    return settled;
  });
  const page = async (port: number, path: string): Promise<{ code: number; body: string }> => {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`);
    return { code: answer.status, body: await answer.text() };
  };
  return {
    installer,
    done,
    health: (path: string) => page(healthz, path),
    metrics: async (): Promise<string> => (await page(metricsPort, '/metrics')).body,
    sees: (what: string, look: (asked: Asked) => boolean): Promise<Asked> =>
      awaitUntil(what, () => {
        const { last } = installer;
        return last !== undefined && look(last) ? last : undefined;
      }),
  };
}

describe('kube-proxy on an API server', () => {
  beforeAll(async () => {
    await put(nodes, { metadata: { name: nodeName, labels: { 'topology.kubernetes.io/zone': 'z1' } }, spec: {} });
    await addService('web');
    await addSlice('web', ['10.0.0.2', '10.0.0.10']);
    await addService('headless', { clusterIP: 'None' });
    await addSlice('headless', ['10.0.0.3'], { 'service.kubernetes.io/headless': '' });
    await addService('others', {}, { 'service.kubernetes.io/service-proxy-name': 'another' });
    await addSlice('others', ['10.0.0.4']);
    await addService('outside', { type: 'ExternalName', externalName: 'example.com', ports: [] });
  });

  it('starts with everything that is there at once, and with nothing of others', async () => {
    const { installer, sees } = await startProxy();
    await sees('a sync with all lists', ({ hasRanges }) => hasRanges);
    expect(installer.asked[0]).toMatchObject({ changed: 'all' });
    const { 'default/kubernetes': _, ...ours } = installer.asked[0]?.services ?? {};
    expect(ours).toEqual({ 'shop/web': ['10.0.0.10:8080', '10.0.0.2:8080'] });
  });

  it('names what has changed, and forgets a Service that is given to another proxy', async () => {
    const { installer, sees } = await startProxy();
    await sees('a sync with all lists', ({ hasRanges }) => hasRanges);
    await merge(endpointSlices, 'web', { endpoints: [{ addresses: ['10.0.0.5'] }] });
    const changed = await sees('the endpoint', ({ services: all }) => all['shop/web']?.[0] === '10.0.0.5:8080');
    expect(changed).toMatchObject({ changed: ['shop/web'] });
    const label = 'service.kubernetes.io/service-proxy-name';
    const syncs = installer.asked.length;
    // the slice of a Service that is another proxy's changes nothing
    await merge(endpointSlices, 'others', { endpoints: [{ addresses: ['10.0.0.6'] }] });
    await merge(services, 'web', { metadata: { labels: { [label]: '' } } });
    const without = await sees('no Service', ({ services: all }) => all['shop/web'] === undefined);
    expect(without.changed).toEqual(['shop/web']);
    expect(without.services['shop/others']).toBeUndefined();
    expect(installer.asked.slice(syncs).flatMap(({ changed: keys }) => keys)).not.toContain('shop/others');
    await merge(services, 'web', { metadata: { labels: { [label]: null } } });
    const back = await sees('the Service', ({ services: all }) => all['shop/web'] !== undefined);
    expect(back.services['shop/web']).toEqual(['10.0.0.5:8080']);
  });

  it('syncs everything when the zone or an address changes, or the rules are lost', async () => {
    const { installer, sees } = await startProxy();
    await sees('the first zone', ({ zone, hasRanges }) => zone === 'z1' && hasRanges);
    await merge(nodes, nodeName, { metadata: { labels: { 'topology.kubernetes.io/zone': 'z2' } } });
    expect(await sees('the new zone', ({ zone }) => zone === 'z2')).toMatchObject({ changed: 'all' });
    const addresses = [
      { type: 'Hostname', address: 'node-1' },
      { type: 'ExternalIP', address: '203.0.113.1' },
      { type: 'InternalIP', address: '10.1.0.1' },
    ];
    const status = { name: nodeName, subresource: 'status' };
    await plane.client.patch(nodes, status, 'merge', { status: { addresses } }, signal);
    expect(await sees('the address', ({ nodeIp }) => nodeIp === '10.1.0.1')).toMatchObject({ changed: 'all' });
    const syncs = installer.asked.length;
    installer.lose();
    await awaitUntil('another sync', () => installer.asked.length > syncs);
    expect(installer.last).toMatchObject({ changed: 'all' });
    await merge(nodes, nodeName, { metadata: { labels: { 'topology.kubernetes.io/zone': 'z1' } } });
  });

  it('tries a failed sync again with everything, and counts it', async () => {
    const { installer, sees, metrics } = await startProxy();
    await sees('a sync with all lists', ({ hasRanges }) => hasRanges);
    installer.failures.push(new PartialSyncError('no'), new Error('no again'));
    const syncs = installer.asked.length;
    await merge(endpointSlices, 'web', { endpoints: [{ addresses: ['10.0.0.7'] }] });
    await awaitUntil('two more tries', () => installer.asked.length >= syncs + 3);
    expect(installer.asked.slice(syncs, syncs + 3).map(({ changed }) => changed)).toEqual([['shop/web'], 'all', 'all']);
    const text = await metrics();
    expect(text).toContain('kubeproxy_sync_proxy_rules_iptables_restore_failures_total{ip_family="IPv4"} 2');
    expect(text).toContain('kubeproxy_sync_proxy_rules_iptables_partial_restore_failures_total{ip_family="IPv4"} 1');
    expect(text).toContain(
      'kubeproxy_sync_proxy_rules_no_local_endpoints_total{ip_family="IPv4",traffic_policy="external"} 1',
    );
  });

  it('does not wait for a period when only the changes could not be written', async () => {
    const { installer, sees } = await startProxy({ iptables: { minSyncPeriod: '0s', syncPeriod: '1h' } });
    await sees('a sync with all lists', ({ hasRanges }) => hasRanges);
    installer.failures.push(new PartialSyncError('no'));
    const syncs = installer.asked.length;
    await merge(endpointSlices, 'web', { endpoints: [{ addresses: ['10.0.0.11'] }] });
    await awaitUntil('another try', () => installer.asked.length >= syncs + 2);
    expect(installer.last).toMatchObject({ changed: 'all' });
  });

  it('times each change of pods that the controller dates', async () => {
    const { sees, metrics } = await startProxy();
    await sees('a sync with all lists', ({ hasRanges }) => hasRanges);
    const stamp = 'endpoints.kubernetes.io/last-change-trigger-time';
    const change = (address: string, at: string) =>
      merge(endpointSlices, 'web', {
        metadata: { annotations: { [stamp]: at } },
        endpoints: [{ addresses: [address] }],
      });
    await change('10.0.0.8', '2020-01-01T00:00:00Z'); // before this process began
    await sees('the old change', ({ services: all }) => all['shop/web']?.[0] === '10.0.0.8:8080');
    await change('10.0.0.9', new Date(systemClock.nowMs() + 1).toISOString());
    await sees('the new change', ({ services: all }) => all['shop/web']?.[0] === '10.0.0.9:8080');
    await awaitUntil('one change timed', async () =>
      (await metrics()).includes('kubeproxy_network_programming_duration_seconds_count{ip_family="IPv4"} 1'),
    );
  });

  it('tells its start as an event, and by its health whether the node stays', async () => {
    const { sees, health } = await startProxy();
    await sees('a sync with all lists', ({ hasRanges }) => hasRanges);
    const started = await eventOf('Starting');
    expect(started).toMatchObject({
      type: 'Normal',
      action: 'StartKubeProxy',
      reportingController: 'kube-proxy',
      regarding: { apiVersion: 'v1', kind: 'Node', name: nodeName },
    });
    expect((await health('/healthz')).code).toBe(200);
    const taint = { key: 'ToBeDeletedByClusterAutoscaler', effect: 'NoSchedule' };
    await merge(nodes, nodeName, { spec: { taints: [taint] } });
    await awaitUntil('the taint', async () => (await health('/healthz')).code === 503);
    expect(JSON.parse((await health('/healthz')).body)).toMatchObject({ nodeEligible: false, healthy: true });
    expect((await health('/livez')).code).toBe(200);
    await merge(nodes, nodeName, { spec: { taints: null } });
  });

  it('tells of a health check port that is taken, on the Service', async () => {
    const { spec } = await addService('balanced', { type: 'LoadBalancer', externalTrafficPolicy: 'Local' });
    const port = spec.healthCheckNodePort ?? 0;
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(port, '0.0.0.0', resolve));
    const { sees } = await startProxy();
    await sees('the Service', ({ services: all }) => all['shop/balanced'] !== undefined);
    expect(await eventOf('FailedToStartServiceHealthcheck')).toMatchObject({
      metadata: { namespace: 'shop' },
      type: 'Warning',
      action: 'Listen',
      regarding: { kind: 'Service', namespace: 'shop', name: 'balanced' },
      note: expect.stringMatching(
        `^node ${nodeName} failed to start healthcheck "shop/balanced" on port ${port}: .*EADDRINUSE`,
      ),
    });
    await new Promise((resolve) => taken.close(resolve));
    await plane.client.delete(services, { namespace: 'shop', name: 'balanced' }, {}, signal);
  });

  it.each([
    { field: 'metricsBindAddress', reason: 'FailedToStartMetricServer', note: 'starting metrics server failed: ' },
    {
      field: 'healthzBindAddress',
      reason: 'FailedToStartProxierHealthcheck',
      note: 'failed to start proxier healthz on 127.0.0.1:',
    },
  ])('ends, where it must, when $field is taken, and tells of it', async ({ field, reason, note }) => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
    const address = taken.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const { done } = await startProxy({ [field]: `127.0.0.1:${port}`, bindAddressHardFail: true });
    await expect(done).rejects.toThrow(`on "127.0.0.1:${port}"`);
    expect(await eventOf(reason)).toMatchObject({
      type: 'Warning',
      action: 'StartKubeProxy',
      regarding: { kind: 'Node', name: nodeName },
      note: expect.stringContaining(note),
    });
    await new Promise((resolve) => taken.close(resolve));
  });

  it('with NodeCIDR waits for the ranges, and ends when they change', async () => {
    const { installer, done, sees, health } = await startProxy({ detectLocalMode: 'NodeCIDR' });
    await awaitUntil('the node to be known', async () => (await health('/healthz')).code === 200);
    expect(installer.asked).toEqual([]);
    await merge(nodes, nodeName, { spec: { podCIDR: '10.0.0.0/24', podCIDRs: ['10.0.0.0/24'] } });
    await sees('a sync with all lists', ({ hasRanges }) => hasRanges);
    const ended = expect(done).rejects.toThrow('podCIDRs have changed from 10.0.0.0/24 to 10.0.1.0/24');
    // the API lets nobody change them: another node takes the name
    await plane.client.delete(nodes, { name: nodeName }, {}, signal);
    await put(nodes, { metadata: { name: nodeName }, spec: { podCIDR: '10.0.1.0/24', podCIDRs: ['10.0.1.0/24'] } });
    await ended;
  });
});
