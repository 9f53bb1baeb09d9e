import { mkdtemp, realpath, rm, stat, unlink } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { testContainer, testPod } from '../../../../test/fixtures/kubelet-pods.ts';
import { Mounts } from '../../../adapters/mounts/mounts.ts';
import { silentLogger } from '../../../base/logger.ts';
import type { Pod, PodSpec } from '../../../objects/generated/core-v1.ts';
import { mountedPageBytes, pageSizeOf } from './huge-pages.ts';
import { mediumOf } from './volume-medium.ts';
import { VolumePaths } from './volume-paths.ts';
import { setUpEmptyDir, tearDown } from './volume-setup.ts';

const asking = (...names: string[]): ReturnType<typeof testContainer> =>
  testContainer('c', { resources: { requests: Object.fromEntries(names.map((name) => [name, '2Mi'])) } });
const podOf = (spec: Partial<PodSpec>): Pod => testPod(spec);
const small = { text: '2Mi', bytes: 2 * 1024 ** 2 };
const large = { text: '1Gi', bytes: 1024 ** 3 };

describe('pageSizeOf', () => {
  const both = podOf({ containers: [asking('hugepages-2Mi'), asking('memory', 'hugepages-1Gi')] });
  it.each([
    {
      name: 'the one size that is asked for',
      medium: 'HugePages',
      pod: podOf({ containers: [asking('hugepages-2Mi')] }),
      want: small,
    },
    { name: 'the size that is named', medium: 'HugePages-1Gi', pod: both, want: large },
    { name: 'named in other words', medium: 'HugePages-1024Mi', pod: both, want: large },
    {
      name: 'of an init container',
      medium: 'HugePages',
      pod: podOf({ containers: [testContainer('c')], initContainers: [asking('hugepages-1Gi')] }),
      want: large,
    },
    {
      name: 'of the pod itself',
      medium: 'HugePages',
      pod: podOf({ resources: { requests: { 'hugepages-2Mi': '4Mi' } } }),
      want: small,
    },
    {
      name: 'a limit alone is a request',
      medium: 'HugePages',
      pod: podOf({ containers: [testContainer('c', { resources: { limits: { 'hugepages-2Mi': '4Mi' } } })] }),
      want: small,
    },
    {
      name: 'two sizes and no choice',
      medium: 'HugePages',
      pod: both,
      want: "medium: HugePages can't be used if container requests multiple huge page sizes",
    },
    {
      name: 'nobody asks',
      medium: 'HugePages',
      pod: podOf({}),
      want: 'medium HugePages: hugePages storage requested, but there is no resource request for huge pages',
    },
    {
      name: 'nobody asks for this size',
      medium: 'HugePages-1Gi',
      pod: podOf({ containers: [asking('hugepages-2Mi')] }),
      want: 'medium HugePages-1Gi: hugePages storage requested, but there is no resource request for huge pages',
    },
  ])('$name', ({ medium, pod, want }) => {
    if (typeof want === 'string') expect(() => pageSizeOf(medium, pod)).toThrow(new Error(want));
    else expect(pageSizeOf(medium, pod)).toEqual(want);
  });
});

it.each([
  [['rw', 'pagesize=2M'], 2 * 1024 ** 2],
  [['rw', 'pagesize=1G'], 1024 ** 3],
  [['rw', 'pagesize=64K', 'size=1M'], 64 * 1024],
  [['rw', 'pagesize=512'], 512],
  [['rw'], undefined],
  [['pagesize=2T'], undefined],
])('the kernel says %j: %s bytes', (options, want) => expect(mountedPageBytes(options)).toBe(want));

it('names a medium that there is not', () => {
  const volume = { name: 'v', emptyDir: { medium: 'Disk' } };
  expect(() => mediumOf(podOf({}), volume, 'empty-dir', 0)).toThrow(new Error('unknown storage medium "Disk"'));
});

const canMount = process.getuid?.() === 0 && readFileSync('/proc/filesystems', 'utf8').includes('hugetlbfs');
if (!canMount)
  console.warn('huge-pages: tests with real mounts are skipped: they need root, and a kernel with hugetlbfs');

describe.runIf(canMount)('a volume in huge pages (needs root)', () => {
  const signal = new AbortController().signal;
  const mounts = new Mounts();
  const place = { uid: 'u', kind: 'empty-dir', name: 'v' } as const;
  let root = '';
  beforeEach(async () => (root = await realpath(await mkdtemp(join(tmpdir(), 'gantry-pages-')))));
  afterEach(() => rm(root, { recursive: true }));

  it('is mounted with pages of its size, kept as it is, refused with another, and taken down', async () => {
    const hands = { paths: new VolumePaths(root), mounts, log: silentLogger };
    const setUp = (page: typeof small): Promise<boolean> =>
      setUpEmptyDir(place, { medium: { page }, fsGroup: 4321 }, hands, signal);
    const directory = hands.paths.volume('u', 'empty-dir', 'v');
    expect(await setUp(small)).toBe(true);
    const entries = async (): Promise<string[]> =>
      (await mounts.listMounts())
        .filter(({ target }) => target === directory)
        .map(({ fsType, source, superOptions }) => [fsType, source, ...superOptions].join(' '));
    expect(await entries()).toEqual(['hugetlbfs nodev rw pagesize=2M']);
    const { mode, gid } = await stat(directory);
    expect([(mode & 0o7777).toString(8), gid]).toEqual(['2775', 4321]);
    expect(await setUp(large)).toBe(false); // set up once: it belongs to the containers
    await unlink(join(hands.paths.marker('u', 'empty-dir', 'v'), 'ready'));
    await expect(setUp(large)).rejects.toThrow(
      new Error(`pod u: mounted dir ${directory} pagesize '2Mi' and requested medium size '1Gi' differ`),
    );
    expect(await setUp(small)).toBe(true);
    expect(await entries()).toHaveLength(1);
    await tearDown(place, hands, signal);
    expect(await entries()).toEqual([]);
  });
});
