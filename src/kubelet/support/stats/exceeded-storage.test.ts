import { describe, expect, it } from 'vitest';
import { testContainer, testPod } from '../../../../test/fixtures/kubelet-pods.ts';
import type { Container, PodSpec, Volume } from '../../../objects/generated/core-v1.ts';
import { type StorageUse, exceededStorage, usedByPod } from './exceeded-storage.ts';
import { hasStorageLimit, volumeMeasures } from './volume-measures.ts';

const Mi = 1024 ** 2;

const web = (limit?: string): Container =>
  testContainer('web', limit === undefined ? {} : { resources: { limits: { 'ephemeral-storage': limit } } });
const cache = (sizeLimit?: string, medium?: string): Volume => ({
  name: 'cache',
  emptyDir: { ...(sizeLimit === undefined ? {} : { sizeLimit }), ...(medium === undefined ? {} : { medium }) },
});
interface Use {
  cache?: number;
  isMemory?: boolean;
  config?: number;
  secret?: number;
  logs?: number;
  written?: number;
  hosts?: number;
  hasImageFilesystem?: boolean;
}
const use = ({
  cache: cached = 0,
  isMemory = false,
  config = 0,
  secret = 0,
  logs = 0,
  written = 0,
  hosts = 0,
  hasImageFilesystem = false,
}: Use): StorageUse => ({
  volumes: new Map([
    ['cache', { usedBytes: cached, isLocalEphemeral: !isMemory }],
    ['config', { usedBytes: config, isLocalEphemeral: true }],
    ['secret', { usedBytes: secret, isLocalEphemeral: false }],
  ]),
  containers: new Map([['web', { logBytes: logs, writableBytes: written }]]),
  podLogBytes: logs,
  hostsFileBytes: hosts,
  hasImageFilesystem,
});

const ofVolume = 'Usage of EmptyDir volume "cache" exceeds the limit "10Mi". ';
const ofPod = 'Pod ephemeral local storage usage exceeds the total limit of containers 10Mi. ';
const ofContainer = 'Container web exceeded its local ephemeral storage limit "10Mi". ';

describe('exceededStorage', () => {
  it.each<{ name: string; spec: Partial<PodSpec>; used: Use; want: string | undefined }>([
    { name: 'no limits', spec: { volumes: [cache()] }, used: { cache: 99 * Mi, logs: 99 * Mi }, want: undefined },
    {
      name: 'an emptyDir at its sizeLimit',
      spec: { volumes: [cache('10Mi')] },
      used: { cache: 10 * Mi },
      want: undefined,
    },
    {
      name: 'an emptyDir over its sizeLimit',
      spec: { volumes: [cache('10Mi')] },
      used: { cache: 10 * Mi + 1 },
      want: ofVolume,
    },
    {
      name: 'an emptyDir of any medium',
      spec: { volumes: [cache('10Mi', 'Memory')] },
      used: { cache: 11 * Mi, isMemory: true },
      want: ofVolume,
    },
    { name: 'a sizeLimit that is not positive', spec: { volumes: [cache('0')] }, used: { cache: 1 }, want: undefined },
    {
      name: 'the limit is told in its usual form',
      spec: { volumes: [cache('10240Ki')] },
      used: { cache: 11 * Mi },
      want: ofVolume,
    },
    {
      name: 'the pod: what it has written, logs, emptyDirs, configMaps and the hosts file together',
      spec: { containers: [web('10Mi')], volumes: [cache()] },
      used: { written: 2 * Mi, logs: 2 * Mi, cache: 2 * Mi, config: 2 * Mi, hosts: 2 * Mi + 1 },
      want: ofPod,
    },
    {
      name: 'the pod: secrets and memory do not count',
      spec: { containers: [web('10Mi')], volumes: [cache()] },
      used: { cache: 99 * Mi, isMemory: true, secret: 99 * Mi, logs: 10 * Mi },
      want: undefined,
    },
    {
      name: 'the pod: the sum of the limits of its containers',
      spec: { containers: [web('6Mi'), testContainer('b', { resources: { limits: { 'ephemeral-storage': '4Mi' } } })] },
      used: { hosts: 11 * Mi },
      want: ofPod,
    },
    {
      name: 'the pod before its container',
      spec: { containers: [web('10Mi')] },
      used: { logs: 11 * Mi },
      want: ofPod,
    },
    {
      name: 'an emptyDir before the pod',
      spec: { containers: [web('10Mi')], volumes: [cache('10Mi')] },
      used: { cache: 11 * Mi },
      want: ofVolume,
    },
    {
      name: 'a container: its logs and what it has written',
      spec: {
        containers: [web('10Mi'), testContainer('b', { resources: { limits: { 'ephemeral-storage': '90Mi' } } })],
      },
      used: { logs: 5 * Mi, written: 5 * Mi + 1 },
      want: ofContainer,
    },
    {
      name: 'images on a file system of their own: what containers write does not count',
      spec: { containers: [web('10Mi')] },
      used: { written: 99 * Mi, logs: 10 * Mi, hasImageFilesystem: true },
      want: undefined,
    },
    { name: 'a limit of zero is none of a container', spec: { containers: [web('0')] }, used: {}, want: undefined },
    {
      name: 'a critical pod',
      spec: { priority: 2_000_000_000, volumes: [cache('10Mi')] },
      used: { cache: 11 * Mi },
      want: undefined,
    },
  ])('$name', ({ spec, used, want }) => {
    expect(exceededStorage(testPod(spec), use(used))?.message).toBe(want);
  });

  it('what is not known counts as nothing', () => {
    const unknown: StorageUse = {
      volumes: new Map([['cache', { usedBytes: undefined, isLocalEphemeral: true }]]),
      containers: new Map(),
      podLogBytes: undefined,
      hostsFileBytes: undefined,
      hasImageFilesystem: false,
    };
    expect(usedByPod(unknown)).toBe(0);
    expect(exceededStorage(testPod({ containers: [web('10Mi')], volumes: [cache('10Mi')] }), unknown)).toBeUndefined();
  });
});

describe('volumeMeasures', () => {
  it.each<{ name: string; volume: Omit<Volume, 'name'>; want: string }>([
    { name: 'emptyDir', volume: { emptyDir: {} }, want: 'walk, local' },
    { name: 'emptyDir in memory', volume: { emptyDir: { medium: 'Memory' } }, want: 'walk' },
    { name: 'nothing', volume: {}, want: 'walk, local' },
    { name: 'configMap', volume: { configMap: { name: 'x' } }, want: 'walk-once, local' },
    { name: 'secret', volume: { secret: { secretName: 'x' } }, want: 'walk-once' },
    { name: 'downwardAPI', volume: { downwardAPI: {} }, want: 'walk-once' },
    { name: 'projected', volume: { projected: {} }, want: 'walk-once' },
    {
      name: 'persistentVolumeClaim',
      volume: { persistentVolumeClaim: { claimName: 'mine' } },
      want: 'ask, claim mine',
    },
    { name: 'ephemeral', volume: { ephemeral: {} }, want: 'ask, claim web-v' },
    { name: 'csi', volume: { csi: { driver: 'd' } }, want: 'ask' },
    { name: 'nfs', volume: { nfs: { server: 's', path: '/' } }, want: 'ask' },
    { name: 'hostPath', volume: { hostPath: { path: '/x' } }, want: 'none' },
    { name: 'image', volume: { image: { reference: 'x' } }, want: 'none' },
  ])('$name: $want', ({ volume, want }) => {
    const pod = testPod({ volumes: [{ name: 'v', ...volume }] });
    pod.metadata.name = 'web';
    const [measure] = volumeMeasures(pod);
    const words =
      measure === undefined
        ? ['none']
        : [
            measure.how,
            ...(measure.isLocalEphemeral ? ['local'] : []),
            ...(measure.claim === undefined ? [] : [`claim ${measure.claim}`]),
          ];
    expect(words.join(', ')).toBe(want);
  });
});

it.each<{ name: string; spec: Partial<PodSpec>; want: boolean }>([
  { name: 'nothing', spec: { volumes: [cache()] }, want: false },
  { name: 'a sizeLimit', spec: { volumes: [cache('1Mi')] }, want: true },
  { name: 'a sizeLimit of zero', spec: { volumes: [cache('0')] }, want: false },
  { name: 'a limit of ephemeral-storage', spec: { containers: [web('1Mi')] }, want: true },
])('hasStorageLimit: $name: $want', ({ spec, want }) => {
  expect(hasStorageLimit(testPod(spec))).toBe(want);
});
