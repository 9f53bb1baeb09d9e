import { describe, expect, it } from 'vitest';
import type { Container, Pod, PodSpec } from '../../../objects/generated/core-v1.ts';
import { nestedMountPoints } from './nested-mounts.ts';

const container = (fields: Partial<Container> = {}): Container => ({ name: 'c', image: 'i', ...fields });
const podWith = (spec: Partial<PodSpec>): Pod => ({
  metadata: { name: 'p', namespace: 'ns', uid: 'u1' },
  spec: { containers: [container()], ...spec },
});

describe('nestedMountPoints', () => {
  const mount = (name: string, mountPath: string): { name: string; mountPath: string } => ({ name, mountPath });
  it.each([
    { name: 'nothing nested', mounts: [mount('v', '/a'), mount('w', '/ab')], want: [] },
    { name: 'one nested', mounts: [mount('v', '/a/'), mount('w', '/a/b/c')], want: ['b/c'] },
    {
      name: 'of nested in nested the outer',
      mounts: [mount('v', '/a'), mount('w', '/a/b/c'), mount('x', '/a/b'), mount('y', '/a/b-c')],
      want: ['b', 'b-c'],
    },
    { name: 'a volume mounted at the root', mounts: [mount('v', '/'), mount('w', '/etc')], want: ['etc'] },
    { name: 'no way up', mounts: [mount('v', '/a'), mount('w', '/a/../../etc')], want: [] },
  ])('$name', ({ mounts, want }) => {
    expect(nestedMountPoints(podWith({ containers: [container({ volumeMounts: mounts })] }), 'v')).toEqual(want);
  });
});
