/** Whether the container runtime answers, and what it says of itself. */
import { describeError } from '../base/errors.ts';
import { type Finding, fail, ok, skipped } from './finding.ts';

export interface RuntimeNeed {
  version(signal: AbortSignal): Promise<{ runtimeName: string; runtimeVersion: string; apiVersion: string }>;
  status(
    signal: AbortSignal,
  ): Promise<{ conditions: ReadonlyArray<{ type: string; status: boolean; reason: string; message: string }> }>;
}

/** @param endpoint for messages; empty: the check is left out */
export async function checkRuntime(
  runtime: RuntimeNeed | undefined,
  endpoint: string,
  signal: AbortSignal,
): Promise<Finding[]> {
  if (runtime === undefined) return [skipped('runtime.version', 'no runtime endpoint given')];
  const findings: Finding[] = [];
  try {
    const { runtimeName, runtimeVersion, apiVersion } = await runtime.version(signal);
    findings.push(ok('runtime.version', `${runtimeName} ${runtimeVersion}, CRI ${apiVersion}, at ${endpoint}`));
  } catch (err) {
    const fix = 'start the runtime (systemctl start containerd), or pass --container-runtime-endpoint';
    return [fail('runtime.version', `no CRI v1 runtime answers at ${endpoint}: ${describeError(err)}`, fix)];
  }
  const { conditions } = await runtime.status(signal);
  for (const [type, fix] of [
    ['RuntimeReady', "look at the runtime's own log: journalctl -u containerd"],
    ['NetworkReady', 'mend the CNI checks below; the runtime takes a new configuration by itself'],
  ] as const) {
    const id = `runtime.${type === 'RuntimeReady' ? 'ready' : 'network'}`;
    const condition = conditions.find((candidate) => candidate.type === type);
    if (condition?.status === true) findings.push(ok(id, `${type} is true`));
    else {
      const said = condition === undefined ? 'is not reported' : `is false: ${condition.reason}: ${condition.message}`;
      findings.push(fail(id, `${type} ${said}`, fix));
    }
  }
  return findings;
}
