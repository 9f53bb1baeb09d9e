import { describe, expect, it } from 'vitest';
import { testContainer, testPod } from '../../../test/fixtures/kubelet-pods.ts';
import type { Pod } from '../../objects/generated/core-v1.ts';
import { uidOf } from '../pod-model.ts';
import type { Shortage } from './fit-node.ts';
import { mayPreempt, selectVictims } from './select-victims.ts';

type List = Record<string, string>;
const critical = 2_000_001_000;
const pod = (uid: string, requests: List = {}, limits: List = {}, priority?: number): Pod =>
  testPod(
    {
      containers: [testContainer('c', { resources: { requests, limits } })],
      ...(priority === undefined ? {} : { priority }),
    },
    { uid },
  );
const best = (uid: string): Pod => pod(uid);
const burst = (uid: string, cpu: string, memory = '1Mi', priority?: number): Pod =>
  pod(uid, { cpu, memory }, {}, priority);
const sure = (uid: string, cpu: string, memory = '1Mi'): Pod => pod(uid, { cpu, memory }, { cpu, memory });
const file = (uid: string): Pod => testPod({}, { uid, annotations: { 'kubernetes.io/config.source': 'file' } });
const cpu = (amount: number): Shortage => ({ resource: 'cpu', amount });
const memory = (amount: number): Shortage => ({ resource: 'memory', amount });
const pods = (amount: number): Shortage => ({ resource: 'pods', amount });
const Mi = 2 ** 20;
const none = 'preemption: error finding a set of pods to preempt: no set of running pods found to reclaim resources: ';

describe('selectVictims', () => {
  it.each([
    {
      name: 'a place: best effort is enough',
      running: [sure('g', '1'), burst('b', '1'), best('e')],
      missing: [pods(1)],
      want: ['e'],
    },
    {
      name: 'cpu: best effort frees none, burstable does',
      running: [best('e'), burst('b', '1'), sure('g', '1')],
      missing: [cpu(500)],
      want: ['b'],
    },
    {
      name: 'guaranteed pods only for what all others leave open',
      running: [burst('b', '1'), sure('g1', '1'), sure('g2', '2')],
      missing: [cpu(1500)],
      want: ['b', 'g1'],
    },
    {
      name: 'what a guaranteed pod frees anyway spares the others',
      running: [burst('b', '1'), sure('g', '2')],
      missing: [cpu(2500)],
      want: ['b', 'g'],
    },
    {
      name: 'a big guaranteed pod spares the burstable one',
      running: [burst('b', '500m'), sure('g', '2')],
      missing: [cpu(1000)],
      want: ['g'],
    },
    {
      name: 'the pod that brings most',
      running: [burst('s', '200m'), burst('l', '900m'), burst('m', '600m')],
      missing: [cpu(700)],
      want: ['l'],
    },
    {
      name: 'one after the other until it is enough',
      running: [burst('s', '200m'), burst('l', '500m'), burst('m', '400m')],
      missing: [cpu(850)],
      want: ['l', 'm'],
    },
    {
      name: 'of two that bring all the one with less memory',
      running: [burst('x', '1', '9Mi'), burst('y', '2', '3Mi'), burst('z', '1', '5Mi')],
      missing: [cpu(500)],
      want: ['y'],
    },
    {
      name: 'then the one with less cpu',
      running: [burst('x', '3'), burst('y', '1'), burst('z', '2')],
      missing: [cpu(500)],
      want: ['y'],
    },
    {
      name: 'then the later one',
      running: [burst('x', '1'), burst('y', '1'), burst('z', '1')],
      missing: [cpu(500)],
      want: ['z'],
    },
    {
      name: 'parts are squared: half of both beats all of one',
      running: [burst('one', '1', '0'), burst('half', '500m', '50Mi'), burst('rest', '1m', '60Mi')],
      missing: [cpu(1000), memory(100 * Mi)],
      want: ['half', 'rest', 'one'],
    },
    {
      name: 'several resources are counted apart',
      running: [burst('c', '1', '1'), burst('m', '1m', '100Mi'), best('e')],
      missing: [pods(1), cpu(900), memory(90 * Mi)],
      want: ['m', 'c'],
    },
    {
      name: 'nobody to take from',
      running: [],
      missing: [pods(1), cpu(250)],
      problem: `${none}[(res: pods, q: 1), (res: cpu, q: 250), ]`,
    },
    {
      name: 'not enough even with all',
      running: [burst('b', '100m')],
      missing: [cpu(250)],
      problem: `${none}[(res: cpu, q: 150), ]`,
    },
    {
      name: 'critical and static pods stay',
      running: [burst('c', '1', '1Mi', critical), file('f')],
      missing: [pods(1)],
      problem: `${none}[(res: pods, q: 1), ]`,
    },
    {
      name: 'a critical pod of lower priority goes',
      running: [burst('c', '1', '1Mi', critical - 1000)],
      missing: [pods(1)],
      want: ['c'],
    },
  ])('$name', ({ running, missing, want, problem }) => {
    const chosen = selectVictims(pod('new', {}, {}, critical), running, missing);
    if (problem !== undefined) expect(chosen).toEqual({ kind: 'none', problem });
    else expect(chosen.kind === 'victims' ? chosen.pods.map(uidOf) : chosen).toEqual(want);
  });
});

describe('mayPreempt', () => {
  it.each([
    { name: 'critical against any other', of: pod('a', {}, {}, critical), victim: pod('b', {}, {}, 5), want: true },
    { name: 'critical against one without priority', of: pod('a', {}, {}, critical), victim: pod('b'), want: true },
    {
      name: 'critical against the same',
      of: pod('a', {}, {}, critical),
      victim: pod('b', {}, {}, critical),
      want: false,
    },
    {
      name: 'static against a critical one of the API',
      of: file('a'),
      victim: pod('b', {}, {}, critical),
      want: false,
    },
    { name: 'critical against static', of: pod('a', {}, {}, critical), victim: file('b'), want: false },
  ])('$name', ({ of, victim, want }) => {
    expect(mayPreempt(of, victim)).toBe(want);
  });
});
