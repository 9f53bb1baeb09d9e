/** What the model cluster is in nftables: one transaction for everything, and one for each change. */
import { describe, expect, it } from 'vitest';
import { ModelProxy, type ModelVariant } from './test-model.ts';

const few = ['node-port', 'here-only', 'balanced-local'];
const variants: Array<ModelVariant & { name: string }> = [
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
    await expect(await new ModelProxy(variant).commands('all')).toMatchFileSnapshot(`golden/${variant.name}.txt`);
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
    const proxy = new ModelProxy();
    await proxy.sync('all');
    change(proxy);
    expect((await proxy.commands()).split('\n').filter((line) => line !== '')).toEqual(want);
  });
});
