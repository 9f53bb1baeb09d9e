import { removeConflist } from './install/conflist-keeper.ts';
import { removeMasquerade } from './install/masquerade-keeper.ts';
import { removeRoutes } from './install/route-keeper.ts';

/** Removes all that the agent has put on this node, whichever process of it; running pods keep their links. */
export async function cleanUpPodNetwork(
  confDir: string,
  signal: AbortSignal,
): Promise<{ routes: number; masquerade: boolean; conflist: boolean }> {
  return {
    conflist: await removeConflist(confDir), // first: the runtime shall start no pod in what goes away
    routes: await removeRoutes(signal),
    masquerade: await removeMasquerade(signal),
  };
}
