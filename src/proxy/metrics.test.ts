import { describe, expect, it } from 'vitest';
import { ProxyMetrics } from './metrics.ts';
import type { ProxyMode } from './proxy-config.ts';

const lines = async (metrics: ProxyMetrics): Promise<string[]> => (await metrics.text()).split('\n');

/** `name type` of each metric. */
const typesOf = async (mode: ProxyMode): Promise<string[]> =>
  (await lines(new ProxyMetrics(mode)))
    .filter((line) => line.startsWith('# TYPE kubeproxy_'))
    .map((line) => line.slice('# TYPE kubeproxy_'.length));

const ofAll = [
  'conntrack_reconciler_deleted_entries_total counter',
  'conntrack_reconciler_stale_entries_total counter',
  'conntrack_reconciler_sync_duration_seconds histogram',
  'network_programming_duration_seconds histogram',
  'proxy_healthz_total counter',
  'proxy_livez_total counter',
  'sync_proxy_rules_duration_seconds histogram',
  'sync_proxy_rules_endpoint_changes_pending gauge',
  'sync_proxy_rules_endpoint_changes_total counter',
  'sync_proxy_rules_last_queued_timestamp_seconds gauge',
  'sync_proxy_rules_last_timestamp_seconds gauge',
  'sync_proxy_rules_no_local_endpoints_total gauge',
  'sync_proxy_rules_service_changes_pending gauge',
  'sync_proxy_rules_service_changes_total counter',
];
const fullAndPartial = [
  'sync_full_proxy_rules_duration_seconds histogram',
  'sync_partial_proxy_rules_duration_seconds histogram',
];

describe('ProxyMetrics', () => {
  it.each([
    {
      mode: 'iptables',
      own: [
        ...fullAndPartial,
        'sync_proxy_rules_iptables_last gauge',
        'sync_proxy_rules_iptables_partial_restore_failures_total counter',
        'sync_proxy_rules_iptables_restore_failures_total counter',
        'sync_proxy_rules_iptables_total gauge',
      ],
    },
    {
      mode: 'nftables',
      own: [
        ...fullAndPartial,
        'sync_proxy_rules_nftables_cleanup_failures_total counter',
        'sync_proxy_rules_nftables_sync_failures_total counter',
      ],
    },
    { mode: 'ipvs', own: ['sync_proxy_rules_iptables_restore_failures_total counter'] },
  ] as const)('has what upstream registers in mode $mode', async ({ mode, own }) => {
    expect((await typesOf(mode)).toSorted()).toEqual([...ofAll, ...own].toSorted());
  });

  it('has upstream’s buckets', async () => {
    const metrics = new ProxyMetrics('iptables');
    metrics.took('IPv4', true, 3);
    metrics.programmed('IPv4', 300);
    const text = await lines(metrics);
    const bounds = (name: string): number[] =>
      text
        .filter((line) => line.startsWith(`kubeproxy_${name}_bucket`))
        .map((line) => Number(/le="([^"]+)"/.exec(line)?.[1]?.replace('+Inf', 'Infinity')));
    expect(bounds('sync_full_proxy_rules_duration_seconds')).toEqual([
      0.001,
      0.002,
      0.004,
      0.008,
      0.016,
      0.032,
      0.064,
      0.128,
      0.256,
      0.512,
      1.024,
      2.048,
      4.096,
      8.192,
      16.384,
      Infinity,
    ]);
    const programming = bounds('network_programming_duration_seconds');
    expect(programming).toHaveLength(2 + 59 + 12 + 7 + 1);
    expect(programming.filter((bound) => bound >= 115)).toEqual([115, 120, 150, 180, 210, 240, 270, 300, Infinity]);
    expect(programming.slice(0, 4)).toEqual([0.25, 0.5, 1, 2]);
  });

  it.each([
    { mode: 'iptables', isPartial: false, want: ['iptables_restore_failures_total'] },
    {
      mode: 'iptables',
      isPartial: true,
      want: ['iptables_partial_restore_failures_total', 'iptables_restore_failures_total'],
    },
    { mode: 'nftables', isPartial: true, want: ['nftables_sync_failures_total'] },
    { mode: 'ipvs', isPartial: false, want: [] },
  ] as const)('counts a failed sync in mode $mode, partial: $isPartial', async ({ mode, isPartial, want }) => {
    const metrics = new ProxyMetrics(mode);
    metrics.failed('IPv6', isPartial);
    const counted = (await lines(metrics)).filter((line) => line.endsWith('failures_total{ip_family="IPv6"} 1'));
    expect(counted.toSorted()).toEqual(want.map((name) => `kubeproxy_sync_proxy_rules_${name}{ip_family="IPv6"} 1`));
  });

  it('asks for the kernel’s counters when it is asked, and keeps the last answer', async () => {
    const metrics = new ProxyMetrics('iptables');
    const answers = [3, undefined, 5];
    const name = 'iptables_ct_state_invalid_dropped_packets_total';
    metrics.readAtScrape(name, () => Promise.resolve(answers.shift()));
    const seen = [];
    for (let i = 0; i < 3; i++) {
      seen.push((await lines(metrics)).find((line) => line.startsWith(`kubeproxy_${name}`)));
    }
    expect(seen).toEqual([`kubeproxy_${name} 3`, `kubeproxy_${name} 3`, `kubeproxy_${name} 5`]);
  });

  it('counts what a reconciliation of connections ends', async () => {
    const metrics = new ProxyMetrics('ipvs');
    metrics.flowsReconciled('IPv4', 2, 8, 7);
    expect(await lines(metrics)).toEqual(
      expect.arrayContaining([
        'kubeproxy_conntrack_reconciler_deleted_entries_total{ip_family="IPv4"} 7',
        'kubeproxy_conntrack_reconciler_stale_entries_total{ip_family="IPv4"} 8',
        'kubeproxy_conntrack_reconciler_sync_duration_seconds_count{ip_family="IPv4"} 1',
      ]),
    );
  });
});
