/** How a volume is given to a claim, by the binder or by the scheduler. Pure. */
import { boundByControllerKey, hasAnnotation, isVolumeOfClaim } from './claims.ts';
import type { PersistentVolume, PersistentVolumeClaim } from './generated/core-v1.ts';
import type { ObjectMeta } from './generated/meta-v1.ts';

export function withAnnotations(metadata: ObjectMeta, added: Readonly<Record<string, string>>): ObjectMeta {
  return { ...metadata, annotations: { ...metadata.annotations, ...added } };
}

/** The volume names its claim; undefined when it does already. */
export function volumeForClaim(volume: PersistentVolume, claim: PersistentVolumeClaim): PersistentVolume | undefined {
  const { metadata, spec } = volume;
  const { name, namespace, uid, resourceVersion } = claim.metadata;
  const ref = spec?.claimRef;
  const isOurs = isVolumeOfClaim(volume, claim);
  if (isOurs && ref?.uid === uid) return undefined;
  const claimRef = { kind: 'PersistentVolumeClaim', apiVersion: 'v1', namespace, name, uid, resourceVersion };
  // a user who has kept the volume for the claim gets it back that way
  const marked = isOurs || hasAnnotation(volume, boundByControllerKey);
  return {
    ...volume,
    metadata: marked ? metadata : withAnnotations(metadata, { [boundByControllerKey]: 'yes' }),
    spec: { ...spec, claimRef },
  };
}
