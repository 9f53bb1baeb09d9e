import { describe, expect, it } from 'vitest';
import type { Pod } from '../objects/generated/core-v1.ts';
import type { NetworkPolicy, NetworkPolicySpec } from '../objects/generated/networking-v1.ts';
import { explainConnection } from './explain-connection.ts';

const podOf = (namespace: string, name: string, ip: string): Pod => ({
  metadata: { namespace, name, uid: name, labels: { app: name } },
  spec: {
    nodeName: 'node-1',
    containers: [{ name: 'c', image: 'i', ports: [{ name: 'web', containerPort: 8080, protocol: 'TCP' }] }],
  },
  status: { phase: 'Running', podIP: ip },
});
const policyOf = (namespace: string, name: string, spec: NetworkPolicySpec): NetworkPolicy => ({
  metadata: { namespace, name },
  spec,
});
const deny = policyOf('shop', 'deny', { policyTypes: ['Ingress'] });
const allow = policyOf('shop', 'allow', {
  policyTypes: ['Ingress'],
  ingress: [
    { from: [{ podSelector: {} }] },
    { from: [{ namespaceSelector: { matchLabels: { team: 'one' } } }], ports: [{ port: 'web' }] },
  ],
});
const quiet = policyOf('crew', 'quiet', { policyTypes: ['Egress'] });
const noEgress = 'no policy isolates pod "crew/cook" for egress';

describe('what policies say to a connection', () => {
  it.each([
    {
      name: 'nothing',
      policies: [],
      want: [true, noEgress, 'no policy isolates pod "shop/web" for ingress'],
    },
    {
      name: 'one forbids',
      policies: [deny],
      want: [
        false,
        'pod "shop/web" is isolated for ingress by NetworkPolicy "shop/deny", and no rule allows TCP port 8080 from pod "crew/cook"',
        noEgress,
      ],
    },
    {
      name: 'another one allows, by the name of a port',
      policies: [deny, allow],
      want: [true, noEgress, 'ingress of pod "shop/web" is allowed by NetworkPolicy "shop/allow", rule 2'],
    },
    {
      name: 'it may enter, but not leave',
      policies: [deny, allow, quiet],
      want: [
        false,
        'pod "crew/cook" is isolated for egress by NetworkPolicy "crew/quiet", and no rule allows TCP port 8080 to pod "shop/web"',
        'ingress of pod "shop/web" is allowed by NetworkPolicy "shop/allow", rule 2',
      ],
    },
    {
      name: 'the node comes',
      policies: [deny],
      fromIp: '192.168.0.1',
      want: [true, 'a pod and its own node "node-1" reach each other, whatever policies say'],
    },
    {
      name: 'a pod comes to itself',
      policies: [deny],
      fromIp: '10.0.0.1',
      want: [true, 'pod "shop/web" reaches itself, whatever policies say'],
    },
    {
      name: 'somebody from outside comes',
      policies: [allow],
      fromIp: '192.0.2.1',
      want: [
        false,
        'pod "shop/web" is isolated for ingress by NetworkPolicy "shop/allow", and no rule allows TCP port 8080 from 192.0.2.1',
        '192.0.2.1 is no pod: no policy is about its egress',
      ],
    },
  ])('$name', ({ policies, fromIp = '10.0.0.2', want }) => {
    const world = {
      policies,
      pods: [podOf('shop', 'web', '10.0.0.1'), podOf('crew', 'cook', '10.0.0.2')],
      namespaces: [{ metadata: { name: 'shop' } }, { metadata: { name: 'crew', labels: { team: 'one' } } }],
      nodes: [
        {
          metadata: { name: 'node-1' },
          spec: {},
          status: { addresses: [{ type: 'InternalIP', address: '192.168.0.1' }] },
        },
      ],
    };
    const { isAllowed, sentences } = explainConnection(world, {
      fromIp,
      toIp: '10.0.0.1',
      protocol: 'TCP',
      port: 8080,
    });
    expect([isAllowed, ...sentences]).toEqual(want);
  });
});
