import { describe, expect, it } from 'vitest';
import { silentLogger } from '../../base/logger.ts';
import type { Installer } from '../../proxy/install/installer.ts';
import { type ProxyMode, proxyModes } from '../../proxy/proxy-config.ts';
import type { IpFamily } from '../../proxy/proxy-model.ts';
import { cleanUpAll, cleanUpOthers, noteFirstSyncs, planCleanUp } from './switch-modes.ts';

const none = { iptables: false, ipvs: false };
const signal = new AbortController().signal;

describe('planCleanUp', () => {
  it.each([
    { mode: 'nftables', leftovers: none, want: { before: [], after: ['ipvs', 'iptables'] } },
    { mode: 'iptables', leftovers: none, want: { before: [], after: ['nftables'] } },
    { mode: 'iptables', leftovers: { iptables: true, ipvs: false }, want: { before: [], after: ['nftables'] } },
    { mode: 'iptables', leftovers: { iptables: true, ipvs: true }, want: { before: ['ipvs'], after: ['nftables'] } },
    { mode: 'ipvs', leftovers: none, want: { before: [], after: ['nftables'] } },
    { mode: 'ipvs', leftovers: { iptables: false, ipvs: true }, want: { before: [], after: ['nftables'] } },
    { mode: 'ipvs', leftovers: { iptables: true, ipvs: true }, want: { before: ['iptables'], after: ['nftables'] } },
  ] as const)('$mode with $leftovers: $want', ({ mode, leftovers, want }) => {
    expect(planCleanUp(mode, leftovers)).toEqual(want);
  });
});

describe('noteFirstSyncs', () => {
  it('tells when every family has synced, which a failed sync has not', async () => {
    let fails = true;
    const report = { isFull: true, lacksLocal: { internal: 0, external: 0 }, rules: new Map() };
    const installer: Installer = {
      sync: () => (fails ? Promise.reject(new Error('no')) : Promise.resolve(report)),
      watch: () => Promise.resolve(),
    };
    const noted = noteFirstSyncs(new Map([['IPv4', installer] as const, ['IPv6', installer] as const]));
    let haveAll = false;
    void noted.haveSynced.then(() => (haveAll = true)); // never rejects
    const node = { name: 'n', zone: undefined, ip: undefined };
    const sync = (family: IpFamily) =>
      noted.installers.get(family)?.sync({ services: new Map(), changed: 'all', node }, signal);
    await expect(sync('IPv4')).rejects.toThrow('no');
    fails = false;
    await sync('IPv6');
    await sync('IPv6');
    expect(haveAll).toBe(false);
    expect(await sync('IPv4')).toBe(report);
    expect(haveAll).toBe(true);
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
    await cleanUpOthers(['iptables', 'ipvs'], backends, silentLogger, signal);
    expect(cleaned).toEqual(['iptables', 'ipvs']);
  });

  it('at start leaves modes alone that are not served', async () => {
    const { cleaned, backends } = build([]);
    await cleanUpOthers(['iptables', 'ipvs'], { ipvs: backends.ipvs }, silentLogger, signal);
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
