import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './run-command.mjs';

/** Runs `npm ci` unless node_modules holds exactly what the lock file says. */
export async function ensureNodeModules(root) {
  const reason = whyOutdated(root);
  if (reason === undefined) return;
  console.log(`setup: npm ci (${reason})`);
  await run('npm', ['ci', '--no-audit', '--no-fund'], { cwd: root });
}

/** npm leaves a lock file of what it has installed: it is compared with ours. */
function whyOutdated(root) {
  const installedPath = join(root, 'node_modules', '.package-lock.json');
  if (!existsSync(installedPath)) return 'node_modules is missing';
  const wanted = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages;
  const installed = JSON.parse(readFileSync(installedPath, 'utf8')).packages;
  for (const [path, { version, integrity, optional }] of Object.entries(wanted)) {
    if (path === '') continue;
    const found = installed[path];
    if (found === undefined && optional === true) continue; // for another platform
    if (found === undefined) return `${path} is missing`;
    if (found.version !== version || found.integrity !== integrity) return `${path} is not ${version}`;
  }
  return existsSync(join(root, 'node_modules', '.bin', 'node')) ? undefined : 'its Node.js is missing';
}
