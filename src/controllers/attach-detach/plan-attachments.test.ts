import { describe, expect, it } from 'vitest';
import { csiAttachmentName, csiUniqueName } from '../../objects/csi-names.ts';
import type { Node, PersistentVolume, PersistentVolumeClaim, Pod } from '../../objects/generated/core-v1.ts';
import type { VolumeAttachment } from '../../objects/generated/storage-v1.ts';
import { type AttachmentState, findUniqueName, multiAttachMessage, planAttachments } from './plan-attachments.ts';
import { type Lookup, type WantedVolume, wantedVolumes } from './wanted-volumes.ts';

const driver = 'csi.example.com';
const pod = (name: string, claims: string[], more: Partial<Pod> = {}): Pod => ({
  metadata: { name, namespace: 'ns' },
  spec: {
    containers: [],
    volumes: claims.map((claimName) => ({ name: claimName, persistentVolumeClaim: { claimName } })),
  },
  ...more,
});
const going = { metadata: { name: 'p', namespace: 'ns', deletionTimestamp: 't' } };
const runs = {
  containerStatuses: [{ name: 'c', image: '', imageID: '', ready: true, restartCount: 0, state: { running: {} } }],
};
const csi = (name: string, modes = ['ReadWriteOnce']): PersistentVolume => ({
  metadata: { name },
  spec: { accessModes: modes, claimRef: { uid: `${name}-uid` }, csi: { driver, volumeHandle: name } },
});

describe('wantedVolumes', () => {
  const volumes = [
    csi('v'),
    csi('shared', ['ReadWriteMany']),
    { ...csi('other'), spec: { ...csi('other').spec, csi: { driver: 'free.example.com', volumeHandle: 'other' } } },
    { metadata: { name: 'local' }, spec: { local: { path: '/x' }, claimRef: { uid: 'local-uid' } } },
  ];
  const claims = [
    ...volumes.map(({ metadata: { name } }) => ({ name, volumeName: name, uid: `${name}-uid`, phase: 'Bound' })),
    { name: 'unbound', volumeName: '', uid: 'u', phase: 'Pending' },
    { name: 'misbound', volumeName: 'v', uid: 'u', phase: 'Bound' },
  ];
  const lookup: Lookup = {
    claim: (key) => {
      const found = claims.find(({ name }) => `ns/${name}` === key);
      const claim: PersistentVolumeClaim | undefined = found && {
        metadata: { name: found.name, namespace: 'ns', uid: found.uid },
        spec: { volumeName: found.volumeName },
        status: { phase: found.phase },
      };
      return claim;
    },
    volume: (name) => volumes.find(({ metadata }) => metadata.name === name),
    needsAttach: (name) => name === driver,
  };
  it.each([
    { name: 'a bound one', pods: [pod('p', ['v'])], want: ['v'] },
    { name: 'for several pods once', pods: [pod('p', ['v']), pod('q', ['v', 'shared'])], want: ['v', 'shared*'] },
    {
      name: 'none of a driver that needs no attaching, nor of other kinds',
      pods: [pod('p', ['other', 'local'])],
      want: [],
    },
    { name: 'not bound, not there, not its own', pods: [pod('p', ['unbound', 'nowhere', 'misbound'])], want: [] },
    { name: 'of a pod that has ended', pods: [pod('p', ['v'], { status: { phase: 'Failed' } })], want: [] },
    { name: 'of a pod that is going and runs', pods: [pod('p', ['v'], { ...going, status: runs })], want: ['v'] },
    { name: 'of a pod that is going and runs no more', pods: [pod('p', ['v'], going)], want: [] },
  ])('$name', ({ pods, want }) => {
    const found = [...wantedVolumes('n', pods, lookup).values()];
    expect(found.map(({ volumeName, isShared }) => `${volumeName}${isShared ? '*' : ''}`)).toEqual(want);
  });

  it('names them as kubelets and drivers do', () => {
    const [found] = wantedVolumes('n', [pod('p', ['v'])], lookup).values();
    expect(found).toMatchObject({
      uniqueName: 'kubernetes.io/csi/csi.example.com^v',
      // sha256 of "vcsi.example.comn"
      attachmentName: csiAttachmentName('v', driver, 'n'),
    });
    expect(csiAttachmentName('a', 'b', 'c')).toBe(
      'csi-ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
    );
  });
});

const wants = (name: string, isShared = false): WantedVolume => ({
  attachmentName: csiAttachmentName(name, driver, 'n'),
  uniqueName: csiUniqueName(driver, name),
  volumeName: name,
  driver,
  handle: name,
  isShared,
  pods: [],
});
const attachment = (name: string, { node = 'n', attached = true, isGoing = false } = {}): VolumeAttachment => ({
  metadata: {
    name: csiAttachmentName(name, driver, node),
    ...(isGoing ? { deletionTimestamp: 't' } : {}),
  },
  spec: { attacher: driver, nodeName: node, source: { persistentVolumeName: name } },
  status: { attached },
});
const node = ({
  inUse = [],
  ready = 'True',
  taints = [],
}: { inUse?: string[]; ready?: string; taints?: string[] } = {}): Node => ({
  metadata: { name: 'n' },
  spec: { taints: taints.map((key) => ({ key, effect: 'NoExecute' })) },
  status: {
    volumesInUse: inUse.map((name) => csiUniqueName(driver, name)),
    conditions: [{ type: 'Ready', status: ready }],
  },
});

interface Row extends Partial<Omit<AttachmentState, 'wanted'>> {
  name: string;
  wanted?: WantedVolume[];
  unwantedForMs?: number;
  want: {
    attach?: string[];
    blocked?: string[];
    detach?: string[];
    forced?: string[];
    has?: string[];
    againMs?: number;
  };
}

describe('planAttachments', () => {
  const minute = 60_000;
  it.each<Row>([
    { name: 'wanted and not there', wanted: [wants('v')], want: { attach: ['v'] } },
    { name: 'on its way', wanted: [wants('v')], attachments: [attachment('v', { attached: false })], want: {} },
    { name: 'there', wanted: [wants('v')], attachments: [attachment('v')], want: { has: ['v'] } },
    {
      name: 'wanted again while it goes',
      wanted: [wants('v')],
      attachments: [attachment('v', { isGoing: true })],
      want: {},
    },
    {
      name: 'another node has it',
      wanted: [wants('v')],
      attachments: [attachment('v', { node: 'm' })],
      want: { blocked: ['v: m'] },
    },
    {
      name: 'another node may still have it',
      wanted: [wants('v')],
      attachments: [attachment('v', { node: 'm', attached: false, isGoing: true })],
      want: { blocked: ['v: m'] },
    },
    {
      name: 'another node has it, and it can be shared',
      wanted: [wants('v', true)],
      attachments: [attachment('v', { node: 'm' })],
      want: { attach: ['v'] },
    },
    { name: 'nobody wants it', attachments: [attachment('v')], want: { detach: ['v'] } },
    {
      name: 'nobody wants it, and it was never there',
      attachments: [attachment('v', { attached: false })],
      want: { detach: ['v'] },
    },
    {
      name: 'nobody wants it, and the node uses it',
      node: node({ inUse: ['v'] }),
      attachments: [attachment('v')],
      want: { has: ['v'] },
    },
    {
      name: 'a healthy node uses it however long it takes',
      node: node({ inUse: ['v'] }),
      attachments: [attachment('v')],
      unwantedForMs: 60 * minute,
      want: { has: ['v'] },
    },
    {
      name: 'a lost node keeps it for a while',
      node: node({ inUse: ['v'], ready: 'Unknown' }),
      attachments: [attachment('v')],
      unwantedForMs: 2 * minute,
      want: { has: ['v'], againMs: 4 * minute },
    },
    {
      name: 'and then it is taken off',
      node: node({ inUse: ['v'], ready: 'Unknown' }),
      attachments: [attachment('v')],
      unwantedForMs: 6 * minute,
      want: { forced: ['v'] },
    },
    {
      name: 'unless that is switched off',
      node: node({ inUse: ['v'], ready: 'Unknown' }),
      attachments: [attachment('v')],
      unwantedForMs: 60 * minute,
      forceAfterMs: undefined,
      want: { has: ['v'] },
    },
    {
      name: 'a node out of service is not asked',
      node: node({ inUse: ['v'], ready: 'Unknown', taints: ['node.kubernetes.io/out-of-service'] }),
      attachments: [attachment('v')],
      want: { forced: ['v'] },
    },
    {
      name: 'a node that is gone may still use it',
      node: undefined,
      attachments: [attachment('v')],
      want: { has: ['v'], againMs: 6 * minute },
    },
    {
      name: 'and then not',
      node: undefined,
      attachments: [attachment('v')],
      unwantedForMs: 6 * minute,
      want: { forced: ['v'] },
    },
    {
      name: 'nobody knows which volume it was',
      attachments: [attachment('v')],
      uniqueNameOf: () => undefined,
      want: {},
    },
    { name: 'those of other nodes are not ours', attachments: [attachment('v', { node: 'm' })], want: {} },
  ])('$name', ({ wanted = [], attachments = [], unwantedForMs = 0, want, ...more }) => {
    const plan = planAttachments({
      nodeName: 'n',
      node: 'node' in more ? more.node : node(),
      wanted: new Map(wanted.map((volume) => [volume.attachmentName, volume])),
      attachments,
      uniqueNameOf: more.uniqueNameOf ?? (({ spec }) => csiUniqueName(driver, spec.source.persistentVolumeName ?? '')),
      unwantedMs: () => unwantedForMs,
      forceAfterMs: 'forceAfterMs' in more ? more.forceAfterMs : 6 * minute,
    });
    const names = (isForced: boolean): string[] =>
      plan.detach
        .filter((one) => one.isForced === isForced)
        .map((one) => one.attachment.spec.source.persistentVolumeName ?? '');
    expect({
      attach: plan.attach.map(({ volumeName }) => volumeName),
      blocked: plan.blocked.map(({ volume, nodes }) => `${volume.volumeName}: ${nodes.join()}`),
      detach: names(false),
      forced: names(true),
      has: plan.reported.map((name) => name.slice(csiUniqueName(driver, '').length)),
      againMs: plan.lookAgainMs,
    }).toEqual({ attach: [], blocked: [], detach: [], forced: [], has: [], againMs: undefined, ...want });
  });
});

describe('names and words', () => {
  it('an attachment whose volume is gone is known by what its node says', () => {
    expect(findUniqueName(attachment('v'), node({ inUse: ['w', 'v'] }))).toBe(csiUniqueName(driver, 'v'));
    expect(findUniqueName(attachment('v'), node({ inUse: ['w'] }))).toBeUndefined();
  });

  const user = (namespace: string, name: string): { namespace: string; name: string } => ({ namespace, name });
  it.each([
    { users: [], want: "Volume is already exclusively attached to one node and can't be attached to another" },
    { users: [user('ns', 'a'), user('ns', 'b')], want: 'Volume is already used by pod(s) a, b' },
    { users: [user('x', 'a'), user('x', 'b')], want: 'Volume is already used by 2 pod(s) in different namespaces' },
    {
      users: [user('ns', 'a'), user('x', 'b')],
      want: 'Volume is already used by pod(s) a and 1 pod(s) in different namespaces',
    },
  ])('$want', ({ users, want }) => {
    expect(multiAttachMessage(wants('v'), 'ns', users)).toBe(`Multi-Attach error for volume "v" ${want}`);
  });
});
