import { describe, expect, it } from 'vitest';
import type { Container, Pod, PodSpec, Volume } from '../../../objects/generated/core-v1.ts';
import { referencedObjects, selectUnsupportedVolume, usedVolumes, volumeKind } from './volume-kinds.ts';

const container = (fields: Partial<Container> = {}): Container => ({ name: 'c', image: 'i', ...fields });
const podWith = (spec: Partial<PodSpec>): Pod => ({
  metadata: { name: 'p', namespace: 'ns', uid: 'u1' },
  spec: { containers: [container()], ...spec },
});
/** A pod whose only container mounts all of its volumes. */
const podMounting = (...volumes: Volume[]): Pod =>
  podWith({
    volumes,
    containers: [container({ volumeMounts: volumes.map(({ name }) => ({ name, mountPath: `/${name}` })) })],
  });

describe('volumeKind', () => {
  it.each([
    [{ emptyDir: {} }, 'empty-dir'],
    [{}, 'empty-dir'],
    [{ hostPath: { path: '/x' } }, 'host-path'],
    [{ configMap: { name: 'c' } }, 'configmap'],
    [{ secret: { secretName: 's' } }, 'secret'],
    [{ downwardAPI: {} }, 'downward-api'],
    [{ projected: {} }, 'projected'],
    [{ nfs: { server: 's', path: '/' } }, undefined],
    [{ persistentVolumeClaim: { claimName: 'c' } }, undefined],
    [{ image: { reference: 'i' } }, 'image'],
  ])('%j is %s', (source, want) => {
    expect(volumeKind({ name: 'v', ...source })).toBe(want);
  });
});

describe('selectUnsupportedVolume', () => {
  const unsupported = (type: string): string => `volume "v" is of type ${type}, which this node does not support`;
  it.each([
    [{ persistentVolumeClaim: { claimName: 'c' } }, undefined],
    [{ nfs: { server: 's', path: '/' } }, undefined],
    [{ ephemeral: {} }, undefined],
    [{ iscsi: { targetPortal: 'p', iqn: 'i', lun: 0 } }, unsupported('iscsi')],
    [{ awsElasticBlockStore: { volumeID: 'v' } }, unsupported('awsElasticBlockStore')],
    [{ csi: { driver: 'd' } }, unsupported('csi')],
    [{ gitRepo: { repository: 'r' } }, unsupported('gitRepo')],
    [{ projected: { sources: [{ clusterTrustBundle: { path: 'p' } }] } }, undefined],
    [{ emptyDir: { medium: 'Memory' } }, undefined],
    [{ emptyDir: { medium: 'HugePages-2Mi' } }, undefined],
    [{ configMap: { name: 'c' } }, undefined],
  ])('%j', (source, want) => {
    expect(selectUnsupportedVolume(podMounting({ name: 'ok', emptyDir: {} }, { name: 'v', ...source }))).toBe(want);
  });

  it('does not mind a volume that no container mounts', () => {
    const pod = podWith({ volumes: [{ name: 'v', fc: {} }] });
    expect(selectUnsupportedVolume(pod)).toBeUndefined();
    expect(usedVolumes(pod)).toEqual([]);
  });
});

it('referencedObjects finds what a volume shows, in projections too', () => {
  const sources = [{ configMap: { name: 'a' } }, { secret: { name: 'b' } }, { downwardAPI: {} }];
  expect(referencedObjects({ name: 'v', projected: { sources } })).toEqual([
    { kind: 'ConfigMap', name: 'a' },
    { kind: 'Secret', name: 'b' },
  ]);
  expect(referencedObjects({ name: 'v', secret: { secretName: 's' } })).toEqual([{ kind: 'Secret', name: 's' }]);
});
