import { expect, it } from 'vitest';
import { testInstance, testObserved } from '../../test/fixtures/kubelet-pods.ts';
import { imagesInUse } from './kubelet-images.ts';

it('an image is in use while a container has it or mounts it', () => {
  const mount = { containerPath: '/pic', hostPath: '', readonly: true };
  const web = testInstance('web', {
    image: 'web:1',
    imageId: 'sha256:web',
    imageRef: 'web@sha256:1',
    mounts: [{ ...mount, image: 'sha256:pic' }, mount],
  });
  const ended = testInstance('old', { image: 'old:1', imageId: '', imageRef: '', state: 'exited' });
  const used = imagesInUse([testObserved([web]), testObserved([ended])]);
  expect([...used].toSorted()).toEqual(['', 'old:1', 'sha256:pic', 'sha256:web', 'web:1', 'web@sha256:1']);
});
