import { describe, expect, it } from 'vitest';
import { supportedVersion } from './iptables.ts';

describe('supportedVersion', () => {
  it.each([
    ['iptables v1.8.9 (nf_tables)\n', 'v1.8.9 (nf_tables)'],
    ['iptables v1.8.11 (legacy)\n', 'v1.8.11 (legacy)'],
    ['ip6tables v1.6.2', 'v1.6.2'],
    ['iptables v2.0', 'v2.0'],
  ])('%j is %s', (text, want) => {
    expect(supportedVersion('iptables', text)).toBe(want);
  });

  it.each(['iptables v1.6.1', 'iptables v1.4.22', 'iptables v1.6', ''])('refuses %j', (text) => {
    expect(() => supportedVersion('iptables', text)).toThrow('expected 1.6.2 or newer');
  });
});
