import { describe, expect, it } from 'vitest';
import { testContainer, testPod } from '../../../test/fixtures/kubelet-pods.ts';
import { containerGraceSeconds, podGraceSeconds } from './compute-grace.ts';

const container = testContainer('web', {
  livenessProbe: { terminationGracePeriodSeconds: 3 },
  startupProbe: { terminationGracePeriodSeconds: 4 },
});
const deleted = (grace: number) => testPod({}, { deletionTimestamp: 'now', deletionGracePeriodSeconds: grace });

describe('containerGraceSeconds', () => {
  it.each([
    { name: 'the spec', pod: testPod(), cause: 'other', want: 30 },
    { name: 'nothing said', pod: testPod({ terminationGracePeriodSeconds: undefined }), cause: 'other', want: 2 },
    { name: 'the liveness probe', pod: testPod(), cause: 'liveness', want: 3 },
    { name: 'the startup probe', pod: testPod(), cause: 'startup', want: 4 },
    { name: 'the deletion before a probe', pod: deleted(7), cause: 'liveness', want: 7 },
    { name: 'an override before the deletion', pod: deleted(7), cause: 'other', override: 1, want: 1 },
    { name: 'an override of 0', pod: deleted(7), cause: 'other', override: 0, want: 0 },
  ] as const)('$name', ({ pod, cause, want, ...row }) => {
    expect(containerGraceSeconds(pod, container, cause, 'override' in row ? row.override : undefined)).toBe(want);
  });
});

describe('podGraceSeconds', () => {
  it.each([
    { name: 'the spec of a pod that vanished', pod: testPod(), stored: 0, want: 30 },
    { name: 'the deletion', pod: deleted(5), stored: 0, want: 5 },
    { name: 'at least 1', pod: deleted(0), stored: 0, want: 1 },
    { name: 'an override', pod: testPod(), stored: 0, override: 3, want: 3 },
    { name: 'the shorter of deletion and override', pod: deleted(5), stored: 0, override: 9, want: 5 },
    { name: 'only shrinks', pod: deleted(60), stored: 10, want: 10 },
    { name: 'shrinks', pod: deleted(5), stored: 10, want: 5 },
    { name: 'a decision stays without word of another', pod: testPod(), stored: 10, want: 10 },
    {
      name: 'a spec that says nothing',
      pod: testPod({ terminationGracePeriodSeconds: undefined }),
      stored: 0,
      want: 1,
    },
  ])('$name', ({ pod, stored, override, want }) => expect(podGraceSeconds(pod, stored, override)).toBe(want));
});
