import { mkdir, mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../../../base/clock.ts';
import { silentLogger } from '../../../base/logger.ts';
import type { Origin } from './keyring.ts';
import { PullRecords, fileName } from './pull-records.ts';
import { decideAccess, verificationProblems, withAccess } from './verify-access.ts';

const secret = (name: string, credentialHash = `hash of ${name}`): Extract<Origin, { kind: 'secret' }> => ({
  kind: 'secret',
  secret: { uid: `uid of ${name}`, namespace: 'ns', name, credentialHash },
});
const account: Origin = { kind: 'account', account: { uid: 'u', namespace: 'ns', name: 'robot' } };
const at = { imageRef: 'sha256:1', repository: 'r.test/web', nowText: '2026-01-01T00:00:00Z' };

describe('records on disk', () => {
  let directory: string;
  let clock: FakeClock;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'gantry-records-'));
    clock = new FakeClock();
  });
  afterEach(() => rm(directory, { recursive: true }));

  async function open(): Promise<PullRecords> {
    const records = new PullRecords({ rootDir: directory, clock, log: silentLogger });
    await records.open();
    return records;
  }
  const folder = (name: string): string => join(directory, 'image_manager', name);
  const files = (name: string): Promise<string[]> => readdir(folder(name));

  it('an intent is a file until the pull is over, for as many pulls as there are', async () => {
    const records = await open();
    await records.begin('docker.io/testing/test:latest');
    await records.begin('docker.io/testing/test:latest');
    const name = 'sha256-aef2af226629a35d5f3ef0fdbb29fdbebf038d0acd8850590e8c48e1e283aa56';
    expect(await files('pulling')).toEqual([name]);
    expect(JSON.parse(await readFile(join(folder('pulling'), name), 'utf8'))).toEqual({
      kind: 'ImagePullIntent',
      apiVersion: 'kubelet.config.k8s.io/v1beta1',
      image: 'docker.io/testing/test:latest',
    });
    expect((await stat(join(folder('pulling'), name))).mode & 0o777).toBe(0o600);
    expect((await stat(folder('pulling'))).mode & 0o777).toBe(0o700);
    await records.failed('docker.io/testing/test:latest');
    expect(await files('pulling')).toEqual([name]);
    await records.failed('docker.io/testing/test:latest');
    expect(await files('pulling')).toEqual([]);
    expect(records.wasPulledByKubelet('docker.io/testing/test:latest', 'sha256:1')).toBe(false);
  });

  it('an intent that was left is remembered until somebody looks, also when another pull fails', async () => {
    await (await open()).begin('web:1');
    const records = await open();
    expect(records.unfinished()).toEqual(['web:1']);
    await records.begin('web:1');
    await records.failed('web:1');
    expect(records.wasPulledByKubelet('web:1', 'sha256:1')).toBe(true);
    await records.adopt('web:1', 'sha256:1');
    expect(await files('pulling')).toEqual([]);
    expect((await open()).record('sha256:1')).toEqual({
      lastUpdatedTime: '2023-11-14T22:13:20Z',
      imageRef: 'sha256:1',
    });
  });

  it('an intent that cannot be written leaves everything as it was', async () => {
    await (await open()).begin('web:1');
    const records = await open();
    await rm(folder('pulling'), { recursive: true });
    await expect(records.begin('web:1')).rejects.toThrow('ENOENT');
    await expect(records.begin('loaded:1')).rejects.toThrow('ENOENT');
    expect(records.unfinished()).toEqual(['web:1']);
    expect(records.wasPulledByKubelet('loaded:1', 'sha256:2')).toBe(false);
  });

  it('forgets images that are gone, but not those that came since the look', async () => {
    const records = await open();
    await records.learn('sha256:old', 'r.test/old', undefined);
    await records.learn('sha256:there', 'r.test/there', undefined);
    await clock.advance(60_000);
    const lookedMs = clock.nowMs();
    await records.learn('sha256:new', 'r.test/new', undefined);
    await records.prune(new Set(['sha256:there']), lookedMs);
    expect((await files('pulled')).toSorted()).toEqual(['sha256:new', 'sha256:there'].map(fileName).toSorted());
    expect((await open()).record('sha256:old')).toBeUndefined();
  });

  const good = {
    kind: 'ImagePulledRecord',
    apiVersion: 'kubelet.config.k8s.io/v1alpha1',
    lastUpdatedTime: '2024-10-21T12:26:40Z',
  };
  it.each([
    { name: 'torn', text: '{"kind":"ImagePulledRecord","apiVer' },
    { name: 'empty', text: '' },
    { name: 'of another version', text: JSON.stringify({ ...good, apiVersion: 'v9', imageRef: 'sha256:1' }) },
    { name: 'of another kind', text: JSON.stringify({ ...good, kind: 'ImagePullIntent', image: 'x' }) },
    { name: 'of another image', text: JSON.stringify({ ...good, imageRef: 'sha256:2' }) },
    {
      name: 'with a mapping that is none',
      text: JSON.stringify({ ...good, imageRef: 'sha256:1', credentialMapping: { a: [] } }),
    },
    {
      name: 'with secrets that are none',
      text: JSON.stringify({
        ...good,
        imageRef: 'sha256:1',
        credentialMapping: { a: { kubernetesSecrets: [{ uid: 1 }] } },
      }),
    },
  ])('a record that is $name is set aside, and its image is nobody’s until it is pulled again', async ({ text }) => {
    await mkdir(folder('pulled'), { recursive: true });
    const name = fileName('sha256:1');
    await writeFile(join(folder('pulled'), name), text);
    await writeFile(join(folder('pulled'), `${name}.tmp`), 'cut off');
    await open();
    expect([await files('pulled'), await files('set-aside')]).toEqual([[], [name]]);
    const records = await open();
    expect(records.record('sha256:1')).toBeUndefined();
    expect(records.wasPulledByKubelet('web:1', 'sha256:1')).toBe(true);
    await records.begin('web:1');
    await records.succeeded('web:1', 'sha256:1', 'r.test/web', secret('a'));
    expect([await files('pulled'), await files('set-aside')]).toEqual([[name], []]);
  });

  it('a record of an older kubelet is good', async () => {
    await mkdir(folder('pulled'), { recursive: true });
    const credentialMapping = { 'r.test/web': { nodePodsAccessible: true } };
    const record = { ...good, imageRef: 'sha256:1', credentialMapping };
    await writeFile(join(folder('pulled'), fileName('sha256:1')), JSON.stringify(record));
    expect((await open()).record('sha256:1')?.credentialMapping).toEqual(credentialMapping);
  });
});

describe('withAccess', () => {
  const first = withAccess(undefined, at, secret('a'));
  it.each([
    { name: 'no credential: everybody', origin: undefined, want: { nodePodsAccessible: true } },
    { name: 'the node’s: everybody', origin: { kind: 'node' } as const, want: { nodePodsAccessible: true } },
    {
      name: 'another secret beside the first',
      origin: secret('b'),
      want: { kubernetesSecrets: [secret('a').secret, secret('b').secret] },
    },
    { name: 'the same secret: nothing new', origin: secret('a'), want: undefined },
    {
      name: 'the same with new content',
      origin: secret('a', 'new'),
      want: { kubernetesSecrets: [secret('a', 'new').secret] },
    },
    {
      name: 'a service account',
      origin: account,
      want: { kubernetesSecrets: [secret('a').secret], kubernetesServiceAccounts: [account.account] },
    },
  ])('$name', ({ origin, want }) => {
    expect(withAccess(first, at, origin)?.credentialMapping?.['r.test/web']).toEqual(want);
  });

  it('what is everybody’s stays so, and repositories are kept apart', () => {
    const open = withAccess(undefined, at, undefined);
    expect(withAccess(open, at, secret('a'))).toBeUndefined();
    expect(withAccess(open, { ...at, repository: 'other.test/web' }, secret('a'))?.credentialMapping).toEqual({
      'r.test/web': { nodePodsAccessible: true },
      'other.test/web': { kubernetesSecrets: [secret('a').secret] },
    });
  });

  it('a record does not grow without end', () => {
    let record = first;
    for (let i = 0; i < 150; i++) record = withAccess(record, at, secret(`s${i}`)) ?? record;
    expect(record?.credentialMapping?.['r.test/web']?.kubernetesSecrets).toHaveLength(100);
    expect(record?.credentialMapping?.['r.test/web']?.kubernetesSecrets?.at(-1)?.name).toBe('s149');
  });
});

describe('decideAccess', () => {
  const rules = { isOn: true, policy: 'NeverVerifyPreloadedImages', allowlist: [] } as const;
  const record = withAccess(withAccess(undefined, at, secret('a')), at, account);
  it.each([
    { name: 'nothing to show', origins: [], want: 'pull' },
    { name: 'the secret', origins: [secret('a')], want: 'granted' },
    { name: 'the secret with other content', origins: [secret('a', 'x')], want: 'granted, learned' },
    { name: 'the content in another secret', origins: [secret('b', 'hash of a')], want: 'granted, learned' },
    { name: 'another secret', origins: [secret('b')], want: 'pull' },
    { name: 'credentials without a hash are not the same', origins: [secret('b', '')], want: 'pull' },
    {
      name: 'a secret made anew with other content',
      origins: [{ kind: 'secret', secret: { ...secret('a', 'x').secret, uid: 'new' } }],
      want: 'pull',
    },
    { name: 'the service account', origins: [account], want: 'granted' },
    {
      name: 'another account',
      origins: [{ kind: 'account', account: { uid: 'u', namespace: 'ns', name: 'x' } }],
      want: 'pull',
    },
    { name: 'credentials of the node', origins: [{ kind: 'node' }], want: 'pull' },
  ] as Array<{ name: string; origins: Origin[]; want: string }>)('$name: $want', ({ origins, want }) => {
    const decision = decideAccess(rules, 'r.test/web', { record, wasPulledByKubelet: true }, origins);
    const isLearned = decision.kind === 'granted' && decision.learned !== undefined;
    expect(isLearned ? 'granted, learned' : decision.kind).toBe(want);
  });

  it('under another name it is another image', () => {
    const known = { record, wasPulledByKubelet: true };
    expect(decideAccess(rules, 'other.test/web', known, [secret('a')])).toEqual({ kind: 'pull' });
  });
});

it.each([
  {
    policy: 'Sometimes',
    list: [],
    want: /^option "Sometimes" specified for imagePullCredentialsVerificationPolicy\. Valid options are /,
  },
  { policy: 'AlwaysVerify', list: ['r.test/web'], want: /can't set `preloadedImagesVerificationAllowlist`/ },
  { policy: 'NeverVerifyAllowlistedImages', list: ['r.test/web:1'], want: /"r.test\/web:1" must be a whole name/ },
  { policy: 'NeverVerifyAllowlistedImages', list: ['web'], want: /"web" must be a whole name/ },
  { policy: 'NeverVerifyAllowlistedImages', list: ['*'], want: /"\*" must be a whole name/ },
  { policy: 'NeverVerifyAllowlistedImages', list: ['r.test/web', 'r.test/*', 'r.test:5000/a/*'], want: /^$/ },
])('$policy $list', ({ policy, list, want }) => {
  expect(verificationProblems(policy, list).join('; ')).toMatch(want);
});
