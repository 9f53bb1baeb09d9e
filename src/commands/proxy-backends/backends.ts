/** The modes of kube-proxy that are served. */
import { type ProxyMode, proxyModes } from '../../proxy/proxy-config.ts';
import { iptablesBackend } from './iptables-backend.ts';
import { nftablesBackend } from './nftables-backend.ts';
import type { ProxyBackend } from './proxy-backend.ts';

export const backends: Readonly<Partial<Record<ProxyMode, ProxyBackend>>> = {
  iptables: iptablesBackend,
  nftables: nftablesBackend,
};

export const servedModes: readonly ProxyMode[] = proxyModes.filter((mode) => backends[mode] !== undefined);
