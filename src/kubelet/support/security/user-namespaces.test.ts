import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { silentLogger } from '../../../base/logger.ts';
import type { Pod } from '../../../objects/generated/core-v1.ts';
import { checkIdRange, defaultIdRange, parseMappings, parseSubordinateIds } from './id-range.ts';
import { UserNamespaces } from './user-namespaces.ts';

const slot = 65_536;

describe('parseSubordinateIds', () => {
  it('reads what getsubids prints', () => {
    const text = '0: kubelet 65536 7208960\n';
    expect(parseSubordinateIds(text, text)).toEqual({ firstId: slot, length: 110 * slot });
  });

  it.each([
    { uids: '0: kubelet 65536 65536', gids: '0: kubelet 131072 65536', want: /^mismatched subuids and subgids/ },
    { uids: '0: kubelet 1 2\n1: kubelet 3 4', want: /^error parsing line/ },
    { uids: '', want: /^invalid line ""/ },
    { uids: '0: kubelet x 65536', want: /^invalid line/ },
  ])('refuses $uids', ({ uids, gids = uids, want }) => {
    expect(() => parseSubordinateIds(uids, gids)).toThrow(want);
  });
});

describe('checkIdRange', () => {
  const options = { idsPerPod: slot, maxPods: 110 };
  it.each([
    { range: { firstId: slot, length: 110 * slot }, want: undefined },
    { range: defaultIdRange(slot), want: undefined },
    {
      range: { firstId: slot + 1, length: 110 * slot },
      want: 'kubelet user assigned ID 65537 is not a multiple of 65536',
    },
    { range: { firstId: 0, length: 110 * slot }, want: 'kubelet user assigned ID 0 must be greater or equal to 65536' },
    {
      range: { firstId: slot, length: 110 * slot + 1 },
      want: 'kubelet user assigned IDs length 7208961 is not a multiple of 65536',
    },
    {
      range: { firstId: slot, length: 109 * slot },
      want: 'kubelet user assigned IDs are not enough to support 110 pods',
    },
  ])('$range: $want', ({ range, want }) => {
    const check = (): void => checkIdRange(range, options);
    if (want === undefined) expect(check).not.toThrow();
    else expect(check).toThrow(want);
  });
});

describe('parseMappings', () => {
  const one = { hostId: slot, containerId: 0, length: slot };
  const text = (uidMappings: unknown, gidMappings: unknown = uidMappings): string =>
    JSON.stringify({ uidMappings, gidMappings });
  const range = { firstId: slot, length: 2 * slot };

  it('gives the first id', () => {
    expect(parseMappings(text([one]), range, slot)).toBe(slot);
  });

  it.each([
    { name: 'two mappings', file: text([one, one]), want: /no more than one mapping/ },
    { name: 'none', file: '{}', want: /no more than one mapping/ },
    { name: 'users unlike groups', file: text([one], [{ ...one, hostId: 2 * slot }]), want: /should be identical/ },
    { name: 'an odd container id', file: text([{ ...one, containerId: 1 }]), want: /container id 1/ },
    { name: 'an odd length', file: text([{ ...one, length: 1 }]), want: /^wrong user namespace length 1$/ },
    { name: 'an odd start', file: text([{ ...one, hostId: 5 }]), want: /^wrong user namespace offset specified 5$/ },
    { name: 'ids of the host', file: text([{ ...one, hostId: 0 }]), want: /^id 0 is out of range$/ },
    { name: 'ids beyond', file: text([{ ...one, hostId: 3 * slot }]), want: /^id 196608 is out of range$/ },
    { name: 'no JSON', file: 'x', want: /JSON/ },
  ])('refuses $name', ({ file, want }) => {
    expect(() => parseMappings(file, range, slot)).toThrow(want);
  });
});

describe('UserNamespaces', () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'gantry-userns-'));
  });
  afterEach(async () => {
    await rm(directory, { recursive: true, force: true });
  });

  const handlers = [
    { name: '', userNamespaces: true },
    { name: 'old', userNamespaces: false },
  ];
  const open = (slots = 2, known = handlers): UserNamespaces =>
    new UserNamespaces({
      range: { firstId: slot, length: slots * slot },
      idsPerPod: slot,
      podDir: (uid) => join(directory, uid),
      handlers: () => known,
      log: silentLogger,
    });
  const podOf = async (uid: string, hostUsers?: boolean): Promise<Pod> => {
    await mkdir(join(directory, uid), { recursive: true });
    return { metadata: { name: uid, namespace: 'ns', uid }, spec: { containers: [], hostUsers } };
  };
  const firstIdOf = async (namespaces: UserNamespaces, pod: Pod): Promise<number | undefined> =>
    (await namespaces.of(pod, '')).uids?.[0]?.host_id;

  it.each([undefined, true])('hostUsers %s stays in the namespace of the host', async (hostUsers) => {
    expect(await open(2, []).of(await podOf('a', hostUsers), 'old')).toEqual({ mode: 'NODE' });
  });

  it('gives each pod its own slot, users and groups alike, and writes it down', async () => {
    const namespaces = open();
    const mapping = { host_id: slot, container_id: 0, length: slot };
    const pod = await podOf('a', false);
    expect(await namespaces.of(pod, '')).toEqual({ mode: 'POD', uids: [mapping], gids: [mapping] });
    expect(await firstIdOf(namespaces, pod)).toBe(slot);
    expect(await firstIdOf(namespaces, await podOf('b', false))).toBe(2 * slot);
    expect(await readFile(join(directory, 'a', 'userns'), 'utf8')).toBe(
      '{"uidMappings":[{"hostId":65536,"containerId":0,"length":65536}],"gidMappings":[{"hostId":65536,"containerId":0,"length":65536}]}',
    );
  });

  it('is empty at some time, and takes back what is released', async () => {
    const namespaces = open();
    const [a, b, c] = [await podOf('a', false), await podOf('b', false), await podOf('c', false)];
    for (const pod of [a, b]) await namespaces.of(pod, '');
    await expect(namespaces.of(c, '')).rejects.toThrow('could not find an empty slot to allocate a user namespace');
    namespaces.release('a');
    namespaces.release('a');
    expect(await firstIdOf(namespaces, c)).toBe(slot);
    expect(namespaces.holders).toBe(2);
  });

  it('knows after a restart what it gave before', async () => {
    const before = open();
    const [a, b] = [await podOf('a', false), await podOf('b', false)];
    for (const pod of [a, b]) await before.of(pod, '');
    before.release('a');
    await rm(join(directory, 'a', 'userns'));
    const after = open();
    await after.load(['a', 'b', 'unknown']);
    expect(await firstIdOf(after, a)).toBe(slot);
    expect(await firstIdOf(after, b)).toBe(2 * slot);
  });

  it('refuses a pod whose file it cannot believe, and goes on with the others', async () => {
    const namespaces = open();
    const [a, b] = [await podOf('a', false), await podOf('b', false)];
    await writeFile(join(directory, 'a', 'userns'), '{"uidMappings":[]}');
    await namespaces.load(['a', 'b']);
    await expect(namespaces.of(a, '')).rejects.toThrow('no more than one mapping allowed');
    expect(await firstIdOf(namespaces, b)).toBe(slot);
  });

  it('keeps no slot for a pod that it cannot write down', async () => {
    const namespaces = open();
    const pod: Pod = { metadata: { name: 'x', uid: 'gone' }, spec: { containers: [], hostUsers: false } };
    await expect(namespaces.of(pod, '')).rejects.toThrow('Cannot keep the user namespace');
    expect(namespaces.holders).toBe(0);
  });

  it.each([
    { handler: '', known: [], want: "can't set `spec.hostUsers: false`, runtime does not support user namespaces" },
    {
      handler: 'old',
      known: handlers,
      want: 'can\'t set `spec.hostUsers: false`, RuntimeClass handler "old" does not support user namespaces',
    },
  ])('says that the handler "$handler" cannot', async ({ handler, known, want }) => {
    await expect(open(2, known).of(await podOf('a', false), handler)).rejects.toThrow(want);
  });
});
