import { expect, it } from 'vitest';
import { hostIpsOf } from './host-ips.ts';

const address = (text: string): { type: string; address: string } => {
  const [type = '', ip = ''] = text.split(' ');
  return { type, address: ip };
};

it.each([
  { name: 'one', told: ['InternalIP 10.0.0.1', 'Hostname n'], want: ['10.0.0.1'] },
  {
    name: 'one of each family, in the order of the node',
    told: ['InternalIP fd00::1', 'InternalIP 10.0.0.1'],
    want: ['fd00::1', '10.0.0.1'],
  },
  {
    name: 'as many of one family as a cloud gives',
    told: ['InternalIP 10.0.0.1', 'InternalIP 10.0.0.2', 'InternalIP fd00::1'],
    want: ['10.0.0.1', 'fd00::1'],
  },
  {
    name: 'an external one only for want of an internal one',
    told: ['ExternalIP 1.2.3.4', 'InternalIP 10.0.0.1'],
    want: ['10.0.0.1'],
  },
  { name: 'external ones alone', told: ['ExternalIP 1.2.3.4'], want: ['1.2.3.4'] },
  {
    name: 'an external one of the other family',
    told: ['InternalIP 10.0.0.1', 'ExternalIP 2001:db8::1'],
    want: ['10.0.0.1', '2001:db8::1'],
  },
  { name: 'none yet: what the kubelet was told', told: ['Hostname n', 'InternalIP n'], want: ['192.0.2.1', 'fd00::9'] },
])('$name', ({ told, want }) => {
  expect(hostIpsOf(told.map(address), ['192.0.2.1', 'fd00::9', '192.0.2.2'])).toEqual(want);
});

it('nobody knows any', () => expect(hostIpsOf([], [])).toEqual([]));
