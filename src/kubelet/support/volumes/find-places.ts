/** Volumes that are mounted from elsewhere, as the directories of pods tell of them. */
import { join } from 'node:path';
import type { PodPlace } from './persistent-kinds.ts';
import type { PersistentKind } from './persistent-model.ts';
import { type VolumePaths, isObjectName, isPodUid, persistentKindOf } from './volume-paths.ts';
import { namesIn } from './volume-setup.ts';

export type FoundPlace = PodPlace & { kind: PersistentKind };

/** @param uid one pod's alone */
export async function findPlaces(paths: VolumePaths, uid?: string): Promise<FoundPlace[]> {
  const found: FoundPlace[] = [];
  for (const pod of uid === undefined ? (await namesIn(paths.pods)).filter(isPodUid) : [uid]) {
    for (const isBlock of [false, true]) {
      const top = isBlock ? paths.devices(pod) : paths.volumes(pod);
      for (const directory of await namesIn(top)) {
        const kind = persistentKindOf(directory);
        if (kind === undefined) continue;
        const names = (await namesIn(join(top, directory))).filter(isObjectName);
        found.push(...names.map((specName): FoundPlace => ({ uid: pod, isBlock, specName, kind })));
      }
    }
  }
  return found;
}
