import { runCommand } from '../../adapters/processes/processes.ts';
import { ensureImageArchive } from '../images/lab-images.ts';
import type { Action } from './create-context.ts';

/** Pause, busybox and web server images, from this machine's static programs; kept between clusters. */
export const buildImages: Action = {
  name: 'images',
  title: 'build images',
  needs: [],
  run: async (context, signal) => {
    context.made.imageArchive = await ensureImageArchive(
      {
        cacheDir: context.cacheDir,
        architecture: context.machine.architecture,
        listApplets: async (busybox, listSignal) =>
          (await runCommand(busybox, ['--list'], { timeoutMs: 10_000, signal: listSignal })).stdout,
      },
      signal,
    );
  },
};
