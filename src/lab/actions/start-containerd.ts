import { access, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { podConflistName, podConflistText } from '../../adapters/cni/pod-conflist.ts';
import { rootInside } from '../../adapters/namespaces/namespaces.ts';
import { labImages } from '../images/lab-images.ts';
import { containerdConfig, inNode } from '../node-files.ts';
import { onEveryNode } from './create-context.ts';
import { nodeMtu } from './create-network.ts';
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
        ...(context.plan.disableDefaultCni ? [] : [writeConflist(root, plan.podCidrs)]),
      ]);
      const id = await node.spawn('containerd', ['containerd', '--config', inNode.containerdConfig], signal);
      const socket = join(root, inNode.containerdSocket);
      await node.waitFor('containerd', id, () => exists(socket), signal);
    });
  },
};

/** What the network agent would write some moments later: until then nothing would start, and nobody is Ready. */
async function writeConflist(root: string, podCidrs: readonly string[]): Promise<void> {
  const text = podConflistText({ podCidrs, mtu: nodeMtu });
  await writeFile(join(root, inNode.cniConfDir, podConflistName), text);
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch {
    return false; // not there yet: the caller asks again
  }
}
