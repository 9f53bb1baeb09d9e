import { describe, expect, it } from 'vitest';
import { testContainer, testPod } from '../../../test/fixtures/kubelet-pods.ts';
import type { CriImage } from '../../adapters/cri/cri-types.ts';
import { VolumeImages, explainRefusal, isImageRefusal } from './volume-images.ts';

const imageOf = (name: string): CriImage => ({
  id: `sha256:${name}`,
  repoTags: [],
  repoDigests: [],
  sizeBytes: 1,
  uid: undefined,
  username: '',
  pinned: false,
});
const pod = testPod({
  volumes: [
    { name: 'a', image: { reference: 'a:1' } },
    { name: 'b', image: { reference: 'b:1' } },
    { name: 'bad', image: { reference: 'bad:1' } },
    { name: 'worse', image: { reference: 'worse:1' } },
    { name: 'unused', image: { reference: 'unused:1' } },
    { name: 'data', emptyDir: {} },
  ],
});

describe('VolumeImages', () => {
  it('asks for each image that a container mounts, once for all containers and mounts', async () => {
    const asked: string[] = [];
    const images = new VolumeImages(pod, ({ reference = '' }) => {
      asked.push(reference);
      return Promise.resolve(
        reference.endsWith('a:1') || reference === 'b:1'
          ? { kind: 'present', image: imageOf(reference) }
          : { kind: 'failed', reason: `Err ${reference}`, message: `no ${reference}` },
      );
    });
    const of = (...names: string[]): ReturnType<VolumeImages['of']> =>
      images.of(testContainer('c', { volumeMounts: names.map((name) => ({ name, mountPath: `/${name}` })) }));
    const [a, b] = [
      { id: 'sha256:a:1', reference: 'a:1' },
      { id: 'sha256:b:1', reference: 'b:1' },
    ];
    expect(await of('data')).toEqual({ kind: 'ready', images: new Map() });
    expect(await of('a', 'data', 'a')).toEqual({ kind: 'ready', images: new Map([['a', a]]) });
    expect(await of('b', 'a')).toEqual({
      kind: 'ready',
      images: new Map([
        ['b', b],
        ['a', a],
      ]),
    });
    const [bad, worse] = ['bad:1', 'worse:1'].map((name) => ({
      kind: 'failed',
      reason: `Err ${name}`,
      message: `no ${name}`,
    }));
    expect(await of('bad', 'a', 'worse')).toEqual({ kind: 'failed', failures: [bad, worse], last: worse });
    expect(asked).toEqual(['a:1', 'b:1', 'bad:1', 'worse:1']);
  });
});

describe('explainRefusal', () => {
  const one = new Map([['pic', { id: 'i', reference: 'pic:1' }]]);
  const two = new Map([...one, ['doc', { id: 'j', reference: 'doc:1' }]]);
  const old =
    'failed to generate container "c" spec: failed to generate spec: failed to mkdir "": mkdir : no such file';
  it.each([
    {
      images: one,
      text: old,
      want: `${old} (the runtime, containerd 1.6.20, cannot mount images: it would have to for volume "pic")`,
    },
    {
      images: two,
      text: old,
      want: `${old} (the runtime, containerd 1.6.20, cannot mount images: it would have to for volumes "pic", "doc")`,
    },
    { images: new Map(), text: old, want: old },
    { images: one, text: 'failed to mkdir "/x": permission denied', want: undefined },
    { images: one, text: 'ImageVolumeMountFailed: no such layer', want: undefined },
  ])('of $images.size images: $text', ({ images, text, want }) => {
    expect(explainRefusal(text, images, 'containerd 1.6.20')).toBe(want ?? text);
  });

  it.each([
    [old, true],
    ['ImageVolumeMountFailed: no such layer', true],
    ['context deadline exceeded: ImageVolumeMountFailed', false],
    ['failed to mkdir "/x": permission denied', false],
  ])('%s is about an image: %s', (text, want) => expect(isImageRefusal(text)).toBe(want));
});
