import { describe, expect, it } from 'vitest';
import type { NetworkPolicySpec } from '../../objects/generated/networking-v1.ts';
import { compilePolicy } from './compile-policy.ts';
import { formatRange } from './ip-ranges.ts';

const compiled = (spec: NetworkPolicySpec) => compilePolicy({ metadata: { namespace: 'shop', name: 'p' }, spec });

describe('a policy that cannot be enforced as it is written', () => {
  it.each<{ name: string; spec: NetworkPolicySpec; problem: string }>([
    {
      name: 'an unknown protocol',
      spec: { ingress: [{ ports: [{ protocol: 'DCCP' }] }] },
      problem: 'spec.ingress[0].ports[0].protocol: "DCCP" is not known',
    },
    {
      name: 'a peer of a kind to come',
      spec: { ingress: [{ from: [{}] }] },
      problem: 'spec.ingress[0].from[0]: it names nobody that is known',
    },
    {
      name: 'no CIDR',
      spec: { egress: [{ to: [{ ipBlock: { cidr: 'x' } }] }] },
      problem: 'spec.egress[0].to[0]: "x" is no CIDR, or selectors stand beside it',
    },
    {
      name: 'an exception that is none',
      spec: { ingress: [{ from: [{ ipBlock: { cidr: '0.0.0.0/0', except: ['x'] } }] }] },
      problem: 'spec.ingress[0].from[0].ipBlock.except: not all are CIDRs',
    },
    {
      name: 'an end without a number',
      spec: { ingress: [{ ports: [{ port: 'web', endPort: 9 }] }] },
      problem: 'spec.ingress[0].ports[0].endPort: port is a name',
    },
    {
      name: 'an end before the start',
      spec: { ingress: [{ ports: [{ port: 9, endPort: 8 }] }] },
      problem: 'spec.ingress[0].ports[0]: 9 to 8 are no ports',
    },
    {
      name: 'an operator to come',
      spec: { ingress: [{ from: [{ podSelector: { matchExpressions: [{ key: 'a', operator: 'Like' }] } }] }] },
      problem:
        'spec.ingress[0].from[0].podSelector: Cannot use label selector on "a": "Like" is not a valid label selector operator',
    },
  ])('isolates, and lets that part allow nothing: $name', ({ spec, problem }) => {
    const { problems, ingress, egress } = compiled(spec);
    expect(problems).toEqual([problem]);
    const [rule] = (spec.egress === undefined ? ingress : egress) ?? [];
    const allowsNobody = rule?.peers !== undefined && rule.peers.pods.length + rule.peers.blocks.length === 0;
    const allowsNoPort = rule?.ports !== undefined && rule.ports.ranges.length + rule.ports.named.length === 0;
    expect(allowsNobody || allowsNoPort).toBe(true);
  });

  it('is about all pods of its namespace when its selector cannot be read', () => {
    const { selector, problems } = compiled({ podSelector: { matchExpressions: [{ key: 'a', operator: 'Like' }] } });
    expect({ selector, count: problems.length }).toEqual({ selector: [], count: 1 });
  });
});

describe('a block without its exceptions', () => {
  it.each([
    { cidr: '10.0.0.0/8', except: [], want: ['10.0.0.0-10.255.255.255'] },
    { cidr: '10.0.0.7/30', except: ['10.0.0.5/32'], want: ['10.0.0.4', '10.0.0.6-10.0.0.7'] },
    { cidr: '0.0.0.0/0', except: ['0.0.0.0/1'], want: ['128.0.0.0-255.255.255.255'] },
    { cidr: 'fd00::/126', except: ['fd00::2/127'], want: ['fd00::-fd00::1'] },
    { cidr: '10.0.0.0/24', except: ['10.0.0.0/25', '10.0.0.128/25'], want: [] },
    { cidr: '10.0.0.0/24', except: ['fd00::/8'], want: ['10.0.0.0-10.0.0.255'] },
  ])('$cidr without $except', ({ cidr, except, want }) => {
    const { ingress } = compiled({ ingress: [{ from: [{ ipBlock: { cidr, except } }] }] });
    expect(ingress?.[0]?.peers?.blocks.map(formatRange)).toEqual(want);
  });
});
