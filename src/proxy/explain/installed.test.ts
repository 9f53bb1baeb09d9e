import { describe, expect, it } from 'vitest';
import type { Frontend, Treatment } from './frontends.ts';
import { isAsWanted } from './frontends.ts';
import { InstalledIptables } from './installed-iptables.ts';
import { installedIpvs } from './installed-ipvs.ts';
import { elementValue, installedNftables } from './installed-nftables.ts';

const clusterIp: Frontend = { kind: 'cluster IP', protocol: 'tcp', ip: '10.96.0.10', port: 80, portName: '' };
const nodePort: Frontend = { ...clusterIp, kind: 'node port', ip: '', port: 30080 };
const balancer: Frontend = { ...clusterIp, kind: 'load balancer IP', ip: '203.0.113.5' };
const to = (...addresses: string[]): Treatment => ({ kind: 'endpoints', to: addresses });

describe('what iptables has installed', () => {
  const rules = new InstalledIptables();
  const nat = `-A KUBE-SERVICES -d 10.96.0.10/32 -p tcp -m comment --comment "default/web cluster IP" -m tcp --dport 80 -j KUBE-SVC-A
-A KUBE-SERVICES -d 203.0.113.5/32 -p tcp -m comment --comment "default/web loadbalancer IP" -m tcp --dport 80 -j KUBE-FW-A
-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
-A KUBE-NODEPORTS -d 127.0.0.0/8 -p tcp -m comment --comment default/web -m tcp --dport 30080 -m nfacct --nfacct-name  localhost_nps_accepted_pkts -j KUBE-EXT-A
-A KUBE-NODEPORTS -p tcp -m comment --comment default/web -m tcp --dport 30080 -j KUBE-EXT-A
-A KUBE-FW-A -s 10.0.0.0/8 -m comment --comment "default/web loadbalancer IP" -j KUBE-EXT-A
-A KUBE-EXT-A -s 10.244.0.0/16 -m comment --comment "pod traffic for default/web external destinations" -j KUBE-SVC-A
-A KUBE-EXT-A -m comment --comment "route LOCAL traffic" -m addrtype --src-type LOCAL -j KUBE-SVC-A
-A KUBE-EXT-A -j KUBE-SVL-A
-A KUBE-SVL-A -m comment --comment "default/web -> 10.244.0.5:8080" -j KUBE-SEP-1
-A KUBE-SVC-A ! -s 10.244.0.0/16 -d 10.96.0.10/32 -p tcp -m tcp --dport 80 -j KUBE-MARK-MASQ
-A KUBE-SVC-A -m statistic --mode random --probability 0.50000000000 -j KUBE-SEP-1
-A KUBE-SVC-A -j KUBE-SEP-2
-A KUBE-SEP-1 -s 10.244.0.5/32 -m comment --comment default/web -j KUBE-MARK-MASQ
-A KUBE-SEP-1 -p tcp -m comment --comment default/web -m tcp -j DNAT --to-destination 10.244.0.5:8080
-A KUBE-SEP-2 -p tcp -m comment --comment default/web -m tcp -j DNAT --to-destination 10.244.1.5:8080`;
  const filter = `-A KUBE-SERVICES -d 10.96.0.11/32 -p tcp -m comment --comment "default/none has no endpoints" -m tcp --dport 80 -j REJECT --reject-with icmp-port-unreachable
-A KUBE-EXTERNAL-SERVICES -p tcp -m comment --comment "default/loc has no local endpoints" -m addrtype --dst-type LOCAL -m tcp --dport 30081 -j DROP`;
  for (const line of nat.split('\n')) rules.read('nat', line);
  for (const line of filter.split('\n')) rules.read('filter', line);

  it.each<{ name: string; frontend: Frontend; want: Treatment }>([
    { name: 'cluster IP', frontend: clusterIp, want: to('10.244.0.5:8080', '10.244.1.5:8080') },
    { name: 'NodePort with a Local policy', frontend: nodePort, want: to('10.244.0.5:8080') },
    { name: 'balancer behind source ranges', frontend: balancer, want: to('10.244.0.5:8080') },
    { name: 'refused', frontend: { ...clusterIp, ip: '10.96.0.11' }, want: { kind: 'reject' } },
    { name: 'dropped', frontend: { ...nodePort, port: 30081 }, want: { kind: 'drop' } },
    { name: 'another port', frontend: { ...clusterIp, port: 8 }, want: { kind: 'missing' } },
    { name: 'another protocol', frontend: { ...clusterIp, protocol: 'udp' }, want: { kind: 'missing' } },
  ])('$name', ({ frontend, want }) => {
    expect(rules.treatment(frontend)).toEqual(want);
  });
});

describe('what nftables has installed', () => {
  const elements: Readonly<Record<string, string>> = {
    'service-ips 10.96.0.10 . tcp . 80': 'goto cluster-tcp-2',
    'tcp-endpoints 10.96.0.10 . 80 . 0': '10.244.0.5 . 8080',
    'tcp-endpoints 10.96.0.10 . 80 . 1': '10.244.1.5 . 8080',
    'service-nodeports tcp . 30080': 'goto sticky-external-default/web/tcp/',
    'no-endpoint-services 10.96.0.11 . tcp . 80': 'goto reject-chain',
    'no-endpoint-nodeports tcp . 30081': 'drop',
    'service-ips 10.96.0.12 . tcp . 80': 'goto cluster-tcp-1',
  };
  const chains: Readonly<Record<string, string>> = {
    'sticky-external-default/web/tcp/': 'fib saddr type local goto sticky-cluster-x\n goto sticky-local-x',
    'sticky-local-x': 'ip saddr @affinity dnat to 10.244.0.5:8080\n dnat to 10.244.0.5:8080',
  };
  const nft = {
    element: (map: string, key: string) => Promise.resolve(elements[`${map} ${key}`]),
    chain: (name: string) => Promise.resolve(chains[name]),
  };

  it.each<{ name: string; frontend: Frontend; want: Treatment }>([
    { name: 'cluster IP', frontend: clusterIp, want: to('10.244.0.5:8080', '10.244.1.5:8080') },
    { name: 'NodePort with affinity', frontend: nodePort, want: to('10.244.0.5:8080') },
    { name: 'refused', frontend: { ...clusterIp, ip: '10.96.0.11' }, want: { kind: 'reject' } },
    { name: 'dropped', frontend: { ...nodePort, port: 30081 }, want: { kind: 'drop' } },
    { name: 'a verdict without endpoints', frontend: { ...clusterIp, ip: '10.96.0.12' }, want: { kind: 'missing' } },
    { name: 'nothing', frontend: { ...clusterIp, port: 8 }, want: { kind: 'missing' } },
  ])('$name', async ({ frontend, want }) => {
    expect(await installedNftables(frontend, nft)).toEqual(want);
  });

  it.each([
    ['elements = { 10.0.0.1 . tcp . 80 : goto cluster-tcp-2 }', 'goto cluster-tcp-2'],
    ['elements = { 10.0.0.1 . tcp . 80 comment "a/b:c" : goto reject-chain }', 'goto reject-chain'],
    ['elements = { 10.0.0.1 . 80 . 0 : 10.0.0.2 . 8080 }', '10.0.0.2 . 8080'],
    ['', undefined],
  ])('reads the value of an element: %s', (text, want) => {
    expect(elementValue(`table ip kube-proxy {\n\tmap m {\n\t\ttype x : verdict\n\t\t${text}\n\t}\n}`)).toBe(want);
  });
});

describe('what ipvs has installed', () => {
  const saved = `-A -t 10.96.0.10:80 -s rr
-a -t 10.96.0.10:80 -r 10.244.0.5:8080 -m -w 1
-a -t 10.96.0.10:80 -r 10.244.0.9:8080 -m -w 0
-A -t 192.168.0.2:30080 -s rr`;
  it.each<{ name: string; frontend: Frontend; want: Treatment }>([
    { name: 'cluster IP, without what drains', frontend: clusterIp, want: to('10.244.0.5:8080') },
    { name: 'NodePort without endpoints', frontend: nodePort, want: { kind: 'reject' } },
    { name: 'nothing', frontend: balancer, want: { kind: 'missing' } },
  ])('$name', ({ frontend, want }) => {
    expect(installedIpvs(saved, frontend, ['192.168.0.2'])).toEqual(want);
  });
});

describe('isAsWanted', () => {
  it.each<[Treatment, Treatment, boolean]>([
    [to('a:1', 'b:1'), to('b:1', 'a:1'), true],
    [to('a:1', 'b:1'), to('a:1'), false],
    [to('a:1'), to('a:1', 'b:1'), false],
    [to('a:1'), { kind: 'missing' }, false],
    [{ kind: 'drop' }, { kind: 'drop' }, true],
    [{ kind: 'drop' }, { kind: 'reject' }, false],
  ])('%j, %j: %s', (wanted, installed, want) => {
    expect(isAsWanted(wanted, installed)).toBe(want);
  });
});
