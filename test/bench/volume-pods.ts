/** Volumes for pods that are measured: the kinds that a pod has in real life, one after the other. Pure. */
import type { ConfigMap, Secret, Volume, VolumeMount } from '../../src/objects/generated/core-v1.ts';

const keys = ['a.conf', 'b.conf', 'c.conf'];

export const benchConfigMap = (namespace: string): ConfigMap => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { namespace, name: 'bench' },
  data: Object.fromEntries(keys.map((key) => [key, 'x'.repeat(1024)])),
});

export const benchSecret = (namespace: string): Secret => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { namespace, name: 'bench' },
  data: Object.fromEntries(keys.map((key) => [key, Buffer.alloc(1024, 1).toString('base64')])),
});

const kinds: ReadonlyArray<Omit<Volume, 'name'>> = [
  { emptyDir: {} },
  { configMap: { name: 'bench' } },
  { secret: { secretName: 'bench' } },
  { downwardAPI: { items: [{ path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } }] } },
  {
    projected: {
      sources: [
        { serviceAccountToken: { path: 'token', expirationSeconds: 3607 } },
        { configMap: { name: 'bench' } },
        { downwardAPI: { items: [{ path: 'namespace', fieldRef: { fieldPath: 'metadata.namespace' } }] } },
      ],
    },
  },
  { emptyDir: { medium: 'Memory', sizeLimit: '1Mi' } },
  { hostPath: { path: '/tmp', type: 'Directory' } },
  { configMap: { name: 'bench', items: [{ key: 'a.conf', path: 'deep/a.conf' }] } },
];

export function benchVolumes(count: number): { volumes: Volume[]; volumeMounts: VolumeMount[] } {
  const volumes = Array.from({ length: count }, (_, i) => ({ name: `v${i}`, ...kinds[i % kinds.length] }));
  return { volumes, volumeMounts: volumes.map(({ name }) => ({ name, mountPath: `/volumes/${name}` })) };
}
