import type { KubeObject } from './kube-api.ts';
import { type RoleContext, bytesOf, claimSpec, core, volumeSpec } from './role.ts';

/** Enlarges volumes whose claims ask for more than they have; the node does the rest. */
export async function runResizer(context: RoleContext): Promise<never> {
  const { api, config } = context;
  const path = `${core}/persistentvolumeclaims`;
  await api.follow([path], async () => {
    for (const claim of await api.list(path)) {
      const { volumeName = '', resources } = claimSpec(claim);
      if (volumeName === '' || claim.status?.['phase'] !== 'Bound') continue;
      const volume = await api.get(`${core}/persistentvolumes/${volumeName}`);
      if (volume === undefined || volumeSpec(volume).csi?.driver !== config.name) continue;
      const wanted = resources.requests.storage;
      if (bytesOf(wanted) > bytesOf(volumeSpec(volume).capacity.storage)) await enlarge(context, claim, volume, wanted);
    }
  });
  throw new Error('follow does not end');
}

async function enlarge(
  { api, controller, log }: RoleContext,
  claim: KubeObject,
  volume: KubeObject,
  wanted: string,
): Promise<void> {
  const { namespace = 'default', name } = claim.metadata;
  const request = {
    volume_id: volumeSpec(volume).csi?.volumeHandle ?? '',
    capacity_range: { required_bytes: String(bytesOf(wanted)) },
  };
  log.write({ method: 'ControllerExpandVolume', request });
  await controller.ControllerExpandVolume(request);
  await api.patch(`${core}/persistentvolumes/${volume.metadata.name}`, { spec: { capacity: { storage: wanted } } });
  await api.patch(`${core}/namespaces/${namespace}/persistentvolumeclaims/${name}/status`, {
    status: {
      allocatedResources: { storage: wanted },
      allocatedResourceStatuses: { storage: 'NodeResizePending' },
      conditions: [
        {
          type: 'FileSystemResizePending',
          status: 'True',
          lastTransitionTime: new Date().toISOString(),
          message: 'Waiting for user to (re-)start a pod to finish file system resize of volume on node.',
        },
      ],
    },
  });
}
