import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './run-command.mjs';

const sources = ['src', 'proto', 'package.json', 'scripts'];

/** Builds `dist/gantry.js` unless it is newer than everything that it is made of. */
export async function ensureBundle(root) {
  const bundle = join(root, 'dist', 'gantry.js');
  if (existsSync(bundle)) {
    const builtMs = statSync(bundle).mtimeMs;
    if (sources.every((source) => newestMs(join(root, source)) < builtMs)) return;
  }
  console.log('setup: building dist/gantry.js');
  await run('npm', ['run', '--silent', 'build'], { cwd: root });
}

function newestMs(path) {
  const stat = statSync(path);
  if (!stat.isDirectory()) return stat.mtimeMs;
  return Math.max(stat.mtimeMs, ...readdirSync(path).map((name) => newestMs(join(path, name))));
}
