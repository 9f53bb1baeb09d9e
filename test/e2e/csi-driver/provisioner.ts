import type { KubeObject } from './kube-api.ts';
import { type RoleContext, bytesOf, claimSpec, core, storage, volumeSpec } from './role.ts';

const provisionedBy = 'pv.kubernetes.io/provisioned-by';

/** Makes volumes for claims that wait for this driver, and deletes those that are released. */
export async function runProvisioner(context: RoleContext): Promise<never> {
  const { api, config } = context;
  const paths = [`${core}/persistentvolumeclaims`, `${core}/persistentvolumes`, `${storage}/volumeattachments`];
  await api.follow(paths, async () => {
    for (const claim of await api.list(`${core}/persistentvolumeclaims`)) {
      const annotations = claim.metadata.annotations ?? {};
      const provisioner =
        annotations['volume.kubernetes.io/storage-provisioner'] ??
        annotations['volume.beta.kubernetes.io/storage-provisioner'];
      if (provisioner === config.name && (claimSpec(claim).volumeName ?? '') === '') await provision(context, claim);
    }
    for (const volume of await api.list(`${core}/persistentvolumes`)) {
      const isOurs = volume.metadata.annotations?.[provisionedBy] === config.name;
      const isToGo =
        volume.status?.['phase'] === 'Released' && volumeSpec(volume).persistentVolumeReclaimPolicy === 'Delete';
      if (isOurs && isToGo) await remove(context, volume);
    }
  });
  throw new Error('follow does not end');
}

async function provision({ api, config, controller, log }: RoleContext, claim: KubeObject): Promise<void> {
  const { metadata } = claim;
  const { storageClassName = '', accessModes, volumeMode = 'Filesystem', resources } = claimSpec(claim);
  const name = `pvc-${metadata.uid}`;
  if ((await api.get(`${core}/persistentvolumes/${name}`)) !== undefined) return;
  const storageClass = await api.get(`${storage}/storageclasses/${storageClassName}`);
  if (storageClass === undefined) return;
  const {
    parameters = {},
    reclaimPolicy = 'Delete',
    mountOptions,
  } = storageClass as unknown as {
    parameters?: Record<string, string>;
    reclaimPolicy?: string;
    mountOptions?: string[];
  };
  const fsType = parameters['csi.storage.k8s.io/fstype'];
  const own = Object.fromEntries(Object.entries(parameters).filter(([key]) => !key.startsWith('csi.storage.k8s.io/')));
  const request = {
    name,
    capacity_range: { required_bytes: String(bytesOf(resources.requests.storage)) },
    volume_capabilities: [volumeMode === 'Block' ? { block: {} } : { mount: null }],
    parameters: own,
  };
  log.write({ method: 'CreateVolume', request });
  const { volume } = await controller.CreateVolume(request);
  const { topology } = config;
  const expressions = Object.entries(topology ?? {}).map(([key, value]) => ({ key, operator: 'In', values: [value] }));
  await api.request('POST', `${core}/persistentvolumes`, {
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: { name, annotations: { [provisionedBy]: config.name } },
    spec: {
      capacity: { storage: volume.capacity_bytes },
      accessModes,
      volumeMode,
      persistentVolumeReclaimPolicy: reclaimPolicy,
      storageClassName,
      ...(mountOptions === undefined ? {} : { mountOptions }),
      claimRef: {
        apiVersion: 'v1',
        kind: 'PersistentVolumeClaim',
        namespace: metadata.namespace,
        name: metadata.name,
        uid: metadata.uid,
      },
      csi: {
        driver: config.name,
        volumeHandle: volume.volume_id,
        volumeAttributes: volume.volume_context,
        ...(fsType === undefined ? {} : { fsType }),
      },
      ...(topology === undefined
        ? {}
        : { nodeAffinity: { required: { nodeSelectorTerms: [{ matchExpressions: expressions }] } } }),
    },
  });
}

/** What is attached somewhere waits. */
async function remove({ api, controller, log }: RoleContext, volume: KubeObject): Promise<void> {
  const attachments = await api.list(`${storage}/volumeattachments`);
  if (attachments.some(({ spec }) => attachedVolume(spec) === volume.metadata.name)) return;
  const request = { volume_id: volumeSpec(volume).csi?.volumeHandle ?? '' };
  log.write({ method: 'DeleteVolume', request });
  await controller.DeleteVolume(request);
  await api
    .request('DELETE', `${core}/persistentvolumes/${volume.metadata.name}`)
    .catch((err: Error & { code?: number }) => {
      if (err.code !== 404) throw err;
    });
}

const attachedVolume = (spec: KubeObject['spec']): string | undefined =>
  (spec?.['source'] as { persistentVolumeName?: string } | undefined)?.persistentVolumeName; // the server has checked it
