/** What the model cluster is in nftables: one transaction for everything, and one for each change. */
import { describe, expect, it } from 'vitest';
import type { NftInput } from '../../../adapters/nftables/nftables.ts';
import { FakeClock } from '../../../base/clock.ts';
import { silentLogger } from '../../../base/logger.ts';
import { objectKey } from '../../../objects/object-key.ts';
import { knownService, knownSlice } from '../../collect/known-objects.ts';
import { ServiceTracker } from '../../collect/service-tracker.ts';
import { masqueradeMark } from '../../compute/iptables/static-rules.ts';
import { localTraffic } from '../../compute/local-traffic.ts';
import { modelClusterCidrs, modelNode, modelServices, modelSlices } from '../../compute/model-cluster.ts';
import { nodePortAddresses } from '../../compute/node-port-addresses.ts';
import type { LocalDetection } from '../../proxy-config.ts';
import type { IpFamily } from '../../proxy-model.ts';
import { NftablesInstaller } from './nftables-installer.ts';

const signal = new AbortController().signal;
const byClusterCidr: LocalDetection = { mode: 'ClusterCIDR', clusterCidrs: modelClusterCidrs };

interface Variant {
  name: string;
  family?: IpFamily;
  /** Only these Services; all of them when it is not said. */
  services?: string[];
  detection?: LocalDetection;
  addresses?: string[];
  masqueradeAll?: boolean;
  serviceCidrs?: string[];
}

class ModelProxy {
  readonly #variant: Variant;
  readonly #tracker = new ServiceTracker();
  readonly #applied: string[] = [];
  readonly #installer: NftablesInstaller;

  constructor(variant: Variant) {
    this.#variant = variant;
    const { family = 'IPv4', detection = byClusterCidr, addresses = ['primary'], masqueradeAll = false } = variant;
    this.#installer = new NftablesInstaller(
      {
        family,
        masqueradeMark: masqueradeMark(14),
        masqueradeAll,
        nodePortAddresses: () => nodePortAddresses(addresses, modelNode.ips, family),
        localTraffic: () => localTraffic(detection, [], family),
      },
      {
        nft: {
          apply: async (input: NftInput): Promise<void> => {
            let text = '';
            for await (const piece of input) text += piece;
            this.#applied.push(text);
          },
          objects: () => Promise.resolve({ chains: [], sets: [], maps: [] }),
          chainNames: () => Promise.resolve([]),
          readTable: () => Promise.resolve(),
          setElements: () => Promise.resolve([]),
          foreignCommits: () => 0,
        },
        interfaceIps: () => ['127.0.0.1', '::1', ...modelNode.ips],
        onCleanUpFailed: () => {},
        clock: new FakeClock(),
        log: silentLogger,
      },
    );
    const wanted = modelServices.filter(({ metadata }) => variant.services?.includes(metadata.name) ?? true);
    for (const service of wanted) this.#tracker.setService(objectKey(service), knownService(service).ports[family]);
    for (const slice of modelSlices) {
      const { serviceKey = '', family: ofSlice, endpoints } = knownSlice(slice, modelNode.name);
      this.#tracker.setSlice(serviceKey, slice.metadata.name, ofSlice === family ? endpoints : undefined);
    }
  }

  /** Takes the first so many endpoints of each slice of a Service only. */
  keepEndpoints(serviceKey: string, count: number): void {
    for (const slice of modelSlices) {
      const few = knownSlice({ ...slice, endpoints: (slice.endpoints ?? []).slice(0, count) }, modelNode.name);
      if (few.serviceKey !== serviceKey || few.family !== (this.#variant.family ?? 'IPv4')) continue;
      this.#tracker.setSlice(serviceKey, slice.metadata.name, few.endpoints);
    }
  }

  remove(serviceKey: string): void {
    this.#tracker.setService(serviceKey, []);
  }

  /** The transactions of one sync. */
  async sync(changed?: 'all'): Promise<string> {
    const { family = 'IPv4', serviceCidrs } = this.#variant;
    const taken = await this.#tracker.take();
    const node = { ...modelNode, ip: modelNode.ips[family === 'IPv4' ? 0 : 1] };
    await this.#installer.sync(
      { services: this.#tracker.states, changed: changed ?? taken, node, serviceCidrs },
      signal,
    );
    return this.#applied.splice(0).join('\n');
  }
}

const few = ['node-port', 'here-only', 'balanced-local'];
const variants: Variant[] = [
  { name: 'model-ipv4', serviceCidrs: ['10.96.0.0/16'] },
  { name: 'model-ipv6', family: 'IPv6', addresses: [], serviceCidrs: ['fd00:96::/112'] },
  { name: 'all-addresses', services: ['node-port'], addresses: [] },
  { name: 'chosen-addresses', services: ['node-port'], addresses: ['127.0.0.0/8', '192.168.0.0/24'] },
  { name: 'masquerade-all', services: few, masqueradeAll: true },
  { name: 'interface-prefix', services: few, detection: { mode: 'InterfaceNamePrefix', interfaceNamePrefix: 'veth' } },
  { name: 'no-detector', services: few, detection: { mode: 'ClusterCIDR', clusterCidrs: [] } },
];

describe('the model cluster in nftables', () => {
  it.each(variants)('is golden/$name.txt', async (variant) => {
    await expect(await new ModelProxy(variant).sync('all')).toMatchFileSnapshot(`golden/${variant.name}.txt`);
  });
});

const sticky = 'ip kube-proxy sticky-cluster-shop/sticky/tcp/';
const pair = 'ip saddr . numgen random mod 1 offset 1394334572';
const remember = `update @affinity { ${pair} timeout 10800s } meta l4proto tcp dnat to 10.244.6.9:8080`;

describe('a change of the model cluster is a few elements', () => {
  it.each<{ name: string; change: (proxy: ModelProxy) => void; want: string[] }>([
    { name: 'nothing', change: () => {}, want: [] },
    {
      name: 'an endpoint less',
      change: (proxy) => proxy.keepEndpoints('shop/three', 2),
      want: [
        'delete element ip kube-proxy service-ips { 10.96.0.3 . tcp . 80 }',
        'delete element ip kube-proxy tcp-endpoints { 10.96.0.3 . 80 . 1, 10.96.0.3 . 80 . 2 }',
        'add element ip kube-proxy service-ips { 10.96.0.3 . tcp . 80 : goto cluster-tcp-2 }',
        'add element ip kube-proxy tcp-endpoints { 10.96.0.3 . 80 . 1 : 10.244.2.9 . 8080 }',
        'flush chain ip kube-proxy cluster-tcp-3',
      ],
    },
    {
      name: 'no endpoint any more',
      change: (proxy) => proxy.keepEndpoints('shop/three', 0),
      want: [
        'delete element ip kube-proxy service-ips { 10.96.0.3 . tcp . 80 }',
        'delete element ip kube-proxy tcp-endpoints { 10.96.0.3 . 80 . 0, 10.96.0.3 . 80 . 1, 10.96.0.3 . 80 . 2 }',
        'add element ip kube-proxy no-endpoint-services { 10.96.0.3 . tcp . 80 : goto reject-chain }',
        'flush chain ip kube-proxy cluster-tcp-3',
      ],
    },
    {
      name: 'a Service less: its chain is emptied, and goes later',
      change: (proxy) => proxy.remove('shop/sticky'),
      want: [
        'delete element ip kube-proxy service-ips { 10.96.0.7 . tcp . 80 }',
        'delete element ip kube-proxy cluster-ips { 10.96.0.7 }',
        `flush chain ${sticky}`,
      ],
    },
    {
      name: 'an endpoint of a Service with affinity less: a chain of its own',
      change: (proxy) => proxy.keepEndpoints('shop/sticky', 1),
      want: [
        `add chain ${sticky}`,
        `add chain ${sticky}`,
        `flush chain ${sticky}`,
        `add rule ${sticky} ${pair} @affinity ${remember}`,
        `add rule ${sticky} ${remember}`,
        `add rule ${sticky} meta l4proto tcp dnat ip to numgen random mod 1 map { 0 : 10.244.6.9 . 8080 }`,
      ],
    },
  ])('$name', async ({ change, want }) => {
    const proxy = new ModelProxy({ name: 'change' });
    await proxy.sync('all');
    change(proxy);
    expect((await proxy.sync()).split('\n').filter((line) => line !== '')).toEqual(want);
  });
});
