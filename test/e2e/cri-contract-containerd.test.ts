import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'vitest';
import { Cri } from '../../src/adapters/cri/cri.ts';
import { type RuntimeUnderTest, criContract } from '../contracts/cri-contract.ts';
import { PrivateContainerd, missingForContainerd } from './support/containerd.ts';

async function openContainerd(): Promise<RuntimeUnderTest> {
  const containerd = await PrivateContainerd.open();
  const { directory } = containerd.node;
  const hostFile = join(directory, 'mounted');
  await writeFile(hostFile, 'mounted');
  await mkdir(join(directory, 'logs'));
  const cri = new Cri({ endpoint: containerd.endpoint, requestTimeoutMs: 30_000 });
  return {
    cri,
    busyboxImage: containerd.images.busybox,
    logRoot: join(directory, 'logs'),
    hostFile,
    cgroupParent: containerd.cgroupParent,
    restart: () => containerd.restart(),
    close: async () => {
      cri.close();
      await containerd.close();
    },
  };
}

const missing = await missingForContainerd();
if (missing.length === 0) criContract('containerd', openContainerd);
else describe('containerd keeps the CRI contract', () => it.skip(`needs ${missing.join(', ')}`, () => {}));
