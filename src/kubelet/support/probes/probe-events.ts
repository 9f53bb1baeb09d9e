import { describeError } from '../../../base/errors.ts';
import type { ProbeKind } from './next-probe-step.ts';
import type { ProbeOutcome } from './probe-outcome.ts';

export interface ProbeEvent {
  type: 'Warning';
  reason: 'Unhealthy' | 'ProbeWarning';
  message: string;
}

const kindNames: Record<ProbeKind, string> = { liveness: 'Liveness', readiness: 'Readiness', startup: 'Startup' };

/** The event that an attempt makes; none for a plain success. Pure. */
export function probeEvent(kind: ProbeKind, outcome: ProbeOutcome): ProbeEvent | undefined {
  const name = kindNames[kind];
  switch (outcome.kind) {
    case 'success':
      return undefined;
    case 'warning':
      return { type: 'Warning', reason: 'ProbeWarning', message: `${name} probe warning: ${outcome.output}` };
    case 'failure':
      return { type: 'Warning', reason: 'Unhealthy', message: `${name} probe failed: ${outcome.output}` };
    case 'error': {
      const said = `${name} probe errored and resulted in ${outcome.result} state: ${describeError(outcome.err)}`;
      return { type: 'Warning', reason: 'Unhealthy', message: said };
    }
  }
}
