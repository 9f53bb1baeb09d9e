import { describe, expect, it } from 'vitest';
import { ConfigError } from '../base/errors.ts';
import { inClusterAccess } from './in-cluster.ts';

const env = { KUBERNETES_SERVICE_HOST: '10.96.0.1', KUBERNETES_SERVICE_PORT: '443' };

describe('inClusterAccess', () => {
  it('is where the variables say, with the files of the service account', () => {
    expect(inClusterAccess(env, '/sa')).toMatchObject({
      server: 'https://10.96.0.1:443',
      ca: { file: '/sa/ca.crt' },
      token: { file: '/sa/token' },
    });
    expect(inClusterAccess({ ...env, KUBERNETES_SERVICE_HOST: 'fd00::1' }).server).toBe('https://[fd00::1]:443');
  });

  it.each([{}, { KUBERNETES_SERVICE_HOST: '10.96.0.1' }, { ...env, KUBERNETES_SERVICE_HOST: '' }])(
    'is refused outside of a pod: %o',
    (variables) => {
      expect(() => inClusterAccess(variables)).toThrow(ConfigError);
    },
  );
});
