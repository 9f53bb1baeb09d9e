import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { isOwnConflist, podConflistText } from './pod-conflist.ts';

describe('podConflistText', () => {
  it('has a range set and a default route per family, and the MTU of the link', () => {
    const text = podConflistText({ podCidrs: ['10.244.1.0/24', 'fd00:1:0:1::/64'], mtu: 1400 });
    const conflist = JSON.parse(text) as { plugins: unknown[] };
    expect(conflist.plugins[0]).toMatchObject({
      type: 'ptp',
      mtu: 1400,
      ipMasq: false,
      ipam: {
        ranges: [[{ subnet: '10.244.1.0/24' }], [{ subnet: 'fd00:1:0:1::/64' }]],
        routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }],
      },
    });
    expect(isOwnConflist(conflist)).toBe(true);
  });

  it('is what cni-config/ has for those who install it by hand, who are its writers then', () => {
    const byHand = readFileSync(new URL('../../../cni-config/10-gantry.conflist.json', import.meta.url), 'utf8');
    expect(isOwnConflist(JSON.parse(byHand))).toBe(false);
    const { gantryWriter: _, ...own } = JSON.parse(podConflistText({ podCidrs: ['{{podCidr}}'], mtu: 1500 })) as Record<
      string,
      unknown
    >;
    expect(JSON.parse(byHand)).toEqual(own);
  });
});
