/** Features of pods that this version does not have: refused at the door rather than ignored. Pure. */
import type { Pod } from '../../objects/generated/core-v1.ts';
import type { Rejection } from './admit-pod.ts';

export function refuseUnsupported({ spec }: Pod, gates: { ContainerStopSignals: boolean }): Rejection | undefined {
  const refuse = (what: string): Rejection => ({
    reason: 'PodFeatureUnsupported',
    message: `Pod requires node features that are not available: ${what}`,
  });
  if ((spec.resourceClaims ?? []).length > 0) return refuse('dynamic resource allocation (spec.resourceClaims)');
  for (const { name, volumeDevices, resources, lifecycle } of [...(spec.initContainers ?? []), ...spec.containers]) {
    if ((volumeDevices ?? []).length > 0) return refuse(`raw block volumes (volumeDevices of container "${name}")`);
    if ((resources?.claims ?? []).length > 0) {
      return refuse(`dynamic resource allocation (resources.claims of container "${name}")`);
    }
    if (lifecycle?.stopSignal !== undefined && !gates.ContainerStopSignals) {
      const field = `lifecycle.stopSignal of container "${name}"`;
      return refuse(`a stop signal (${field}; this node has the feature gate ContainerStopSignals off)`);
    }
  }
  return undefined;
}
