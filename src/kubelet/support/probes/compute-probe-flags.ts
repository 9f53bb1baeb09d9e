import type { ProbeResult } from '../../pod-model.ts';

export interface ProbeFlagsInput {
  isRunning: boolean;
  /** Results of this container instance; undefined when there is none. */
  startup: ProbeResult | undefined;
  readiness: ProbeResult | undefined;
  hasStartupProbe: boolean;
  hasReadinessProbe: boolean;
  /** The instance is older than this process, so what the API says of it is the word of the process before us. */
  isAdopted: boolean;
  wasStarted: boolean;
  wasReady: boolean;
}

/** `started` and `ready` of a regular container or sidecar. Pure. */
export function computeProbeFlags(input: ProbeFlagsInput): { started: boolean; ready: boolean } {
  if (!input.isRunning) return { started: false, ready: false };
  const started = isStarted(input);
  return { started, ready: started && isReady(input) };
}

function isStarted({ startup, isAdopted, wasStarted, hasStartupProbe }: ProbeFlagsInput): boolean {
  if (startup !== undefined) return startup === 'success';
  return (isAdopted && wasStarted) || !hasStartupProbe;
}

function isReady({ readiness, isAdopted, wasReady, hasReadinessProbe }: ProbeFlagsInput): boolean {
  if (readiness !== undefined) return readiness === 'success';
  return (isAdopted && wasReady) || !hasReadinessProbe;
}
