import { describe, expect, it } from 'vitest';
import { silentLogger } from '../../base/logger.ts';
import { type ProxyMode, proxyModes } from '../../proxy/proxy-config.ts';
import { cleanUpAll, cleanUpOthers, modesToCleanUp } from './switch-modes.ts';

const none = { iptables: false, ipvs: false };
const signal = new AbortController().signal;

describe('modesToCleanUp', () => {
  it.each([
    { mode: 'nftables', leftovers: none, want: ['iptables', 'ipvs'] },
    { mode: 'iptables', leftovers: none, want: ['nftables'] },
    { mode: 'iptables', leftovers: { iptables: true, ipvs: false }, want: ['nftables'] },
    { mode: 'iptables', leftovers: { iptables: true, ipvs: true }, want: ['nftables', 'ipvs'] },
    { mode: 'ipvs', leftovers: none, want: ['nftables'] },
    { mode: 'ipvs', leftovers: { iptables: false, ipvs: true }, want: ['nftables'] },
    { mode: 'ipvs', leftovers: { iptables: true, ipvs: true }, want: ['nftables', 'iptables'] },
  ] as const)('$mode with $leftovers: $want', ({ mode, leftovers, want }) => {
    expect(modesToCleanUp(mode, leftovers)).toEqual(want);
  });
});

describe('cleaning up', () => {
  const build = (failing: readonly ProxyMode[]) => {
    const cleaned: ProxyMode[] = [];
    const backend = (mode: ProxyMode) => ({
      cleanUp: async () => {
        cleaned.push(mode);
        if (failing.includes(mode)) throw new Error(`no ${mode} here`);
      },
    });
    const backends = { iptables: backend('iptables'), ipvs: backend('ipvs'), nftables: backend('nftables') };
    return { cleaned, backends };
  };

  it('at start goes on when something stays', async () => {
    const { cleaned, backends } = build(['iptables']);
    await cleanUpOthers('nftables', backends, async () => none, silentLogger, signal);
    expect(cleaned).toEqual(['iptables', 'ipvs']);
  });

  it('at start leaves modes alone that are not served', async () => {
    const { cleaned, backends } = build([]);
    await cleanUpOthers('nftables', { ipvs: backends.ipvs }, async () => none, silentLogger, signal);
    expect(cleaned).toEqual(['ipvs']);
  });

  it('by order tries every mode, and fails when something stays', async () => {
    const { cleaned, backends } = build(['iptables', 'nftables']);
    await expect(cleanUpAll(backends, silentLogger, signal)).rejects.toThrow(
      'encountered an error while tearing down rules: iptables: no iptables here; nftables: no nftables here',
    );
    expect(cleaned).toEqual(proxyModes);
  });
});
