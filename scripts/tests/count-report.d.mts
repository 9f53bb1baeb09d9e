export interface TestCount {
  passed: number;
  failed: number;
  skipped: number;
}
export function countReport(report: unknown, exitCode: number): TestCount;
export function addUp(counts: readonly TestCount[]): TestCount;
export function skippedSuites(report: unknown): string[];
export function failedTests(report: unknown): string[];
