/** Puts image archives into nodes' runtimes. */
import { copyFile, link, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { ClusterPaths } from './cluster-state.ts';
import type { LabNode } from './lab-node.ts';
import { inNode } from './node-files.ts';

/**
 * Imports every image of an OCI or Docker archive for this machine's platform only: archives of one platform say
 * "content digest not found" when all are asked for.
 */
export async function importArchive(
  node: LabNode,
  paths: ClusterPaths,
  archive: string,
  signal: AbortSignal,
): Promise<void> {
  const name = `import-${process.pid}-${basename(archive)}`;
  const inside = join('/var/tmp', name);
  const outside = join(paths.node(node.name).var, 'tmp', name);
  await linkOrCopy(archive, outside);
  try {
    await node.run(
      ['ctr', '--address', inNode.containerdSocket, '--namespace', 'k8s.io', 'images', 'import', inside],
      signal,
    );
  } finally {
    await rm(outside, { force: true });
  }
}

/** A second name costs nothing; across file systems it takes a copy. */
async function linkOrCopy(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch {
    await copyFile(from, to); // says why when this fails, too
  }
}
