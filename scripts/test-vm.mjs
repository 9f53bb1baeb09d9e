/**
 * `npm run test:vm`: set-up, then the tests that boot a machine of their own. Not part of `npm test`, since an emulated
 * machine is slow. Takes the names of test files, as vitest does.
 */
import { join } from 'node:path';
import { ensureDebianPackages, machinePackages } from './setup/debian-packages.mjs';
import { runCode } from './setup/run-command.mjs';
import { node, root, setup } from './setup.mjs';

try {
  await setup({ packagesRequired: true });
  await ensureDebianPackages({ required: true, wanted: machinePackages });
  const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');
  process.exitCode = await runCode(
    node,
    [vitest, 'run', '--project', 'vm', '--reporter=verbose', ...process.argv.slice(2)],
    { cwd: root },
  );
} catch (err) {
  console.error(`test:vm: ${err instanceof Error ? err.message : String(err)}`);
  process.exitCode = 1;
}
