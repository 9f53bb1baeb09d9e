import { describe, expect, it } from 'vitest';
import type { Container, Pod, PodSpec, ResourceRequirements } from '../../../objects/generated/core-v1.ts';
import {
  type ResizeTurn,
  byTurn,
  changedResources,
  infeasibleReason,
  isIncrease,
  isResized,
  needsRestart,
  resourceChanges,
  resourcesOf,
  withResources,
} from './pod-resources.ts';
import { recoverResources } from './recover-resources.ts';
import { resizeMessage } from './resize-messages.ts';

const container = (name: string, resources?: ResourceRequirements, more: Partial<Container> = {}): Container => ({
  name,
  image: 'i',
  ...(resources === undefined ? {} : { resources }),
  ...more,
});
const pod = (containers: Container[], spec: Partial<PodSpec> = {}, status: Pod['status'] = {}): Pod => ({
  metadata: { name: 'p', uid: 'u', generation: 2 },
  spec: { containers, ...spec },
  status,
});
const cpu = (request: string, limit?: string): ResourceRequirements => ({
  requests: { cpu: request },
  ...(limit === undefined ? {} : { limits: { cpu: limit } }),
});

describe('changedResources', () => {
  it.each([
    { name: 'the same amounts in other words', before: cpu('1'), now: cpu('1000m'), want: [] },
    { name: 'a request', before: cpu('1'), now: cpu('2'), want: ['cpu'] },
    { name: 'a limit', before: cpu('1', '1'), now: cpu('1', '2'), want: ['cpu'] },
    { name: 'a new limit', before: cpu('1'), now: cpu('1', '2'), want: ['cpu'] },
    {
      name: 'both, memory first',
      before: {},
      now: { requests: { cpu: '1', memory: '1Mi' } },
      want: ['memory', 'cpu'],
    },
    { name: 'what cannot be resized', before: {}, now: { limits: { 'example.com/gpu': '1' } }, want: [] },
  ])('$name', ({ before, now, want }) => expect(changedResources(before, now)).toEqual(want));
});

describe('resourceChanges', () => {
  it.each([
    { name: 'nothing', before: cpu('1'), now: cpu('1000m'), want: [] },
    { name: 'more', before: cpu('1'), now: cpu('2'), want: ['cpu requests increase'] },
    {
      name: 'less, and a limit that is new',
      before: cpu('2'),
      now: cpu('1', '1'),
      want: ['cpu requests decrease', 'cpu limits add'],
    },
    { name: 'a limit that is gone', before: cpu('1', '1'), now: cpu('1'), want: ['cpu limits remove'] },
    {
      name: 'memory',
      before: { requests: { memory: '1Gi' }, limits: { memory: '1Gi' } },
      now: { requests: { memory: '1Gi' }, limits: { memory: '2Gi' } },
      want: ['memory limits increase'],
    },
    { name: 'what nobody can read', before: cpu('1'), now: cpu('one', '1'), want: ['cpu limits add'] },
    { name: 'what cannot be resized', before: { limits: { 'x/y': '1' } }, now: { limits: { 'x/y': '2' } }, want: [] },
  ])('$name', ({ before, now, want }) => {
    const changes = resourceChanges(
      pod([container('a', before), container('b', cpu('1'))]),
      pod([container('a', now), container('b', cpu('1')), container('new', cpu('1'))]),
    );
    expect(changes.map(({ resource, requirement, operation }) => `${resource} ${requirement} ${operation}`)).toEqual(
      want,
    );
  });
});

describe('withResources', () => {
  it('puts cpu and memory of the record in the place of the spec, for each kind of container and the pod', () => {
    const spec = pod(
      [container('a', { requests: { cpu: '2', 'example.com/gpu': '1' }, limits: { 'example.com/gpu': '1' } })],
      {
        initContainers: [container('side', cpu('2'), { restartPolicy: 'Always' }), container('new')],
        resources: cpu('5'),
      },
    );
    const given = withResources(spec, { containers: { a: cpu('1', '3'), side: cpu('1') }, pod: cpu('4') });
    expect(resourcesOf(given)).toEqual({
      containers: {
        side: cpu('1'),
        new: {},
        a: { requests: { cpu: '1', 'example.com/gpu': '1' }, limits: { cpu: '3', 'example.com/gpu': '1' } },
      },
      pod: cpu('4'),
    });
    expect(isResized(resourcesOf(spec), resourcesOf(given))).toBe(true);
  });

  it('is the very same pod when nothing differs', () => {
    const spec = pod([container('a', cpu('1'))]);
    expect(withResources(spec, { containers: { a: cpu('1000m'), gone: cpu('7') } })).toBe(spec);
    expect(withResources(spec, undefined)).toBe(spec);
  });
});

describe('byTurn', () => {
  const turn = (name: string, from: string, to: string, more: Partial<Pod['spec']> = {}, sinceMs = 0): ResizeTurn => ({
    allocated: pod([container(name, cpu(from))], more),
    desired: { ...pod([container(name, cpu(to))], more), metadata: { name, uid: name } },
    sinceMs,
  });
  const guaranteed = (one: ResizeTurn): ResizeTurn => ({
    ...one,
    desired: { ...one.desired, status: { qosClass: 'Guaranteed' } },
  });
  const names = (...turns: ResizeTurn[]): string[] =>
    turns.toSorted(byTurn).map(({ desired }) => desired.metadata.name);

  it('asks for those first that take nothing, then by priority, class and age', () => {
    expect(
      names(
        turn('young', '1', '2', {}, 9),
        turn('old', '1', '2', {}, 1),
        guaranteed(turn('guaranteed', '1', '2', {}, 5)),
        turn('important', '1', '2', { priority: 10 }, 7),
        turn('smaller', '2', '1', {}, 8),
      ),
    ).toEqual(['smaller', 'important', 'guaranteed', 'old', 'young']);
  });

  it('takes a pod that gives cpu and wants memory for one that wants', () => {
    const allocated = pod([container('a', { requests: { cpu: '2', memory: '1Mi' } })]);
    expect(isIncrease(allocated, pod([container('a', { requests: { cpu: '1', memory: '2Mi' } })]))).toBe(true);
    expect(isIncrease(allocated, pod([container('a', { requests: { cpu: '1', memory: '1Mi' } })]))).toBe(false);
  });
});

describe('needsRestart and infeasibleReason', () => {
  const memory = (amount: string): ResourceRequirements => ({ requests: { memory: amount } });
  const restarts = { resizePolicy: [{ resourceName: 'memory', restartPolicy: 'RestartContainer' }] };

  it.each([
    { changed: ['memory'] as const, more: restarts, want: true },
    { changed: ['cpu'] as const, more: restarts, want: false },
    { changed: ['memory'] as const, more: {}, want: false },
  ])('$changed with $more: restart $want', ({ changed, more, want }) =>
    expect(needsRestart(container('a', {}, more), changed)).toBe(want),
  );

  it.each([
    { name: 'memory of a container that swaps', to: memory('2Mi'), swaps: true, more: {}, want: /with swap is not/ },
    { name: 'the same, but it starts anew', to: memory('2Mi'), swaps: true, more: restarts, want: undefined },
    { name: 'no swap', to: memory('2Mi'), swaps: false, more: {}, want: undefined },
    { name: 'cpu beside swap', to: { ...memory('1Mi'), limits: { cpu: '1' } }, swaps: true, more: {}, want: undefined },
  ])('$name', ({ to, swaps, more, want }) => {
    const turn = { allocated: pod([container('a', memory('1Mi'))]), desired: pod([container('a', to, more)]) };
    const reason = infeasibleReason(turn, () => swaps);
    if (want === undefined) expect(reason).toBeUndefined();
    else expect(reason).toMatch(want);
  });
});

describe('recoverResources', () => {
  it('takes what the status says of containers that run, and the spec for all others', () => {
    const told = { limits: { cpu: '1' }, requests: { cpu: '500m' } };
    const asks = cpu('2', '3');
    const status = (name: string, running: boolean): object => ({
      name,
      image: '',
      imageID: '',
      ready: true,
      restartCount: 0,
      resources: told,
      state: running ? { running: { startedAt: '' } } : { waiting: {} },
    });
    const subject = pod([container('runs', asks), container('waits', asks), container('unknown', asks)], {});
    const containerStatuses = [status('runs', true), status('waits', false)];
    expect(recoverResources({ ...subject, status: { containerStatuses } as Pod['status'] })).toEqual({
      containers: { runs: told, waits: asks, unknown: asks },
    });
  });
});

describe('resizeMessage', () => {
  it('writes limits before requests, init containers before containers, and the error last', () => {
    const subject = pod([container('c', { requests: { memory: '1Mi', cpu: '1' }, limits: { cpu: '2' } })], {
      initContainers: [container('i')],
    });
    expect(resizeMessage('Deferred', subject, 2, 'no "room"')).toBe(
      'Pod resize Deferred: {"initContainers":[{"name":"i","resources":{}}],"containers":[{"name":"c","resources":{"limits":{"cpu":"2"},"requests":{"cpu":"1","memory":"1Mi"}}}],"generation":2,"error":"no \\"room\\""}',
    );
    expect(resizeMessage('started', pod([container('c')]), 3)).toBe(
      'Pod resize started: {"containers":[{"name":"c","resources":{}}],"generation":3}',
    );
  });
});
