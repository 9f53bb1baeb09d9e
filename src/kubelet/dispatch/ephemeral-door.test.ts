import { describe, expect, it } from 'vitest';
import { testInstance, testObserved, testPod } from '../../../test/fixtures/kubelet-pods.ts';
import { onlyEphemeral, sortOutEphemeral, withoutEphemeral } from './ephemeral-door.ts';

const pod = testPod({ ephemeralContainers: [{ name: 'good' }, { name: 'bad' }] });
const rejection = { reason: 'PodFeatureUnsupported', message: 'no' };
const refuse = ({ name }: { name: string }): typeof rejection | undefined => (name === 'bad' ? rejection : undefined);

describe('sortOutEphemeral', () => {
  it('goes on without the ones that are refused, and says which', () => {
    const sorted = sortOutEphemeral(pod, testObserved([testInstance('web')]), refuse);
    expect([...sorted.refused]).toEqual([['bad', rejection]]);
    expect(sorted.pod.spec.ephemeralContainers).toEqual([{ name: 'good' }]);
    expect(sorted.pod.spec.containers).toEqual(pod.spec.containers);
  });

  it('does not ask about one that has been started', () => {
    const sorted = sortOutEphemeral(pod, testObserved([testInstance('bad')]), refuse);
    expect(sorted.refused.size).toBe(0);
    expect(sorted.pod).toBe(pod);
  });

  it('leaves a pod alone that has none to refuse', () => {
    expect(sortOutEphemeral(pod, undefined, () => undefined).pod).toBe(pod);
  });
});

it('asks about a pod without them, and about one of them without its pod', () => {
  expect(withoutEphemeral(pod).spec).toEqual({ ...pod.spec, ephemeralContainers: [] });
  const { spec } = onlyEphemeral(testPod({ initContainers: [{ name: 'i', image: 'x' }] }), { name: 'bad' });
  expect(spec).toMatchObject({ initContainers: [], containers: [], ephemeralContainers: [{ name: 'bad' }] });
});
