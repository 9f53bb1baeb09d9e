import { access, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { rootInside } from '../../adapters/namespaces/namespaces.ts';
import { labImages } from '../images/lab-images.ts';
import { cniConfig, containerdConfig, inNode } from '../node-files.ts';
import { onEveryNode } from './create-context.ts';
import type { Action } from './create-context.ts';

/** A runtime per node, with the node's own pod network. */
export const startContainerd: Action = {
  name: 'containerd',
  title: 'containerd',
  needs: ['nodes'],
  run: async (context, signal) => {
    const { machine } = context;
    const config = containerdConfig({
      sandboxImage: labImages.pause,
      cniBinDir: machine.cniBinDir,
      restrictOomScoreAdj: !machine.mayLowerOomScore,
    });
    await onEveryNode(context, async (node, plan) => {
      const root = rootInside(node.init.pid);
      await Promise.all([
        writeFile(join(root, inNode.containerdConfig), config),
        writeFile(join(root, inNode.cniConfDir, '10-gantry.conflist'), cniConfig(machine.cniTemplate, plan)),
      ]);
      const id = await node.spawn('containerd', ['containerd', '--config', inNode.containerdConfig], signal);
      const socket = join(root, inNode.containerdSocket);
      await node.waitFor('containerd', id, () => exists(socket), signal);
    });
  },
};

async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch {
    return false; // not there yet: the caller asks again
  }
}
