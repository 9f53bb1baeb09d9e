import { describe, expect, it } from 'vitest';
import type { PersistentVolume, PersistentVolumeClaim } from '../../objects/generated/core-v1.ts';
import type { StorageClass } from '../../objects/generated/storage-v1.ts';
import { type ClaimState, decideClaim } from './decide-claim.ts';

const claim = (
  spec: PersistentVolumeClaim['spec'] = {},
  annotations: Record<string, string> = {},
): PersistentVolumeClaim => ({
  metadata: { name: 'c', namespace: 'ns', uid: 'u', annotations },
  spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } }, ...spec },
});
const volume = (claimRef?: object, storageClassName = ''): PersistentVolume => ({
  metadata: { name: 'v' },
  spec: { accessModes: ['ReadWriteOnce'], capacity: { storage: '1Gi' }, storageClassName, claimRef },
  status: { phase: 'Available' },
});
const storageClass = (provisioner: string, volumeBindingMode = 'Immediate'): StorageClass => ({
  metadata: { name: 's' },
  provisioner,
  volumeBindingMode,
});
const external = storageClass('csi.example.com');
const waiting = storageClass('csi.example.com', 'WaitForFirstConsumer');
const ours = { namespace: 'ns', name: 'c', uid: 'u' };
const theirs = { namespace: 'ns', name: 'd', uid: 'x' };
const completed = { 'pv.kubernetes.io/bind-completed': 'yes' };
const ofClass = claim({ storageClassName: 's' });

interface Row extends Partial<ClaimState> {
  name: string;
  want: string;
}

/** `kind`, or `kind reason: message`. */
function told(state: Partial<ClaimState>): string {
  const step = decideClaim({
    claim: claim(),
    volumes: [],
    storageClass: undefined,
    defaultClass: undefined,
    waitingPods: [],
    ...state,
  });
  const note = 'note' in step && step.note !== undefined ? ` ${step.note.reason}: ${step.note.message}` : '';
  const what =
    step.kind === 'set-class' ? ` ${step.name}` : step.kind === 'ask-provisioner' ? ` ${step.provisioner}` : '';
  return `${step.kind}${what}${note}`;
}

describe('decideClaim', () => {
  it.each<Row>([
    { name: 'a volume does', volumes: [volume()], want: 'bind' },
    {
      name: 'no volume and no class',
      want: 'wait FailedBinding: no persistent volumes available for this claim and no storage class is set',
    },
    { name: 'there is a default class by now', defaultClass: external, want: 'set-class s' },
    {
      name: 'it wants no class',
      claim: claim({ storageClassName: '' }),
      defaultClass: external,
      want: 'wait FailedBinding: no persistent volumes available for this claim and no storage class is set',
    },
    {
      name: 'somebody makes volumes',
      claim: ofClass,
      storageClass: external,
      want: "ask-provisioner csi.example.com ExternalProvisioning: Waiting for a volume to be created either by the external provisioner 'csi.example.com' or manually by the system administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered.",
    },
    {
      name: 'the class is not there',
      claim: ofClass,
      want: 'wait ProvisioningFailed: storageclass.storage.k8s.io "s" not found',
    },
    {
      name: 'nobody makes volumes',
      claim: ofClass,
      storageClass: storageClass('kubernetes.io/no-provisioner'),
      want: 'wait ProvisioningFailed: no volume plugin matched name: kubernetes.io/no-provisioner',
    },
    {
      name: 'host paths are not made',
      claim: ofClass,
      storageClass: storageClass('kubernetes.io/host-path'),
      want: 'wait ProvisioningFailed: Failed to create provisioner: provisioning in volume plugin "kubernetes.io/host-path" is disabled',
    },
    {
      name: 'it waits for its first pod, though a volume would do',
      claim: ofClass,
      volumes: [volume(undefined, 's')],
      storageClass: waiting,
      want: 'wait WaitForFirstConsumer: waiting for first consumer to be created before binding',
    },
    {
      name: 'the pod is there',
      claim: ofClass,
      storageClass: waiting,
      waitingPods: ['p'],
      want: 'wait WaitForPodScheduled: waiting for pod p to be scheduled',
    },
    {
      name: 'several are',
      claim: ofClass,
      storageClass: waiting,
      waitingPods: ['p', 'q'],
      want: 'wait WaitForPodScheduled: waiting for pods p,q to be scheduled',
    },
    {
      name: 'the scheduler has chosen a node',
      claim: claim({ storageClassName: 's' }, { 'volume.kubernetes.io/selected-node': 'n' }),
      storageClass: waiting,
      want: expect.stringMatching(/^ask-provisioner csi.example.com ExternalProvisioning/),
    },
    {
      name: 'the scheduler has chosen a volume',
      claim: ofClass,
      volumes: [volume(ours, 's')],
      storageClass: waiting,
      want: 'bind',
    },
    { name: 'it names a volume that is not there', claim: claim({ volumeName: 'v' }), want: 'wait' },
    { name: 'it names a free one', claim: claim({ volumeName: 'v' }), volumes: [volume()], want: 'bind' },
    {
      name: 'it names one that will not do',
      claim: claim({ volumeName: 'v' }),
      volumes: [volume(undefined, 's')],
      want: 'wait VolumeMismatch: Cannot bind to requested volume "v": storageClassName does not match',
    },
    { name: 'it names its own', claim: claim({ volumeName: 'v' }), volumes: [volume(ours, 's')], want: 'bind' },
    {
      name: "it names somebody else's",
      claim: claim({ volumeName: 'v' }),
      volumes: [volume(theirs)],
      want: 'wait FailedBinding: volume "v" already bound to a different claim.',
    },
    { name: 'bound', claim: claim({ volumeName: 'v' }, completed), volumes: [volume(ours)], want: 'bind' },
    {
      name: 'bound, and its volume does not know',
      claim: claim({ volumeName: 'v' }, completed),
      volumes: [volume()],
      want: 'bind',
    },
    {
      name: 'bound to what is gone',
      claim: claim({ volumeName: 'v' }, completed),
      want: 'lost ClaimLost: Bound claim has lost its PersistentVolume. Data on the volume is lost!',
    },
    {
      name: 'bound to nothing',
      claim: claim({}, completed),
      want: 'lost ClaimLost: Bound claim has lost reference to PersistentVolume. Data on the volume is lost!',
    },
    {
      name: "bound to somebody else's",
      claim: claim({ volumeName: 'v' }, completed),
      volumes: [volume(theirs)],
      want: 'lost ClaimMisbound: Two claims are bound to the same volume, this one is bound incorrectly',
    },
  ])('$name', ({ want, ...state }) => {
    expect(told(state)).toEqual(want);
  });

  it('refuses what cannot be', () => {
    const impossible = claim({ volumeName: 'v' }, { 'pv.kubernetes.io/bound-by-controller': 'yes' });
    expect(() => told({ claim: impossible, volumes: [volume(theirs)] })).toThrow('it is claimed by "ns/d"');
  });
});
