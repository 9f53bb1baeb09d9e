/**
 * Counts of one suite from vitest's JSON report. A suite that failed as a whole (a file that does not load, an error
 * outside of any test, no report at all) counts as one failure more, never as none.
 *
 * @param {Record<string, unknown> | undefined} report
 * @param {number} exitCode of vitest
 */
export function countReport(report, exitCode) {
  const number = (key) => (typeof report?.[key] === 'number' ? report[key] : 0);
  const passed = number('numPassedTests');
  const skipped = number('numPendingTests') + number('numTodoTests');
  const files = Array.isArray(report?.['testResults']) ? report['testResults'] : [];
  const broken = files.filter(({ status, assertionResults }) => status === 'failed' && !hasFailure(assertionResults));
  const failed = number('numFailedTests') + broken.length;
  const failedSilently = failed === 0 && (exitCode !== 0 || report === undefined);
  return { passed, failed: failedSilently ? 1 : failed, skipped };
}

/** What was skipped, by name: a line per suite with its tests' number. The suite's title carries the reason. */
export function skippedSuites(report) {
  const files = Array.isArray(report?.['testResults']) ? report['testResults'] : [];
  const counts = new Map();
  for (const { assertionResults } of files) {
    for (const { status, ancestorTitles, title } of Array.isArray(assertionResults) ? assertionResults : []) {
      if (!['skipped', 'pending', 'todo'].includes(status)) continue;
      const name = ancestorTitles?.[0] ?? title;
      counts.set(name, (counts.get(name) ?? 0) + 1);
    }
  }
  return [...counts].map(([name, count]) => `${name}: ${count} ${count === 1 ? 'test' : 'tests'}`);
}

/** What failed, by name: a line per test with the first line of its message, and one per file that failed as a whole. */
export function failedTests(report) {
  const files = Array.isArray(report?.['testResults']) ? report['testResults'] : [];
  return files.flatMap(({ name, status, message, assertionResults }) => {
    if (status !== 'failed') return [];
    if (!hasFailure(assertionResults)) return [`${name}: ${firstLine(message)}`];
    const failed = assertionResults.filter((result) => result.status === 'failed');
    return failed.map(({ fullName, failureMessages }) => `${fullName}: ${firstLine(failureMessages?.[0])}`);
  });
}

function firstLine(message) {
  return typeof message === 'string' ? (message.split('\n')[0] ?? '') : '';
}

function hasFailure(results) {
  return Array.isArray(results) && results.some(({ status }) => status === 'failed');
}

/** @param {ReadonlyArray<{ passed: number, failed: number, skipped: number }>} counts */
export function addUp(counts) {
  const sum = (key) => counts.reduce((total, count) => total + count[key], 0);
  return { passed: sum('passed'), failed: sum('failed'), skipped: sum('skipped') };
}
