import { isDeadline } from '../../../base/errors.ts';
import { rpcText } from '../../../base/grpc.ts';
import { type ProbeOutcome, goSeconds, outputMaxBytes } from './probe-outcome.ts';

/** CRI `ExecSync`; throws a `DeadlineError` when the time is over. */
export type ExecSync = (
  containerId: string,
  command: readonly string[],
  timeoutSeconds: number,
  signal: AbortSignal,
) => Promise<{ exitCode: number; stdout: Buffer; stderr: Buffer }>;

/** Success is exit code 0. */
export async function probeByExec(
  execSync: ExecSync,
  containerId: string,
  command: readonly string[],
  timeoutSeconds: number,
  signal: AbortSignal,
): Promise<ProbeOutcome> {
  try {
    const { exitCode, stdout, stderr } = await execSync(containerId, command, timeoutSeconds, signal);
    const output = Buffer.concat([stdout, stderr]).subarray(0, outputMaxBytes).toString('utf8');
    return { kind: exitCode === 0 ? 'success' : 'failure', output };
  } catch (err) {
    if (isDeadline(err)) {
      const said = `"${command.join(' ')}" timed out after ${goSeconds(timeoutSeconds)}`;
      return { kind: 'failure', output: `command timed out: ${said}` };
    }
    return { kind: 'error', result: 'unknown', err: rpcText(err) };
  }
}
