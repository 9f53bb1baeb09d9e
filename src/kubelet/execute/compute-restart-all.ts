/**
 * What a container's exit with the action RestartAllContainers makes of its pod. Pure.
 *
 * In two steps, so that the status tells how each container ended: first whatever runs is killed, then everything is
 * removed, the containers that asked for it last. Until then their exit says again what is to be done, also to a
 * kubelet that was started meanwhile. Sandbox, volumes, logs and ephemeral containers stay.
 */
import type { Container, Pod } from '../../objects/generated/core-v1.ts';
import {
  type ObservedContainer,
  type ObservedPod,
  type PodContainer,
  latestContainer,
  podContainers,
} from '../pod-model.ts';
import type { PodAction } from './compute-pod-actions.ts';
import { decideRestart } from './restart-policy.ts';

const hasRule = ({ restartPolicyRules }: Container): boolean =>
  restartPolicyRules?.some(({ action }) => action === 'RestartAllContainers') === true;

/** Whether one container's exit may start all of them again. */
export const mayRestartAll = (pod: Pod): boolean => podContainers(pod).some(({ spec }) => hasRule(spec));

/** Whether a container has ended in the pod's present sandbox with a code that starts all of them again. */
export const isRestartingAll = (pod: Pod, observed: ObservedPod | undefined): boolean =>
  podContainers(pod).some((container) => isTrigger(pod, container, observed));

function isTrigger(pod: Pod, { kind, spec }: PodContainer, observed: ObservedPod | undefined): boolean {
  if ((kind !== 'regular' && kind !== 'init') || !hasRule(spec)) return false;
  const latest = latestContainer(observed, spec.name);
  // What ended in an earlier sandbox was started over with that sandbox's successor.
  if (latest?.state !== 'exited' || latest.sandboxId !== observed?.sandboxes[0]?.id) return false;
  return decideRestart(pod, spec, latest.exitCode) === 'restart-all';
}

/** Undefined when no container asks for it. */
export function actionsForRestartAll(pod: Pod, observed: ObservedPod | undefined): PodAction[] | undefined {
  const containers = podContainers(pod).filter(({ kind }) => kind !== 'ephemeral');
  const triggers = new Set(containers.filter((container) => isTrigger(pod, container, observed)));
  if (triggers.size === 0) return undefined;
  const place = (container: PodContainer): number =>
    (triggers.has(container) ? 2 : 0) + (container.kind === 'regular' ? 0 : 1);
  const instances = containers
    .toSorted((a, b) => place(a) - place(b))
    .flatMap(({ spec }) => observed?.containers.filter(({ name }) => name === spec.name).toReversed() ?? []);
  const asked = new Set([...triggers].map(({ spec }) => latestContainer(observed, spec.name)));
  const running = instances.filter(({ state }) => state === 'running' || state === 'unknown');
  return running.length > 0 ? running.map(kill) : instances.map((instance) => reset(instance, asked.has(instance)));
}

const kill = ({ id, name }: ObservedContainer): PodAction => ({
  kind: 'kill-container',
  containerId: id,
  name,
  message: 'killing',
  cause: 'other',
  graceSeconds: 0,
});

const reset = ({ id, name }: ObservedContainer, hasAsked: boolean): PodAction => ({
  kind: 'reset-container',
  containerId: id,
  name,
  hasAsked,
});
