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
          { type: 'Initialized', status: 'True' },
          { type: 'Ready', status: 'True' },
        ],
      },
      ours: {
        conditions: [
          { type: 'Initialized', status: 'True' },
          { type: 'Ready', status: 'False', reason: 'R' },
        ],
      },
      want: { conditions: [{ type: 'Ready', status: 'False', reason: 'R' }] },
    },
    {
      name: 'a reason that is gone is taken back',
      api: { conditions: [{ type: 'Initialized', status: 'False', reason: 'R', message: 'M' }] },
      ours: { conditions: [{ type: 'Initialized', status: 'True' }] },
      want: { conditions: [{ type: 'Initialized', status: 'True', reason: null, message: null }] },
    },
    {
      name: 'conditions of others are left alone',
      api: { conditions: [{ type: 'theirs', status: 'True' }] },
      ours: { conditions: [] },
      want: undefined,
    },
    {
      name: 'what we know of the conditions of others is no news, however old it is',
      api: { conditions: [{ type: 'gate', status: 'True' }] },
      ours: { conditions: [{ type: 'gate', status: 'False' }] },
      want: undefined,
    },
    {
      name: 'a condition of ours that is no longer told is taken back',
      api: {
        conditions: [
          { type: 'PodScheduled', status: 'True' },
          { type: 'gate', status: 'True' },
        ],
      },
      ours: { phase: 'Failed' },
      want: { phase: 'Failed', conditions: [{ $patch: 'delete', type: 'PodScheduled' }] },
    },
    {
      name: 'a disruption is told together with the end',
      api: { phase: 'Running' },
      ours: { phase: 'Failed', conditions: [{ type: 'DisruptionTarget', status: 'True' }] },
      want: { phase: 'Failed', conditions: [{ type: 'DisruptionTarget', status: 'True' }] },
    },
    {
      name: 'a disruption is not told of a pod that is not over',
      api: { phase: 'Running' },
      ours: { phase: 'Running', conditions: [{ type: 'DisruptionTarget', status: 'True' }] },
      want: undefined,
    },
    {
      name: 'a disruption is not told of a pod that was over before',
      api: { phase: 'Failed' },
      ours: { phase: 'Failed', conditions: [{ type: 'DisruptionTarget', status: 'True' }] },
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
