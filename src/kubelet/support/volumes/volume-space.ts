/** What can be told of a volume that outlives pods: the name of its kind, and who knows its space. Pure. */
import type { CsiVolumes, VolumeSpace } from '../../volume-model.ts';
import { csiVolume } from './csi-hands.ts';
import type { PodVolume } from './persistent-model.ts';

export function spaceOf(
  volume: PodVolume,
  podUid: string,
  csi: Pick<CsiVolumes, 'figures'> | undefined,
): { plugin: string; space: VolumeSpace } {
  const plugin = `kubernetes.io/${volume.kind}`;
  switch (volume.kind) {
    case 'local-volume':
    case 'nfs':
      return { plugin, space: 'file system' };
    case 'host-path':
      return { plugin, space: undefined }; // its file system is the node's
    case 'csi': {
      const asked = csiVolume(volume, podUid);
      return { plugin: `${plugin}:${asked.driver}`, space: async (signal) => csi?.figures(asked, podUid, signal) };
    }
  }
}
