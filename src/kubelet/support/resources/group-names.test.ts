import { describe, expect, it } from 'vitest';
import { ConfigError } from '../../../base/errors.ts';
import { podUidOf } from './compute-pod-cgroup.ts';
import { cgroupfsNames, rootParts, systemdNames } from './group-names.ts';

const uid = '5f4d2c1e-0a1b-4c3d-8e9f-001122334455';
const hash = '0123456789abcdef0123456789abcdef'; // of a static pod: no dashes

describe('group names', () => {
  it.each([
    { parts: [], folders: '/', slices: '/' },
    { parts: ['kubepods'], folders: '/kubepods', slices: '/kubepods.slice' },
    {
      parts: ['kubepods', `pod${uid}`],
      folders: `/kubepods/pod${uid}`,
      slices: `/kubepods.slice/kubepods-pod${uid.replaceAll('-', '_')}.slice`,
    },
    {
      parts: ['kubepods', 'burstable', `pod${hash}`],
      folders: `/kubepods/burstable/pod${hash}`,
      slices: `/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${hash}.slice`,
    },
    {
      parts: ['my-root', 'n1', 'kubepods'],
      folders: '/my-root/n1/kubepods',
      slices: '/my_root.slice/my_root-n1.slice/my_root-n1-kubepods.slice',
    },
  ])('$folders, $slices', ({ parts, folders, slices }) => {
    expect(cgroupfsNames.path(parts)).toBe(folders);
    expect(systemdNames.path(parts)).toBe(slices);
    const last = (path: string): string => path.slice(path.lastIndexOf('/') + 1);
    expect(systemdNames.part(last(slices))).toBe(parts.at(-1) ?? '');
    expect(cgroupfsNames.part(last(folders))).toBe(parts.at(-1) ?? '');
  });

  it.each([uid, hash])('lead back to the pod %s', (one) => {
    const folder =
      systemdNames
        .path(['kubepods', 'besteffort', `pod${one}`])
        .split('/')
        .at(-1) ?? '';
    expect(podUidOf(systemdNames.part(folder))).toBe(one);
    expect(podUidOf(systemdNames.part('kubepods-besteffort.slice'))).toBeUndefined();
  });

  it.each(['a_b', 'a/b', ''])('refuse a slice named after "%s"', (part) => {
    expect(() => systemdNames.path(['kubepods', part])).toThrow(RangeError);
  });

  it.each([
    ['/system.slice', '/system.slice'],
    ['/system', '/system.slice'],
    ['/kube.slice/kube-daemons.slice', '/kube.slice/kube-daemons.slice'],
    ['/kube-daemons', '/kube.slice/kube-daemons.slice'],
  ])('take %s in the configuration for %s', (configured, path) => {
    expect(systemdNames.path(systemdNames.configured(configured))).toBe(path);
    expect(cgroupfsNames.path(cgroupfsNames.configured(configured))).toBe(configured);
  });

  it('read a root as folders', () => {
    expect(rootParts('/', systemdNames)).toEqual([]);
    expect(rootParts('/a-b/c', systemdNames)).toEqual(['a-b', 'c']);
    expect(rootParts('/a_b', cgroupfsNames)).toEqual(['a_b']);
    expect(() => rootParts('/a_b', systemdNames)).toThrow(ConfigError);
  });
});
