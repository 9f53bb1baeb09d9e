import { describe, expect, it } from 'vitest';
import { silentLogger } from '../base/logger.ts';
import { applyConntrackSettings, conntrackMax } from './kernel-settings.ts';

describe('conntrackMax', () => {
  it.each([
    { name: 'so many per CPU', maxPerCore: 32_768, min: 131_072, cpus: 8, want: 262_144 },
    { name: 'the minimum on a small machine', maxPerCore: 32_768, min: 131_072, cpus: 2, want: 131_072 },
    { name: 'the limit on a large one', maxPerCore: 32_768, min: 131_072, cpus: 64, want: 1_048_576 },
    { name: 'the limit wins over a greater minimum', maxPerCore: 1_000_000, min: 2_000_000, cpus: 2, want: 1_048_576 },
    { name: '0 leaves the kernel alone', maxPerCore: 0, min: 131_072, cpus: 8, want: 0 },
  ])('$name', ({ maxPerCore, min, cpus, want }) => {
    expect(conntrackMax({ maxPerCore, min }, cpus)).toBe(want);
  });
});

describe('applyConntrackSettings', () => {
  const config = {
    maxPerCore: 32_768,
    min: 131_072,
    tcpEstablishedTimeoutMs: 86_400_000,
    tcpCloseWaitTimeoutMs: 3_600_000,
    udpTimeoutMs: 0,
    udpStreamTimeoutMs: 0,
    tcpBeLiberal: false,
  };
  const at = (name: string): string => `net/netfilter/nf_conntrack_${name}`;
  const timeouts = [`${at('tcp_timeout_established')} 86400`, `${at('tcp_timeout_close_wait')} 3600`];

  it.each([
    { name: 'the defaults', changes: {}, buckets: '65536', want: [`${at('max')} 131072`, ...timeouts] },
    {
      name: 'a table with too few buckets',
      changes: {},
      buckets: '1024',
      want: [`${at('max')} 131072`, 'nf_conntrack hashsize 32768', ...timeouts],
    },
    { name: 'a table that is left alone', changes: { maxPerCore: 0 }, buckets: '1024', want: timeouts },
    {
      name: 'time-outs that are left alone',
      changes: { maxPerCore: 0, tcpEstablishedTimeoutMs: 0, tcpCloseWaitTimeoutMs: 0 },
      buckets: '1024',
      want: [],
    },
    {
      name: 'everything else',
      changes: { maxPerCore: 0, udpTimeoutMs: 30_000, udpStreamTimeoutMs: 120_500, tcpBeLiberal: true },
      buckets: '1024',
      want: [...timeouts, `${at('udp_timeout')} 30`, `${at('udp_timeout_stream')} 120`, `${at('tcp_be_liberal')} 1`],
    },
  ])('writes $name, also where one is refused', async ({ changes, buckets, want }) => {
    const written: string[] = [];
    const write = (...words: string[]): Promise<boolean> => {
      written.push(words.join(' '));
      return written.length === 1 ? Promise.reject(new Error('the machine says no')) : Promise.resolve(true);
    };
    const settings = {
      get: () => Promise.resolve(undefined),
      set: write,
      moduleParameter: () => Promise.resolve(buckets),
      setModuleParameter: write,
    };
    await applyConntrackSettings({ ...config, ...changes }, 2, settings, silentLogger);
    expect(written).toEqual(want);
  });
});
