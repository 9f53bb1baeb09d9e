/** Whether a container that ended starts again. Pure. */
import type { Container, Pod } from '../../objects/generated/core-v1.ts';
import { type ObservedPod, type PodContainer, isSidecar, latestContainer } from '../pod-model.ts';

export type RestartDecision = 'restart' | 'stay' | 'restart-all';

/** What follows when the container exits with `exitCode`: its own rules first, then its policy, then the pod's. */
export function decideRestart(pod: Pod, container: Container, exitCode: number): RestartDecision {
  if (container.restartPolicy !== undefined) {
    for (const { action, exitCodes } of container.restartPolicyRules ?? []) {
      const listed = exitCodes?.values?.includes(exitCode) === true;
      if (exitCodes !== undefined && listed === (exitCodes.operator === 'In')) {
        return action === 'RestartAllContainers' ? 'restart-all' : 'restart';
      }
    }
  }
  switch (container.restartPolicy ?? pod.spec.restartPolicy ?? 'Always') {
    case 'Never':
      return 'stay';
    case 'OnFailure':
      return exitCode === 0 ? 'stay' : 'restart';
    default:
      return 'restart';
  }
}

/** Whether a running container comes back after a probe made us kill it: policies count, rules don't. */
export function mayRestartAfterKill(pod: Pod, { kind, spec }: PodContainer): boolean {
  if (kind === 'ephemeral') return false;
  if (kind === 'sidecar') return true;
  return (spec.restartPolicy ?? pod.spec.restartPolicy ?? 'Always') !== 'Never';
}

/** An ordinary init container runs to success: `Always` means for it "again until it succeeds". */
export function decideInitRestart(pod: Pod, container: Container, exitCode: number): RestartDecision {
  if (isSidecar(container)) return 'restart';
  if (container.restartPolicy !== undefined) return decideRestart(pod, container, exitCode);
  return pod.spec.restartPolicy === 'Never' ? 'stay' : 'restart';
}

/** Whether a container that ended with `exitCode` stays ended. */
export function hasEndedForGood(pod: Pod, { kind, spec }: PodContainer, exitCode: number): boolean {
  const decision = kind === 'init' ? decideInitRestart(pod, spec, exitCode) : decideRestart(pod, spec, exitCode);
  return decision === 'stay';
}

/**
 * Whether a container is to be started as things stand: only then its status tells why the latest start failed, and else
 * how it ended.
 */
export function isToStartNext(pod: Pod, container: PodContainer, observed: ObservedPod | undefined): boolean {
  if (pod.metadata.deletionTimestamp !== undefined) return false;
  const latest = latestContainer(observed, container.spec.name);
  if (latest === undefined) return true;
  if (latest.state === 'running') return false;
  if (container.kind === 'ephemeral') return false;
  if (latest.state !== 'exited') return true;
  if (container.kind === 'init' && latest.exitCode === 0) return false;
  return !hasEndedForGood(pod, container, latest.exitCode);
}
