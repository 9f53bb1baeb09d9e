/** Suites that need the real machine: with root and everything installed they run, otherwise they are skipped by name. */
import { describe } from 'vitest';
import { parseClusterConfig } from '../../../src/lab/parse-cluster-config.ts';
import { gatherMachineFacts, preflightProblems } from '../../../src/lab/preflight.ts';

const problems = preflightProblems(await gatherMachineFacts(), {
  config: parseClusterConfig({}, undefined),
  stateRoot: '/tmp',
  program: [],
});

/** Why suites that need the machine are skipped; undefined when they are not. */
export const skipReason: string | undefined = problems.length === 0 ? undefined : problems.join('; ');

export function describeAsRoot(name: string, body: () => void): void {
  if (skipReason === undefined) describe(name, body);
  else describe.skip(`${name} (skipped: ${skipReason})`, body);
}
