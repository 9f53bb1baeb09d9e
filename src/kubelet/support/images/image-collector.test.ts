import { beforeEach, describe, expect, it } from 'vitest';
import type { CriImage } from '../../../adapters/cri/cri-types.ts';
import { FakeClock } from '../../../base/clock.ts';
import { silentLogger } from '../../../base/logger.ts';
import { ImageCollector } from './image-collector.ts';
import { type KnownImage, bytesToFree, formatBytes, oldImages, removableImages } from './image-garbage.ts';

const minute = 60_000;
const limits = { highPercent: 85, lowPercent: 80, minAgeMs: 2 * minute, maxAgeMs: 0 };

describe('bytesToFree', () => {
  it.each([
    { availableBytes: 151, want: 0 }, // 100 − 15 = 85 would be too much
    { availableBytes: 160, want: 0 },
    { availableBytes: 150, want: 50 },
    { availableBytes: 159, want: 41 },
    { availableBytes: 0, want: 200 },
  ])('of 1000 bytes with $availableBytes left: $want', ({ availableBytes, want }) => {
    // percents are cut: 15.1 % available count as 15, 85 used
    const expected = availableBytes === 151 ? 49 : want;
    expect(bytesToFree({ capacityBytes: 1000, availableBytes }, limits)).toBe(expected);
  });
});

const known = (id: string, more: Partial<KnownImage> = {}): KnownImage => ({
  id,
  names: [id],
  sizeBytes: 1,
  isPinned: false,
  firstDetectedMs: -Infinity,
  lastUsedMs: -Infinity,
  ...more,
});

it('removableImages takes the least used first, then the older, and leaves what must stay', () => {
  const nowMs = 10 * minute;
  const images = [
    known('used lately', { lastUsedMs: 5 * minute }),
    known('never used', { firstDetectedMs: minute }),
    known('never used and here from the start'),
    known('in use', { lastUsedMs: nowMs }),
    known('pinned', { isPinned: true }),
    known('too young', { firstDetectedMs: nowMs - 2 * minute + 1 }),
    known('just old enough', { firstDetectedMs: nowMs - 2 * minute }),
  ];
  expect(removableImages(images, nowMs, limits).map(({ id }) => id)).toEqual([
    'never used and here from the start',
    'never used',
    'just old enough',
    'used lately',
  ]);
});

it.each([
  { name: 'no limit', maxAgeMs: 0, nowMs: 100 * minute, want: [] },
  { name: 'the kubelet is younger than the limit', maxAgeMs: 10 * minute, nowMs: 10 * minute, want: [] },
  { name: 'what is over it', maxAgeMs: 10 * minute, nowMs: 15 * minute, want: ['old', 'never'] },
])('oldImages: $name', ({ maxAgeMs, nowMs, want }) => {
  const images = [known('old', { lastUsedMs: minute }), known('new', { lastUsedMs: 5 * minute }), known('never')];
  expect(oldImages(images, { nowMs, beganMs: 0 }, { ...limits, maxAgeMs }).map(({ id }) => id)).toEqual(want);
});

it.each([
  [100, '100 B'],
  [1536, '1.5 KiB'],
  [10 * 1024 ** 3, '10.0 GiB'],
])('%d bytes are %s', (bytes, want) => {
  expect(formatBytes(bytes)).toBe(want);
});

describe('the collector', () => {
  let clock: FakeClock;
  let there: Map<string, number>;
  let used: Set<string>;
  let events: string[];
  let capacityBytes: number;
  let unremovable: string | undefined;
  let counted: string[];
  let otherBytes: number;

  beforeEach(() => {
    clock = new FakeClock();
    there = new Map([
      ['a', 100],
      ['b', 100],
      ['c', 100],
    ]);
    used = new Set();
    events = [];
    capacityBytes = 1000;
    otherBytes = 600;
    unremovable = undefined;
    counted = [];
  });

  const imageOf = ([id, sizeBytes]: [string, number]): CriImage => ({
    id,
    repoTags: [`r.test/${id}:1`],
    repoDigests: [`r.test/${id}@sha256:1`],
    sizeBytes,
    uid: undefined,
    username: '',
    pinned: false,
  });

  async function runFor(ms: number, more: Partial<typeof limits> = {}): Promise<void> {
    const collector = new ImageCollector({
      cri: {
        listImages: () => Promise.resolve([...there].map(imageOf)),
        removeImage: (id) => {
          if (id === unremovable) return Promise.reject(new Error('busy'));
          there.delete(id);
          return Promise.resolve();
        },
        imageFilesystems: () => Promise.resolve([{ mountpoint: '/images', usedBytes: 0, inodesUsed: 0 }]),
      },
      usedImages: () => used,
      whenUseIsKnown: () => Promise.resolve(),
      space: (path) => {
        expect(path).toBe('/images');
        const usedBytes = otherBytes + [...there.values()].reduce((sum, size) => sum + size, 0);
        return Promise.resolve({ capacityBytes, availableBytes: Math.max(0, capacityBytes - usedBytes) });
      },
      limits: { ...limits, ...more },
      counts: { imageRemoved: (reason) => counted.push(reason) },
      nodeEvent: (type, reason, message) => events.push(`${type} ${reason}: ${message}`),
      clock,
      log: silentLogger,
    });
    const stop = new AbortController();
    const running = collector.run(stop.signal);
    await clock.advance(ms);
    stop.abort();
    await clock.advance(0);
    await running;
  }

  it('frees as much as it must, and leaves what any container has by any of its names', async () => {
    used = new Set(['a', 'r.test/b@sha256:1']);
    await runFor(0);
    expect([...there.keys()]).toEqual(['a', 'b']);
    expect(events).toEqual([]);
    expect(counted).toEqual(['space']);
  });

  it('leaves everything below the limit, and at 100 % does nothing at all', async () => {
    otherBytes = 500;
    await runFor(20 * minute);
    otherBytes = 690;
    await runFor(20 * minute, { highPercent: 100, lowPercent: 80 });
    expect(there.size).toBe(3);
  });

  it('says so when there is not enough to remove, and that it failed from the second time on', async () => {
    otherBytes = 900;
    capacityBytes = 1000;
    there = new Map([['a', 50]]);
    await runFor(0);
    const text = `Warning FreeDiskSpaceFailed: Insufficient free disk space on the node's image filesystem (95% of 1000 B used). Failed to free sufficient space by deleting unused images (freed 50 bytes). Investigate disk usage, as it could be used by active images, logs, volumes, or other data.`;
    expect(events).toEqual([text]);
    events = [];
    await runFor(5 * minute);
    expect(events.map((event) => event.split(':')[0])).toEqual([
      'Warning FreeDiskSpaceFailed',
      'Warning FreeDiskSpaceFailed',
      'Warning ImageGCFailed',
    ]);
  });

  it('goes on past an image that cannot be removed', async () => {
    unremovable = 'a';
    await runFor(0);
    expect([...there.keys()]).toEqual(['a', 'c']);
    expect(events).toEqual([]);
  });

  it('a disk without a size', async () => {
    capacityBytes = 0;
    await runFor(5 * minute);
    expect(events).toEqual([
      'Warning InvalidDiskCapacity: invalid capacity 0 on image filesystem',
      'Warning InvalidDiskCapacity: invalid capacity 0 on image filesystem',
      'Warning ImageGCFailed: invalid capacity 0 on image filesystem',
    ]);
  });

  it('removes what nobody has used for too long, once the kubelet has run that long', async () => {
    otherBytes = 0;
    used = new Set(['b']);
    await runFor(10 * minute, { maxAgeMs: 12 * minute });
    expect(there.size).toBe(3);
    await runFor(20 * minute, { maxAgeMs: 12 * minute });
    expect([...there.keys()]).toEqual(['b']);
    expect(counted).toEqual(['age', 'age']);
  });
});
