import { describe, expect, it } from 'vitest';
import { addUp, countReport, failedTests, skippedSuites } from './count-report.mjs';

const file = (...statuses: string[]): unknown => ({
  status: statuses.includes('failed') ? 'failed' : 'passed',
  assertionResults: statuses.map((status) => ({ status })),
});

describe('countReport', () => {
  it.each([
    {
      name: 'all kinds',
      report: {
        numPassedTests: 3,
        numFailedTests: 1,
        numPendingTests: 2,
        numTodoTests: 1,
        testResults: [file('passed', 'failed')],
      },
      exitCode: 1,
      want: { passed: 3, failed: 1, skipped: 3 },
    },
    {
      name: 'a file that does not load',
      report: { numPassedTests: 3, numFailedTests: 0, testResults: [{ status: 'failed', assertionResults: [] }] },
      exitCode: 1,
      want: { passed: 3, failed: 1, skipped: 0 },
    },
    {
      name: 'an error outside of any test',
      report: { numPassedTests: 3, numFailedTests: 0, testResults: [file('passed')] },
      exitCode: 1,
      want: { passed: 3, failed: 1, skipped: 0 },
    },
    { name: 'no report', report: undefined, exitCode: 0, want: { passed: 0, failed: 1, skipped: 0 } },
    { name: 'no tests', report: { testResults: [] }, exitCode: 0, want: { passed: 0, failed: 0, skipped: 0 } },
  ])('$name', ({ report, exitCode, want }) => {
    expect(countReport(report, exitCode)).toEqual(want);
  });

  it('names what was skipped', () => {
    const test = (status: string, suite: string): unknown => ({ status, ancestorTitles: [suite], title: 'x' });
    const assertionResults = [
      test('passed', 'a'),
      test('skipped', 'b (needs root)'),
      test('pending', 'b (needs root)'),
    ];
    expect(skippedSuites({ testResults: [{ status: 'passed', assertionResults }] })).toEqual([
      'b (needs root): 2 tests',
    ]);
    expect(skippedSuites(undefined)).toEqual([]);
  });

  it('names what failed, and with what words', () => {
    const assertionResults = [
      { status: 'passed', fullName: 'a b' },
      { status: 'failed', fullName: 'a c', failureMessages: ['expected 1 to be 2\n    at x.ts:1'] },
    ];
    const testResults = [
      { name: 'x.test.ts', status: 'failed', message: '', assertionResults },
      { name: 'y.test.ts', status: 'failed', message: 'no such module\nat y', assertionResults: [] },
      { name: 'z.test.ts', status: 'passed', assertionResults: [{ status: 'passed', fullName: 'd' }] },
    ];
    expect(failedTests({ testResults })).toEqual(['a c: expected 1 to be 2', 'y.test.ts: no such module']);
    expect(failedTests(undefined)).toEqual([]);
  });

  it('sums add up', () => {
    const counts = [
      { passed: 1, failed: 2, skipped: 3 },
      { passed: 10, failed: 20, skipped: 30 },
    ];
    expect(addUp(counts)).toEqual({ passed: 11, failed: 22, skipped: 33 });
  });
});
