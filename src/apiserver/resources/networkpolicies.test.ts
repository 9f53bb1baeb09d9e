import { describe, expect, it } from 'vitest';
import type { NetworkPolicySpec } from '../../objects/generated/networking-v1.ts';
import { networkPolicyStrategy } from './networkpolicies.ts';

const policyOf = (spec: NetworkPolicySpec) => ({
  apiVersion: 'networking.k8s.io/v1',
  kind: 'NetworkPolicy',
  metadata: { namespace: 'shop', name: 'web' },
  spec: structuredClone(spec) as never,
});

describe('a NetworkPolicy', () => {
  it.each([
    { name: 'nothing', spec: {}, want: ['Ingress'] },
    { name: 'no egress rule', spec: { egress: [] }, want: ['Ingress'] },
    { name: 'an egress rule', spec: { egress: [{}] }, want: ['Ingress', 'Egress'] },
    { name: 'its own word', spec: { policyTypes: ['Egress'], egress: [{}] }, want: ['Egress'] },
  ])('is for the directions that follow from $name', ({ spec, want }) => {
    const policy = policyOf(spec);
    networkPolicyStrategy.applyDefaults?.(policy);
    expect(policy).toMatchObject({ spec: { policyTypes: want } });
  });

  it.each<{ want: string; spec: NetworkPolicySpec }>([
    {
      want: '',
      spec: { ingress: [{ ports: [{ protocol: 'SCTP', port: 1, endPort: 1 }], from: [{ podSelector: {} }] }] },
    },
    { want: '', spec: { egress: [{ to: [{ ipBlock: { cidr: '10.0.0.0/8', except: ['10.1.0.0/16'] } }] }] } },
    {
      want: 'spec.ingress[0].ports[0].endPort: Invalid value: 80: must be greater than or equal to `port`',
      spec: { ingress: [{ ports: [{ port: 80, endPort: 79 }] }] },
    },
    {
      want: 'spec.ingress[0].ports[0].endPort: Invalid value: 81: may not be specified when `port` is non-numeric',
      spec: { ingress: [{ ports: [{ port: 'web', endPort: 81 }] }] },
    },
    {
      want: 'spec.egress[0].ports[0].endPort: Invalid value: 81: may not be specified when `port` is not specified',
      spec: { egress: [{ ports: [{ endPort: 81 }] }] },
    },
    {
      want: 'spec.ingress[0].ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive',
      spec: { ingress: [{ ports: [{ port: 0 }] }] },
    },
    {
      want: 'spec.ingress[0].ports[0].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"',
      spec: { ingress: [{ ports: [{ protocol: 'ICMP' }] }] },
    },
    { want: 'spec.ingress[0].from[0]: Required value: must specify a peer', spec: { ingress: [{ from: [{}] }] } },
    {
      want: 'spec.egress[0].to[0]: Forbidden: may not specify both ipBlock and another peer',
      spec: { egress: [{ to: [{ ipBlock: { cidr: '10.0.0.0/8' }, podSelector: {} }] }] },
    },
    {
      want: 'spec.egress[0].to[0].ipBlock.except[0]: Invalid value: "10.0.0.0/8": must be a strict subset of 10.0.0.0/8',
      spec: { egress: [{ to: [{ ipBlock: { cidr: '10.0.0.0/8', except: ['10.0.0.0/8'] } }] }] },
    },
    {
      want: 'spec.egress[0].to[0].ipBlock.except[0]: Invalid value: "fd00::/64": must be a strict subset of 10.0.0.0/8',
      spec: { egress: [{ to: [{ ipBlock: { cidr: '10.0.0.0/8', except: ['fd00::/64'] } }] }] },
    },
    {
      want: 'spec.egress[0].to[0].ipBlock.cidr: Invalid value: "10.0.0.0": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)',
      spec: { egress: [{ to: [{ ipBlock: { cidr: '10.0.0.0' } }] }] },
    },
    {
      want: 'spec.policyTypes: Invalid value: ["Ingress","Egress","Ingress"]: may not specify more than two policyTypes',
      spec: { policyTypes: ['Ingress', 'Egress', 'Ingress'] },
    },
    {
      want: 'spec.policyTypes[0]: Unsupported value: "Both": supported values: "Egress", "Ingress"',
      spec: { policyTypes: ['Both'] },
    },
    {
      want: "spec.podSelector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
      spec: { podSelector: { matchExpressions: [{ key: 'a', operator: 'In' }] } },
    },
  ])('is told: $want', ({ want, spec }) => {
    const errors = networkPolicyStrategy.validate?.(policyOf(spec)) ?? [];
    expect(errors.map(({ field, phrase }) => `${field}: ${phrase}`).join('\n')).toBe(want);
  });

  it('is shown with its pods', () => {
    const cells = (spec: NetworkPolicySpec) => networkPolicyStrategy.columns?.cells(policyOf(spec), 0)[1];
    expect(cells({ podSelector: { matchLabels: { app: 'web' } } })).toBe('app=web');
    expect(cells({})).toBe('<none>');
  });
});
