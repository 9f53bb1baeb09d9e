/**
 * Makes a fresh Debian machine ready: packages, node_modules, the bundle. Runs on Node 20 or newer with nothing
 * installed, says what it does, and does nothing the second time.
 */
import { fileURLToPath } from 'node:url';
import { ensureBundle } from './setup/bundle.mjs';
import { ensureDebianPackages } from './setup/debian-packages.mjs';
import { ensureNodeModules } from './setup/node-modules.mjs';

/** The repository. */
export const root = fileURLToPath(new URL('..', import.meta.url));

/**
 * @param {{ packagesRequired: boolean }} options whether to give up when Debian packages are missing and cannot be
 *   installed; otherwise that is only said
 */
export async function setup({ packagesRequired }) {
  await ensureDebianPackages({ required: packagesRequired });
  await ensureNodeModules(root);
  await ensureBundle(root);
}

/** The Node.js that everything runs on, whatever the machine has. */
export const node = fileURLToPath(new URL('../node_modules/.bin/node', import.meta.url));

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    await setup({ packagesRequired: true });
    console.log('setup: done');
  } catch (err) {
    console.error(`setup: ${err instanceof Error ? err.message : String(err)}`);
    process.exitCode = 1;
  }
}
