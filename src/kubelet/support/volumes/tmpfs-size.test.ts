import { describe, expect, it } from 'vitest';
import type { Container, Pod, PodSpec } from '../../../objects/generated/core-v1.ts';
import { tmpfsSizeBytes } from './tmpfs-size.ts';

const container = (fields: Partial<Container> = {}): Container => ({ name: 'c', image: 'i', ...fields });
const podWith = (spec: Partial<PodSpec>): Pod => ({
  metadata: { name: 'p', namespace: 'ns', uid: 'u1' },
  spec: { containers: [container()], ...spec },
});

describe('tmpfsSizeBytes', () => {
  const Mi = 1024 * 1024;
  const limited = podWith({ containers: [container({ resources: { limits: { memory: '64Mi' } } })] });
  const unlimited = podWith({});
  it.each([
    { name: 'the node alone', pod: unlimited, node: 100 * Mi, limit: undefined, want: 100 * Mi },
    { name: "the volume's own limit", pod: unlimited, node: 100 * Mi, limit: '10Mi', want: 10 * Mi },
    { name: "the pod's limit", pod: limited, node: 100 * Mi, limit: undefined, want: 64 * Mi },
    { name: 'a limit above all others does not count', pod: limited, node: 100 * Mi, limit: '1Gi', want: 64 * Mi },
    { name: 'zero says nothing', pod: unlimited, node: 100 * Mi, limit: '0', want: 100 * Mi },
    { name: 'nobody says anything', pod: unlimited, node: 0, limit: undefined, want: undefined },
  ])('$name', ({ pod, node, limit, want }) => {
    expect(tmpfsSizeBytes(pod, node, limit)).toBe(want);
  });
});
