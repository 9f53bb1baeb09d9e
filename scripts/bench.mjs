/**
 * `npm run bench`: builds the program and measures it. Plain JavaScript, so that any Node can start it; everything
 * else runs on the Node that this repository pins. `npm run bench -- soak` runs test/bench/soak.bench.ts,
 * `-- proxy` test/bench/proxy.bench.ts, `-- dns` test/bench/dns.bench.ts, else it is test/bench/pod-start.bench.ts; flags
 * are theirs.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

const root = dirname(import.meta.dirname);
const node = join(root, 'node_modules', '.bin', 'node');

function run(...args) {
  const { status, error } = spawnSync(node, args, { cwd: root, stdio: 'inherit' });
  if (error !== undefined) throw error;
  if (status !== 0) process.exit(status ?? 1);
}

if (!existsSync(node)) {
  console.error('bench: run `npm ci` first');
  process.exit(2);
}
if (process.getuid?.() !== 0) {
  console.error('bench: needs root, for containers and namespaces');
  process.exit(2);
}
run('scripts/build.ts');
const [which, ...others] = process.argv.slice(2);
if (['soak', 'proxy', 'dns'].includes(which)) run(`test/bench/${which}.bench.ts`, ...others);
else run('test/bench/pod-start.bench.ts', ...process.argv.slice(2));
