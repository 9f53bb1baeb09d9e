import { beforeEach, describe, expect, it } from 'vitest';
import { testPod } from '../../../test/fixtures/kubelet-pods.ts';
import { ConflictError, NotFoundError } from '../../base/errors.ts';
import type { ApiClient } from '../../client/api-client.ts';
import type { Node, Pod } from '../../objects/generated/core-v1.ts';
import { MirrorPods, makeMirror } from './mirror-pods.ts';

const signal = new AbortController().signal;
const hash = 'kubernetes.io/config.hash';
const mirrorMark = 'kubernetes.io/config.mirror';
const pod = testPod({}, { uid: 'static-uid', annotations: { [hash]: 'h1', 'kubernetes.io/config.source': 'file' } });
const ownNode: Node = { metadata: { name: 'n1', uid: 'node-uid' }, spec: {} };
const mirror = (more: Partial<Pod['metadata']> = {}): Pod =>
  testPod({}, { uid: 'mirror-uid', annotations: { [mirrorMark]: 'h1' }, ...more });

let calls: unknown[][];
let existing: Pod | undefined;
let deleteFailure: Error | undefined;
let node: Node | undefined;
let mirrors: MirrorPods;

beforeEach(() => {
  calls = [];
  existing = undefined;
  deleteFailure = undefined;
  node = ownNode;
  const api = {
    create: (_: unknown, object: Pod) => {
      calls.push(['create', object.metadata.name]);
      return existing === undefined ? Promise.resolve(object) : Promise.reject(new ConflictError('already exists'));
    },
    get: () => Promise.resolve(existing),
    delete: (_: unknown, ref: unknown, options: unknown) => {
      calls.push(['delete', ref, options]);
      return deleteFailure === undefined ? Promise.resolve() : Promise.reject(deleteFailure);
    },
  } as unknown as Pick<ApiClient, 'create' | 'delete' | 'get'>; // only pods are asked for
  mirrors = new MirrorPods({ api, node: () => node });
});

const deletion = [
  'delete',
  { name: 'web', namespace: 'default' },
  { gracePeriodSeconds: 0, preconditions: { uid: 'mirror-uid' } },
];

describe('makeMirror', () => {
  it('is a copy that the node owns, with the hash as its mark and no uid or status', () => {
    expect(makeMirror({ ...pod, status: { phase: 'Pending' } }, ownNode)).toEqual({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {
        name: 'web',
        namespace: 'default',
        generation: 1,
        annotations: { [hash]: 'h1', 'kubernetes.io/config.source': 'file', [mirrorMark]: 'h1' },
        ownerReferences: [{ apiVersion: 'v1', kind: 'Node', name: 'n1', uid: 'node-uid', controller: true }],
      },
      spec: pod.spec,
    });
  });
});

describe('MirrorPods', () => {
  it.each([
    { name: 'none yet', known: undefined, want: [['create', 'web']] },
    { name: 'a good one', known: mirror(), want: [] },
    {
      name: 'one of another content',
      known: mirror({ annotations: { [mirrorMark]: 'h0' } }),
      want: [deletion, ['create', 'web']],
    },
    {
      name: 'one that is being deleted',
      known: mirror({ deletionTimestamp: 'now' }),
      want: [deletion, ['create', 'web']],
    },
  ])('$name', async ({ known, want }) => {
    await mirrors.ensure(pod, known, signal);
    expect(calls).toEqual(want);
  });

  it.each([
    { name: 'unknown', now: undefined },
    { name: 'being deleted', now: { ...ownNode, metadata: { ...ownNode.metadata, deletionTimestamp: 'now' } } },
  ])('makes none while the node is $name', async ({ now }) => {
    node = now;
    await mirrors.ensure(pod, undefined, signal);
    expect(calls).toEqual([]);
  });

  it('takes one that is there already for its own when it has the same hash', async () => {
    existing = mirror();
    await mirrors.ensure(pod, undefined, signal);
    existing = mirror({ annotations: {} });
    await expect(mirrors.ensure(pod, undefined, signal)).rejects.toThrow('already exists');
  });

  it.each([new NotFoundError('gone'), new ConflictError('another uid')])(
    'deleting what is gone or replaced is no failure: $name',
    async (failure) => {
      deleteFailure = failure;
      await mirrors.delete(mirror(), signal);
      expect(calls).toEqual([deletion]);
    },
  );

  it('other failures are told', async () => {
    deleteFailure = new Error('away');
    await expect(mirrors.delete(mirror(), signal)).rejects.toThrow('away');
  });
});
