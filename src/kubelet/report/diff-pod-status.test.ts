import { describe, expect, it } from 'vitest';
import { diffPodStatus, releaseStatus } from './diff-pod-status.ts';

describe('diffPodStatus', () => {
  it.each([
    { name: 'the same: nothing to send', api: { phase: 'Running' }, ours: { phase: 'Running' }, want: undefined },
    {
      name: 'null, empty and absent are the same',
      api: { containerStatuses: [{ name: 'a', image: '', imageID: '', ready: true, restartCount: 0, lastState: {} }] },
      ours: { containerStatuses: [{ name: 'a', image: '', imageID: '', ready: true, restartCount: 0 }] },
      want: undefined,
    },
    { name: 'a changed value', api: { phase: 'Pending' }, ours: { phase: 'Running' }, want: { phase: 'Running' } },
    { name: 'a value that is gone', api: { reason: 'x' }, ours: {}, want: { reason: null } },
    {
      name: 'a first address is added',
      api: {},
      ours: { podIPs: [{ ip: '10.0.0.2' }] },
      want: { podIPs: [{ ip: '10.0.0.2' }] },
    },
    {
      name: 'a changed address replaces the list, which the API would merge',
      api: { podIPs: [{ ip: '10.0.0.2' }] },
      ours: { podIPs: [{ ip: '10.0.0.3' }] },
      want: { podIPs: [{ $patch: 'replace' }, { ip: '10.0.0.3' }] },
    },
    {
      name: 'only changed conditions',
      api: {
        conditions: [
          { type: 'A', status: 'True' },
          { type: 'B', status: 'True' },
        ],
      },
      ours: {
        conditions: [
          { type: 'A', status: 'True' },
          { type: 'B', status: 'False', reason: 'R' },
        ],
      },
      want: { conditions: [{ type: 'B', status: 'False', reason: 'R' }] },
    },
    {
      name: 'a reason that is gone is taken back',
      api: { conditions: [{ type: 'A', status: 'False', reason: 'R', message: 'M' }] },
      ours: { conditions: [{ type: 'A', status: 'True' }] },
      want: { conditions: [{ type: 'A', status: 'True', reason: null, message: null }] },
    },
    {
      name: 'conditions of others are left alone',
      api: { conditions: [{ type: 'theirs', status: 'True' }] },
      ours: { conditions: [] },
      want: undefined,
    },
    { name: 'fields of others are left alone', api: { nominatedNodeName: 'n' }, ours: {}, want: undefined },
  ])('$name', ({ api, ours, want }) => {
    expect(diffPodStatus(api, ours)).toEqual(want);
  });
});

describe('releaseStatus', () => {
  const failed = {
    phase: 'Failed',
    reason: 'Evicted',
    conditions: [
      { type: 'Ready', status: 'True' },
      { type: 'DisruptionTarget', status: 'True' },
    ],
  };

  it('holds a terminal phase and its reason back while containers may run', () => {
    expect(releaseStatus({ phase: 'Running' }, failed, true)).toEqual({
      phase: 'Running',
      conditions: [{ type: 'Ready', status: 'True' }],
    });
  });

  it('lets it go when nothing runs, and the pod is not ready then', () => {
    expect(releaseStatus({ phase: 'Running' }, failed, false)).toMatchObject({
      phase: 'Failed',
      reason: 'Evicted',
      conditions: [{ type: 'Ready', status: 'False', reason: 'PodFailed' }, { type: 'DisruptionTarget' }],
    });
  });

  it('leaves other phases alone', () => {
    expect(releaseStatus({ phase: 'Pending' }, { phase: 'Running' }, true)).toEqual({ phase: 'Running' });
  });
});
