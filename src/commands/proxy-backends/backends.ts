/** The modes of kube-proxy that are served. */
import { type ProxyMode, proxyModes } from '../../proxy/proxy-config.ts';
import { iptablesBackend } from './iptables-backend.ts';
import { ipvsBackend } from './ipvs-backend.ts';
import { nftablesBackend } from './nftables-backend.ts';
import type { ProxyBackend } from './proxy-backend.ts';

// in the order of a clean-up: a chain of mode iptables cannot go while a rule of mode ipvs leads to it
export const backends: Readonly<Partial<Record<ProxyMode, ProxyBackend>>> = {
  ipvs: ipvsBackend,
  iptables: iptablesBackend,
  nftables: nftablesBackend,
};

export const servedModes: readonly ProxyMode[] = proxyModes.filter((mode) => backends[mode] !== undefined);
