import { describe, expect, it } from 'vitest';
import type { ContainerStatus } from '../../objects/generated/core-v1.ts';
import { toldRestartCount } from './told-restart-count.ts';

const told = (more: Partial<ContainerStatus>): ContainerStatus => ({
  name: 'side',
  image: '',
  imageID: '',
  ready: false,
  restartCount: 0,
  ...more,
});

describe('toldRestartCount', () => {
  it.each([
    { name: 'nothing was told', status: undefined, count: 0 },
    { name: 'nothing was told of this one', status: { containerStatuses: [told({ name: 'web' })] }, count: 0 },
    { name: 'it has waited for its first start', status: { initContainerStatuses: [told({})] }, count: 0 },
    {
      name: 'it had an instance, which is gone',
      status: { initContainerStatuses: [told({ containerID: 'containerd://a', restartCount: 2 })] },
      count: 3,
    },
    {
      name: 'that the instance is gone was counted already',
      status: { containerStatuses: [told({ restartCount: 3, state: { waiting: {} } })] },
      count: 3,
    },
  ])('$name: $count', ({ status, count }) => {
    expect(toldRestartCount(status, 'side')).toBe(count);
  });
});
