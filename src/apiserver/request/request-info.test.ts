import { describe, expect, it } from 'vitest';
import { requestInfo } from './request-info.ts';

describe('requestInfo', () => {
  it.each([
    ['GET', '/version', { kind: 'path', verb: 'get', path: '/version' }],
    ['GET', '/apis/apps/v1', { kind: 'path' }],
    ['GET', '/api/v1/pods', { verb: 'list', resource: 'pods', namespace: '', name: '' }],
    ['GET', '/api/v1/pods?watch=true', { verb: 'watch' }],
    ['GET', '/api/v1/watch/pods', { verb: 'watch', resource: 'pods' }],
    ['DELETE', '/api/v1/namespaces/a/pods', { verb: 'deletecollection', namespace: 'a' }],
    ['GET', '/api/v1/namespaces/a', { verb: 'get', resource: 'namespaces', name: 'a', namespace: 'a' }],
    ['PUT', '/api/v1/namespaces/a/finalize', { verb: 'update', resource: 'namespaces', subresource: 'finalize' }],
    ['POST', '/api/v1/namespaces/a/pods/b/exec', { verb: 'create', resource: 'pods', name: 'b', subresource: 'exec' }],
    [
      'PATCH',
      '/apis/apps/v1/namespaces/a/deployments/b/scale',
      { verb: 'patch', group: 'apps', version: 'v1', subresource: 'scale' },
    ],
    ['GET', '/api/v1/nodes/n/proxy/pods/', { resource: 'nodes', name: 'n', subresource: 'proxy', rest: '/pods' }],
    ['GET', '/api/v1/namespaces/a/configmaps/b%2Fc', { name: 'b/c' }],
  ])('%s %s', (method, target, want) => {
    const url = new URL(target, 'https://localhost');
    expect(requestInfo(method, url.pathname, url.searchParams)).toMatchObject(want);
  });
});
