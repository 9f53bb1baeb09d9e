import { describe, expect, it } from 'vitest';
import { testPod } from '../../../test/fixtures/kubelet-pods.ts';
import { containerLogLink, containerLogPath, podLabels, podLogDirectory, restartCountFromLogs } from './pod-names.ts';

const pod = testPod({}, { name: 'web', namespace: 'shop', uid: 'u1' });

describe('names that others read', () => {
  it('labels', () => {
    expect(podLabels(pod)).toEqual({
      'io.kubernetes.pod.name': 'web',
      'io.kubernetes.pod.namespace': 'shop',
      'io.kubernetes.pod.uid': 'u1',
    });
  });

  it('log paths', () => {
    expect(podLogDirectory('/var/log/pods', pod)).toBe('/var/log/pods/shop_web_u1');
    expect(containerLogPath('c', 3)).toBe('c/3.log');
    expect(containerLogLink('/l', pod, 'c', 'abc')).toBe('/l/web_shop_c-abc.log');
  });

  it('a link’s name is cut to 255 bytes', () => {
    const name = containerLogLink('/l', testPod({}, { name: 'x'.repeat(300) }), 'c', 'abc').slice('/l/'.length);
    expect(name).toHaveLength(255);
    expect(name.endsWith('x.log')).toBe(true);
  });

  it.each([
    { files: [], want: 0 },
    { files: ['0.log'], want: 1 },
    { files: ['0.log', '2.log', '10.log'], want: 11 },
    { files: ['4.log.20260101-000000.gz', '3.log'], want: 5 },
    { files: ['x.log', '5.txt', '.7.log', '6log'], want: 0 },
  ])('the restart count behind $files is $want', ({ files, want }) => expect(restartCountFromLogs(files)).toBe(want));
});
