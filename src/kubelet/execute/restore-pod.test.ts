import { describe, expect, it } from 'vitest';
import { testInstance, testObserved } from '../../../test/fixtures/kubelet-pods.ts';
import { restorePod } from './restore-pod.ts';

const hook = { exec: { command: ['bye'] } };
const ports = [{ name: 'http', containerPort: 80 }];
const deletion = 'io.kubernetes.pod.deletionGracePeriod';
const termination = 'io.kubernetes.pod.terminationGracePeriod';
const preStop = 'io.kubernetes.container.preStopHandler';

describe('restorePod', () => {
  it.each([
    { name: 'nothing written down', annotations: {}, metadata: {}, spec: {}, container: {} },
    {
      name: 'everything',
      annotations: {
        [deletion]: '0',
        [termination]: '40',
        [preStop]: JSON.stringify(hook),
        'io.kubernetes.container.ports': JSON.stringify(ports),
      },
      metadata: { deletionGracePeriodSeconds: 0 },
      spec: { terminationGracePeriodSeconds: 40 },
      container: { lifecycle: { preStop: hook }, ports },
    },
    {
      name: 'words in another form',
      annotations: {
        [deletion]: '-1',
        [termination]: 'soon',
        [preStop]: '{',
        'io.kubernetes.container.ports': '[null]',
      },
      metadata: {},
      spec: {},
      container: {},
    },
    { name: 'no handler', annotations: { [preStop]: '[]' }, metadata: {}, spec: {}, container: {} },
  ])('$name', ({ annotations, metadata, spec, container }) => {
    const instance = testInstance('web', { annotations });
    expect(restorePod(testObserved([instance]), instance)).toEqual({
      metadata: { uid: 'uid-1', name: 'web', namespace: 'default', ...metadata },
      spec: { containers: [{ name: 'web', image: 'image-of-web', ...container }], ...spec },
    });
  });
});
