/** Where pods go for their volumes' sake, filter by filter. */
import { describe, expect, it } from 'vitest';
import type { Node, PersistentVolume, PersistentVolumeClaim, Pod, Volume } from '../objects/generated/core-v1.ts';
import type {
  CSIDriver,
  CSINode,
  CSIStorageCapacity,
  StorageClass,
  VolumeAttachment,
} from '../objects/generated/storage-v1.ts';
import { checkBinding } from './bind/check-binding.ts';
import { nodeInfoOf, podInfoOf } from './cache/node-info.ts';
import type { VolumeView } from './filter/volume-view.ts';
import { placePod } from './place-pod.ts';

const driver = 'csi.example.com';
const using = (claimName: string): Volume => ({ name: 'data', persistentVolumeClaim: { claimName } });
const pod = (name: string, ...volumes: Volume[]): Pod => ({
  metadata: { name, namespace: 'ns', uid: `${name}-uid` },
  spec: { containers: [{ name: 'c', image: 'i' }], volumes },
});
const node = (name: string, labels: Record<string, string> = {}): Node => ({
  metadata: { name, labels: { host: name, ...labels } },
  spec: {},
  status: { allocatable: { cpu: '2', memory: '4Gi', pods: '10' } },
});
const completed = { 'pv.kubernetes.io/bind-completed': 'yes' };
const claim = (
  name: string,
  spec: PersistentVolumeClaim['spec'] = {},
  more: Partial<PersistentVolumeClaim['metadata']> = {},
): PersistentVolumeClaim => ({
  metadata: { name, namespace: 'ns', uid: `${name}-uid`, ...more },
  spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } }, ...spec },
  status: { phase: 'Pending' },
});
const boundTo = (volumeName: string, name = 'c', accessModes = ['ReadWriteOnce']): PersistentVolumeClaim => ({
  ...claim(name, { volumeName, accessModes }, { annotations: completed }),
  status: { phase: 'Bound' },
});
const onNode = (name: string): PersistentVolume['spec'] => ({
  nodeAffinity: {
    required: { nodeSelectorTerms: [{ matchExpressions: [{ key: 'host', operator: 'In', values: [name] }] }] },
  },
});
const volume = (
  name: string,
  spec: PersistentVolume['spec'] = {},
  labels: Record<string, string> = {},
): PersistentVolume => ({
  metadata: { name, labels },
  spec: { accessModes: ['ReadWriteOnce'], capacity: { storage: '1Gi' }, storageClassName: 'waits', ...spec },
  status: { phase: 'Available' },
});
const csiVolume = (name: string): PersistentVolume => volume(name, { csi: { driver, volumeHandle: name } });
const waits: StorageClass = {
  metadata: { name: 'waits' },
  provisioner: driver,
  volumeBindingMode: 'WaitForFirstConsumer',
};
const byHand: StorageClass = { ...waits, provisioner: 'kubernetes.io/no-provisioner' };
const inZone: StorageClass = {
  ...waits,
  allowedTopologies: [{ matchLabelExpressions: [{ key: 'zone', values: ['z1', 'z2'] }] }],
};
const waiting = claim('c', { storageClassName: 'waits' });
const limited = (count: number): CSINode => ({
  metadata: { name: 'a' },
  spec: { drivers: [{ name: driver, nodeID: 'a', allocatable: { count } }] },
});
const tells: CSIDriver = { metadata: { name: driver }, spec: { storageCapacity: true } };
const room = (capacity: string, maximumVolumeSize?: string): CSIStorageCapacity => ({
  metadata: { name: 'x', namespace: 'ns' },
  storageClassName: 'waits',
  capacity,
  maximumVolumeSize,
  nodeTopology: { matchLabels: { host: 'a' } },
});
const attached = (name: string): VolumeAttachment => ({
  metadata: { name },
  spec: { attacher: driver, nodeName: 'a', source: { persistentVolumeName: name } },
});

interface World {
  claims?: PersistentVolumeClaim[];
  volumes?: PersistentVolume[];
  storageClass?: StorageClass;
  csiNode?: CSINode;
  csiDriver?: CSIDriver;
  capacities?: CSIStorageCapacity[];
  attachments?: VolumeAttachment[];
}

function viewOf(world: World): VolumeView {
  const { claims = [], volumes = [], storageClass, csiNode, csiDriver, capacities = [], attachments = [] } = world;
  return {
    claim: (key) => claims.find(({ metadata }) => `${metadata.namespace}/${metadata.name}` === key),
    volume: (name) => volumes.find(({ metadata }) => metadata.name === name),
    volumes: () => volumes,
    storageClass: (name) => (name === storageClass?.metadata.name ? storageClass : undefined),
    csiNode: (name) => (name === csiNode?.metadata.name ? csiNode : undefined),
    csiDriver: (name) => (name === csiDriver?.metadata.name ? csiDriver : undefined),
    capacities: () => capacities,
    attachments: (name) => attachments.filter(({ spec }) => spec.nodeName === name),
  };
}

interface Row extends World {
  name: string;
  pod?: Pod;
  nodes?: Node[];
  /** Pods on the first node. */
  there?: Pod[];
  want: string;
}

/** The node's name with what is bound and asked for there, or the message. */
function place({ pod: p = pod('p', using('c')), nodes = [node('a')], there = [], ...world }: Partial<Row>): string {
  const infos = nodes.map((one, i) => nodeInfoOf(one, i === 0 ? there.map(podInfoOf) : []));
  const placement = placePod(
    podInfoOf(p),
    infos,
    () => ({}),
    () => 0,
    viewOf(world),
  );
  if (placement.kind === 'none') return placement.message;
  const { bindings = [], provisions = [] } = placement.volumes ?? {};
  const bound = bindings.map(({ claim: c, volume: v }) => `${c.metadata.name}=${v.metadata.name}`);
  return [placement.node.metadata.name, ...bound, ...provisions.map(({ metadata }) => `${metadata.name}=?`)].join(' ');
}

const ephemeral: Volume = { name: 'data', ephemeral: { volumeClaimTemplate: { metadata: { name: '' }, spec: {} } } };
const none = '0/1 nodes are available: ';

describe('placePod with volumes', () => {
  it.each<Row>([
    { name: 'the claim is not there', want: `${none}persistentvolumeclaim "c" not found.` },
    {
      name: 'the claim of an ephemeral volume is not there yet',
      pod: pod('p', ephemeral),
      want: `${none}waiting for ephemeral volume controller to create the persistentvolumeclaim "p-data".`,
    },
    {
      name: "the claim of an ephemeral volume is somebody else's",
      pod: pod('p', ephemeral),
      claims: [claim('p-data')],
      want: `${none}PVC ns/p-data was not created for pod ns/p (pod is not owner).`,
    },
    {
      name: 'the claim is lost',
      claims: [{ ...boundTo('v'), status: { phase: 'Lost' } }],
      want: `${none}persistentvolumeclaim "c" bound to non-existent persistentvolume "v".`,
    },
    {
      name: 'the claim is going',
      claims: [claim('c', {}, { deletionTimestamp: 't' })],
      want: `${none}persistentvolumeclaim "c" is being deleted.`,
    },
    {
      name: 'the claim waits for the binder',
      claims: [claim('c')],
      want: `${none}pod has unbound immediate PersistentVolumeClaims.`,
    },
    {
      name: 'the claim names its volume, and waits for the binder whatever its class',
      claims: [claim('c', { storageClassName: 'waits', volumeName: 'v' })],
      storageClass: waits,
      want: `${none}pod has unbound immediate PersistentVolumeClaims.`,
    },
    { name: 'bound', claims: [boundTo('v')], volumes: [volume('v')], want: 'a' },
    {
      name: 'bound, and the volume is on another node',
      claims: [boundTo('v')],
      volumes: [volume('v', onNode('b'))],
      nodes: [node('a'), node('b')],
      want: 'b',
    },
    {
      name: 'bound, and the volume is on no node that is there',
      claims: [boundTo('v')],
      volumes: [volume('v', onNode('x'))],
      want: `${none}1 node(s) didn't match PersistentVolume's node affinity.`,
    },
    {
      name: 'bound, and the volume is gone',
      claims: [boundTo('v')],
      want: `${none}1 node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s).`,
    },
    {
      name: 'bound, and the volume is in another zone',
      claims: [boundTo('v')],
      volumes: [volume('v', {}, { 'topology.kubernetes.io/zone': 'z2__z3' })],
      nodes: [node('a', { 'topology.kubernetes.io/zone': 'z1' }), node('b', { 'topology.kubernetes.io/zone': 'z2' })],
      want: 'b',
    },
    {
      name: 'bound, and no node is in its zone',
      claims: [boundTo('v')],
      volumes: [volume('v', {}, { 'topology.kubernetes.io/zone': 'z2' })],
      nodes: [node('a', { 'topology.kubernetes.io/zone': 'z1' })],
      want: `${none}1 node(s) had no available volume zone.`,
    },
    {
      name: 'one pod at a time',
      claims: [boundTo('v', 'c', ['ReadWriteOncePod'])],
      volumes: [volume('v')],
      nodes: [node('a'), node('b')],
      there: [pod('q', using('c'))],
      want: '0/2 nodes are available: 2 node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod.',
    },
    {
      name: 'a waiting claim gets the smallest volume of the node',
      claims: [waiting],
      volumes: [volume('v', onNode('b')), volume('large', { capacity: { storage: '5Gi' } }), volume('w')],
      storageClass: byHand,
      want: 'a c=w',
    },
    {
      name: 'two waiting claims get two volumes, the small one first',
      pod: pod('p', { ...using('c'), name: 'one' }, using('d')),
      claims: [
        claim('c', { storageClassName: 'waits', resources: { requests: { storage: '2Gi' } } }),
        claim('d', { storageClassName: 'waits' }),
      ],
      volumes: [volume('v', { capacity: { storage: '9Gi' } }), volume('w', { capacity: { storage: '3Gi' } })],
      storageClass: byHand,
      want: 'a d=w c=v',
    },
    {
      name: 'a waiting claim goes where its volume is',
      claims: [waiting],
      volumes: [volume('v', onNode('b'))],
      storageClass: byHand,
      nodes: [node('a'), node('b')],
      want: 'b c=v',
    },
    {
      name: 'nothing to bind, and nobody makes one',
      claims: [waiting],
      storageClass: byHand,
      want: `${none}1 node(s) didn't find available persistent volumes to bind.`,
    },
    { name: 'somebody makes one', claims: [waiting], storageClass: waits, want: 'a c=?' },
    {
      name: 'somebody makes one in certain zones',
      claims: [waiting],
      storageClass: inZone,
      nodes: [node('a', { zone: 'z3' }), node('b', { zone: 'z2' })],
      want: 'b c=?',
    },
    {
      name: 'its node was chosen before',
      claims: [
        claim('c', { storageClassName: 'waits' }, { annotations: { 'volume.kubernetes.io/selected-node': 'b' } }),
      ],
      storageClass: waits,
      nodes: [node('a'), node('b')],
      want: 'b c=?',
    },
    {
      name: 'the node that was chosen before is gone',
      claims: [
        claim('c', { storageClassName: 'waits' }, { annotations: { 'volume.kubernetes.io/selected-node': 'b' } }),
      ],
      storageClass: waits,
      want: `${none}1 node(s) didn't find available persistent volumes to bind.`,
    },
    {
      name: 'the driver has room',
      claims: [waiting],
      storageClass: waits,
      csiDriver: tells,
      capacities: [room('1Gi')],
      want: 'a c=?',
    },
    {
      name: 'the driver has no room for one so large',
      claims: [waiting],
      storageClass: waits,
      csiDriver: tells,
      capacities: [room('9Gi', '512Mi')],
      want: `${none}1 node(s) did not have enough free storage.`,
    },
    {
      name: 'the driver has as many volumes as it can',
      claims: [boundTo('v'), boundTo('w', 'd')],
      volumes: [csiVolume('v'), csiVolume('w')],
      csiNode: limited(1),
      there: [pod('q', using('d'))],
      want: `${none}1 node(s) exceed max volume count.`,
    },
    {
      name: 'the same volume counts once',
      claims: [boundTo('v')],
      volumes: [csiVolume('v')],
      csiNode: limited(1),
      there: [pod('q', using('c'))],
      attachments: [attached('v')],
      want: 'a',
    },
    {
      name: 'what is attached still counts',
      claims: [boundTo('v')],
      volumes: [csiVolume('v'), csiVolume('w')],
      csiNode: limited(1),
      attachments: [attached('w')],
      want: `${none}1 node(s) exceed max volume count.`,
    },
    {
      name: 'so does what is still to be made',
      claims: [waiting],
      storageClass: waits,
      csiNode: limited(0),
      want: `${none}1 node(s) exceed max volume count.`,
    },
  ])('$name', ({ want, ...row }) => {
    expect(place(row)).toBe(want);
  });
});

describe('checkBinding', () => {
  const at = (resourceVersion: string, more: object = {}): object => ({ resourceVersion, ...more });
  const promisedVolume = volume('v', { claimRef: { uid: 'c-uid' } });
  const written = { ...promisedVolume, metadata: { ...promisedVolume.metadata, ...at('5') } };
  const asked = claim('c', {}, { ...at('5'), annotations: { 'volume.kubernetes.io/selected-node': 'a' } });
  const binding = { bindings: [{ claim: claim('c'), volume: written }], provisions: [] };
  const provision = { bindings: [], provisions: [asked] };
  const provisioned = claim(
    'c',
    { volumeName: 'v' },
    { ...asked.metadata, annotations: { ...asked.metadata.annotations, ...completed } },
  );
  it.each([
    {
      name: 'not shown yet',
      promised: binding,
      volume: { ...written, metadata: { name: 'v', ...at('4') } },
      claim: claim('c'),
      want: 'waiting',
    },
    { name: 'the binder has work to do', promised: binding, volume: written, claim: claim('c'), want: 'waiting' },
    { name: 'bound', promised: binding, volume: written, claim: boundTo('v'), want: 'bound' },
    {
      name: 'given to somebody else',
      promised: binding,
      volume: { ...volume('v'), metadata: { name: 'v', ...at('6') } },
      claim: claim('c'),
      want: 'ClaimRef got reset for pv "v"',
    },
    {
      name: 'the node has changed',
      promised: binding,
      volume: { ...written, spec: { ...written.spec, ...onNode('b') } },
      claim: claim('c'),
      want: 'pv "v" node affinity doesn\'t match node "a": no matching NodeSelectorTerms',
    },
    {
      name: 'the volume is gone',
      promised: binding,
      volume: undefined,
      claim: claim('c'),
      want: 'failed to check binding: persistentvolume "v" not found',
    },
    {
      name: 'the claim is gone',
      promised: provision,
      volume: undefined,
      claim: undefined,
      want: 'failed to check pvc binding: persistentvolumeclaim "c" not found',
    },
    { name: 'somebody makes it', promised: provision, volume: undefined, claim: asked, want: 'waiting' },
    {
      name: 'somebody cannot make it',
      promised: provision,
      volume: undefined,
      claim: claim('c', {}, { ...at('6'), annotations: {} }),
      want: 'provisioning failed for PVC "c"',
    },
    { name: 'made', promised: provision, volume: written, claim: provisioned, want: 'bound' },
    {
      name: 'made elsewhere',
      promised: provision,
      volume: { ...written, spec: { ...written.spec, ...onNode('b') } },
      claim: provisioned,
      want: 'pv "v" node affinity doesn\'t match node "a": no matching NodeSelectorTerms',
    },
  ])('$name', ({ promised, volume: shownVolume, claim: shownClaim, want }) => {
    const view = {
      shownClaim: () => shownClaim,
      shownVolume: (name: string) => (name === 'v' ? shownVolume : undefined),
    };
    const check = (): string => {
      try {
        return checkBinding(promised, node('a'), view);
      } catch (err) {
        return err instanceof Error ? err.message : String(err);
      }
    };
    expect(check()).toBe(want);
  });
});
