import { describe, expect, it } from 'vitest';
import { masqueradeTable } from './masquerade-table.ts';

describe('masqueradeTable', () => {
  it('touches only own pods, and leaves what stays in the cluster', () => {
    expect(masqueradeTable({ podCidrs: ['10.244.0.0/24'], keepCidrs: ['10.244.1.0/24', 'fd00:1::/64'] })).toBe(
      `add table inet gantry-pod-network
delete table inet gantry-pod-network
table inet gantry-pod-network {
	set pods4 { type ipv4_addr; flags interval; auto-merge; elements = { 10.244.0.0/24 }; }
	set keep4 { type ipv4_addr; flags interval; auto-merge; elements = { 10.244.0.0/24, 10.244.1.0/24, 224.0.0.0/4 }; }
	chain postrouting {
		type nat hook postrouting priority 110; policy accept;
		ip saddr @pods4 ip daddr != @keep4 fib daddr type != local masquerade fully-random comment "pods to outside of the cluster"
	}
}
`,
    );
  });

  it('has both families where pods have both', () => {
    const table = masqueradeTable({ podCidrs: ['fd00:1::/64', '10.244.0.0/24'], keepCidrs: [] });
    expect(table).toContain(
      'set keep6 { type ipv6_addr; flags interval; auto-merge; elements = { fd00:1::/64, ff00::/8 }; }',
    );
    expect(table.match(/masquerade fully-random/g)).toHaveLength(2);
  });
});
