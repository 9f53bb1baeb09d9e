/** Programs that a node does without, but not without losing something. */
import { describeError } from '../base/errors.ts';
import { type Finding, fail, ok } from './finding.ts';

export interface ProgramsNeed {
  /** Measures what a file holds. */
  measure(path: string, signal: AbortSignal): Promise<unknown>;
}

/** @param file any that is there */
export async function checkPrograms({ measure }: ProgramsNeed, file: string, signal: AbortSignal): Promise<Finding[]> {
  const id = 'programs.find';
  try {
    await measure(file, signal);
    return [ok(id, 'what volumes and logs hold can be measured')];
  } catch (err) {
    return [
      fail(id, `what volumes and logs hold cannot be measured: ${describeError(err)}`, 'apt-get install findutils'),
    ];
  }
}
