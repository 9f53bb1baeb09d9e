/**
 * `npm test`: set-up, then every suite, fastest first, all of them even when one fails. The last line of its output is
 * the sum: `N passed, N failed, N skipped`; the lines before it name what failed. The exit code is 0 only when nothing
 * failed.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runCode } from './setup/run-command.mjs';
import { node, root, setup } from './setup.mjs';
import { addUp, countReport, failedTests, skippedSuites } from './tests/count-report.mjs';

/** Told again at the end: a log that is cut keeps its end. */
const failures = [];
const suites = ['unit', 'integration', 'e2e'];

async function check() {
  const code = await runCode('npm', ['run', '--silent', 'check'], { cwd: root });
  if (code !== 0) failures.push('check: see above');
  return { passed: code === 0 ? 1 : 0, failed: code === 0 ? 0 : 1, skipped: 0 };
}

/** One vitest project; its own report says how many tests there were. */
async function runSuite(name, directory) {
  const report = join(directory, `${name}.json`);
  const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');
  const args = [vitest, 'run', '--project', name, '--passWithNoTests'];
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
  const code = await runCode(node, [...args, ...reporters], { cwd: root });
  const read = readReport(report);
  for (const skipped of skippedSuites(read)) console.log(`skipped: ${skipped}`);
  const count = countReport(read, code);
  const names = failedTests(read);
  if (count.failed > 0 && names.length === 0) names.push('an error outside of any test: see above');
  failures.push(...names.map((line) => `${name}: ${line}`));
  return count;
}

function readReport(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return undefined; // the suite ended before it could write one: counted as a failure
  }
}

const directory = mkdtempSync(join(tmpdir(), 'gantry-tests-'));
const counts = [];
try {
  await setup({ packagesRequired: false });
  if (process.geteuid?.() !== 0)
    console.log('tests: not root: the end-to-end suites that need it are skipped, by name');
  console.log('\n=== check');
  counts.push(await check());
  for (const name of suites) {
    console.log(`\n=== ${name}`);
    counts.push(await runSuite(name, directory));
  }
} catch (err) {
  console.error(`tests: ${err instanceof Error ? err.message : String(err)}`);
  counts.push({ passed: 0, failed: 1, skipped: 0 });
} finally {
  rmSync(directory, { recursive: true, force: true });
}
const { passed, failed, skipped } = addUp(counts);
process.exitCode = failed === 0 ? 0 : 1;
console.log('');
for (const line of failures) console.log(`failed: ${line}`);
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
