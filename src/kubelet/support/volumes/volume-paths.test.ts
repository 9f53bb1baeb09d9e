import { describe, expect, it } from 'vitest';
import { VolumePaths } from './volume-paths.ts';

describe('VolumePaths', () => {
  const paths = new VolumePaths('/root');
  it.each(['..', '.', '', 'a/b', '../../etc', 'a\0'])('refuses the uid %j', (uid) => {
    expect(() => paths.podDir(uid)).toThrow(TypeError);
  });
  it.each(['..', '', 'a/b', '../x', 'UPPER', '-a', 'a'.repeat(64)])('refuses the volume name %j', (name) => {
    expect(() => paths.volume('u', 'secret', name)).toThrow(TypeError);
    expect(() => paths.marker('u', 'secret', name)).toThrow(TypeError);
  });
  it("has upstream's layout", () => {
    expect(paths.volume('u', 'empty-dir', 'v')).toBe('/root/pods/u/volumes/kubernetes.io~empty-dir/v');
    expect(paths.marker('u', 'empty-dir', 'v')).toBe('/root/pods/u/plugins/kubernetes.io~empty-dir/v');
    expect(paths.marker('u', 'secret', 'v')).toBe('/root/pods/u/plugins/kubernetes.io~empty-dir/wrapped_v');
  });
});
