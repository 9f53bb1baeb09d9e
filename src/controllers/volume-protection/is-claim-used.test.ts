import { describe, expect, it } from 'vitest';
import type { PersistentVolume, PersistentVolumeClaim, Pod, Volume } from '../../objects/generated/core-v1.ts';
import { isClaimUsed } from './is-claim-used.ts';
import { finalizersFor } from './volume-protection-controller.ts';

const pod = (volume: Partial<Volume>, more: { nodeName?: string; phase?: string; metadata?: object } = {}): Pod => ({
  metadata: { name: 'p', namespace: 'ns', uid: 'pod-uid', ...more.metadata },
  spec: { nodeName: more.nodeName ?? 'n', containers: [], volumes: [{ name: 'v', ...volume }] },
  status: { phase: more.phase ?? 'Running' },
});
const owners = [{ apiVersion: 'v1', kind: 'Pod', name: 'p', uid: 'pod-uid', controller: true }];
const named = { persistentVolumeClaim: { claimName: 'p-v' } };
const own = { ephemeral: { volumeClaimTemplate: { metadata: { name: '' }, spec: {} } } };
const shutDown = { deletionTimestamp: 't', deletionGracePeriodSeconds: 0 };

describe('isClaimUsed', () => {
  it.each([
    { name: 'nobody', pods: [], want: false },
    { name: 'a pod', pods: [pod(named)], want: true },
    { name: 'a pod of another namespace', pods: [pod(named, { metadata: { namespace: 'other' } })], want: false },
    { name: 'another claim', pods: [pod({ persistentVolumeClaim: { claimName: 'x' } })], want: false },
    { name: 'no kubelet has the pod', pods: [pod(named, { nodeName: '' })], want: false },
    { name: 'a pod that has ended', pods: [pod(named, { phase: 'Succeeded' })], want: true },
    { name: 'made for the pod', pods: [pod(own)], want: true },
    { name: 'made for the pod, which has ended', pods: [pod(own, { phase: 'Failed' })], want: false },
    { name: 'made for the pod, with which the kubelet is done', pods: [pod(own, { metadata: shutDown })], want: false },
    { name: 'made for another pod of the name', pods: [pod(own, { metadata: { uid: 'other' } })], want: false },
  ])('$name', ({ pods, want }) => {
    const claim: PersistentVolumeClaim = { metadata: { name: 'p-v', namespace: 'ns', ownerReferences: owners } };
    expect(isClaimUsed(claim, pods)).toBe(want);
  });
});

describe('finalizersFor', () => {
  const volume = (phase: string, finalizers: string[], deletionTimestamp?: string): PersistentVolume => ({
    metadata: { name: 'v', finalizers, deletionTimestamp },
    status: { phase },
  });
  const ours = 'kubernetes.io/pv-protection';
  it.each([
    { name: 'is protected', volume: volume('Available', []), want: [ours] },
    { name: 'is protected already', volume: volume('Bound', [ours]), want: undefined },
    { name: 'stays while it is bound', volume: volume('Bound', [ours], 't'), want: undefined },
    { name: 'goes', volume: volume('Released', [ours, 'other'], 't'), want: ['other'] },
    { name: 'waits for others', volume: volume('Released', ['other'], 't'), want: undefined },
  ])('$name', ({ volume: of, want }) => {
    expect(finalizersFor(of)).toEqual(want);
  });
});
