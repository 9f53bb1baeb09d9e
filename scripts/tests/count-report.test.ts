import { describe, expect, it } from 'vitest';
import { addUp, countReport, skippedSuites } from './count-report.mjs';

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

  it('sums add up', () => {
    const counts = [
      { passed: 1, failed: 2, skipped: 3 },
      { passed: 10, failed: 20, skipped: 30 },
    ];
    expect(addUp(counts)).toEqual({ passed: 11, failed: 22, skipped: 33 });
  });
});
