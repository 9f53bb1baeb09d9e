/** Every mode of kube-proxy that there is. */
import type { ProxyMode } from '../../proxy/proxy-config.ts';
import { iptablesBackend } from './iptables-backend.ts';
import type { ProxyBackend } from './proxy-backend.ts';

export const backends: Readonly<Record<ProxyMode, ProxyBackend>> = {
  iptables: iptablesBackend,
};
