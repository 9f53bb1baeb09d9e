import { describe, expect, it } from 'vitest';
import { authorize, describeRefusal } from './authorize.ts';

const known = 'system:authenticated';
const admin = { name: 'a', groups: ['system:masters', known] };
const node = { name: 'system:node:n', groups: ['system:nodes', known] };
const user = { name: 'u', groups: [known] };
const proxy = { name: 'system:kube-proxy', groups: [known] };
const nobody = { name: 'system:anonymous', groups: ['system:unauthenticated'] };

const on = (verb: string, resource: string, subresource = '', group = '') =>
  ({ kind: 'resource', verb, group, version: 'v1', namespace: 'default', resource, subresource, name: '' }) as const;
const path = (name: string, verb = 'get') => ({ kind: 'path', verb, path: name }) as const;

describe('authorize', () => {
  it.each([
    ['administrators do everything', admin, on('delete', 'secrets'), true],
    ['administrators read every path', admin, path('/metrics'), true],
    ['nodes write the status of pods', node, on('patch', 'pods', 'status'), true],
    ['nodes read Secrets', node, on('get', 'secrets'), true],
    ['nodes make no Deployments', node, on('create', 'deployments', '', 'apps'), false],
    ['the proxy reads slices', proxy, on('watch', 'endpointslices', '', 'discovery.k8s.io'), true],
    ['the proxy writes events', proxy, on('create', 'events', '', 'events.k8s.io'), true],
    ['users read pods', user, on('list', 'pods'), true],
    ['users read no Secrets', user, on('list', 'secrets'), false],
    ['users run nothing in pods', user, on('get', 'pods', 'exec'), false],
    ['users ask about themselves', user, on('create', 'selfsubjectaccessreviews', '', 'authorization.k8s.io'), true],
    ['users discover', user, path('/apis/apps/v1'), true],
    ['nobody discovers', nobody, path('/apis'), false],
    ['nobody sees the health', nobody, path('/livez/ping'), true],
    ['nobody reads pods', nobody, on('list', 'pods'), false],
  ] as const)('%s', (_, who, what, isAllowed) => {
    expect(authorize(who, what).isAllowed).toBe(isAllowed);
  });

  it('a refusal says who, what and where', () => {
    const decision = authorize(user, on('get', 'pods', 'exec'));
    expect(describeRefusal(user, on('get', 'pods', 'exec'), decision)).toBe(
      'User "u" cannot get resource "pods/exec" in API group "" in the namespace "default"',
    );
  });
});
