/**
 * What one sync must do for a pod, in order. Pure: the same pod, observation and probe results give the same actions.
 *
 * The rules in short: a pod needs one ready sandbox of the right network mode; a new sandbox starts the pod over from
 * its first init container. Init containers run one after the other, sidecars among them stay; how far a pod has come
 * is inferred from the last init container that has any status, since older ones are pruned. Ephemeral containers start
 * once, whatever else happens.
 */
import type { Container, Pod } from '../../objects/generated/core-v1.ts';
import {
  type ObservedContainer,
  type ObservedPod,
  type PodContainer,
  type ProbeResults,
  isHostNetwork,
  latestContainer,
  podContainers,
  uidOf,
} from '../pod-model.ts';
import { actionsForRestartAll } from './compute-restart-all.ts';
import { containerHash } from './container-hash.ts';
import { decideInitRestart, decideRestart, mayRestartAfterKill } from './restart-policy.ts';

export type KillCause = 'liveness' | 'startup' | 'other';

export interface KillOrder {
  containerId: string;
  name: string;
  message: string;
  cause: KillCause;
  /** Instead of what pod and probe say. */
  graceSeconds?: number;
  /** Where the pod is, when that is newer than what was seen of it. */
  podIp?: string;
}

export type PodAction =
  /** Ends every container, then stops every sandbox. */
  | { kind: 'kill-pod'; sandboxChanged: boolean }
  /** Ends one container; `message` becomes its `Killing` event. */
  | ({ kind: 'kill-container' } & KillOrder)
  /** Deletes an ended container that starts over with all others of its pod; its logs stay. `hasAsked`: for its sake. */
  | { kind: 'reset-container'; containerId: string; name: string; hasAsked: boolean }
  /** Deletes an ended container from the runtime, with its logs unless they are to be kept. */
  | { kind: 'remove-container'; containerId: string; name: string; keepLogs: boolean }
  | { kind: 'create-sandbox'; attempt: number }
  | { kind: 'start-container'; container: PodContainer }
  /** Sets the amounts that the pod was given since, in its cgroup and in its running containers. */
  | { kind: 'resize-pod' };

export interface ComputeInput {
  pod: Pod;
  observed: ObservedPod | undefined;
  probes: Pick<ProbeResults, 'liveness' | 'startup'>;
  resizes?: PodResizes | undefined;
}

export interface PodResizes {
  /** The pod was given other amounts, which are not all set yet. */
  isWanted(uid: string): boolean;
  /** The running container gets its new amounts by a new start only. */
  mustRestart(uid: string, container: Container): boolean;
}

/** No actions: the pod is as it should be, or waits for something that runs. */
export function computePodActions({ pod, observed, probes, resizes }: ComputeInput): PodAction[] {
  if (pod.metadata.deletionTimestamp !== undefined) return [];
  const containers = podContainers(pod);
  const sandbox = decideSandbox(pod, observed);
  const resize: PodAction[] = resizes?.isWanted(uidOf(pod)) === true ? [{ kind: 'resize-pod' }] : [];
  if (sandbox.kind === 'create') {
    const actions = actionsForNewSandbox(pod, observed, containers, sandbox);
    return actions.flatMap((action) => (action.kind === 'create-sandbox' ? [...resize, action] : [action]));
  }

  const restartAll = actionsForRestartAll(pod, observed);
  if (restartAll !== undefined) return restartAll;

  const ephemeral = containers
    .filter(({ kind, spec }) => kind === 'ephemeral' && latestContainer(observed, spec.name) === undefined)
    .map(start);
  const init = actionsForInit(pod, observed, containers, probes, resizes);
  if (init.kind === 'failed') return [killPod(false)];
  if (!init.isInitialized)
    return [...init.kills, ...pruneInit(observed, containers), ...ephemeral, ...init.starts, ...resize];

  const regular = containers.filter(({ kind }) => kind === 'regular');
  const decisions = regular.map((container) => decideRegular(pod, container, observed, probes, resizes));
  if (decisions.every((decision) => decision.kind === 'done' || decision.kind === 'kill')) return [killPod(false)];
  return [
    ...init.kills,
    ...decisions.flatMap((decision) => ('kill' in decision ? [decision.kill] : [])),
    ...pruneInit(observed, containers),
    ...ephemeral,
    ...init.starts,
    ...resize,
    ...regular.filter((_, i) => decisions[i]?.kind === 'start' || decisions[i]?.kind === 'replace').map(start),
  ];
}

const start = (container: PodContainer): PodAction => ({ kind: 'start-container', container });
const killPod = (sandboxChanged: boolean): PodAction => ({ kind: 'kill-pod', sandboxChanged });

// ---- sandbox

type SandboxDecision = { kind: 'keep' } | { kind: 'create'; attempt: number; replacesOld: boolean };

/** Whether the pod needs a new sandbox. Also what `PodReadyToStartContainers` asks. */
export function decideSandbox(pod: Pod, observed: ObservedPod | undefined): SandboxDecision {
  const newest = observed?.sandboxes[0];
  if (newest === undefined) return { kind: 'create', attempt: 0, replacesOld: false };
  const attempt = newest.attempt + 1;
  const readyCount = observed?.sandboxes.filter(({ isReady }) => isReady).length ?? 0;
  if (readyCount > 1 || !newest.isReady) return { kind: 'create', attempt, replacesOld: true };
  if (newest.isHostNetwork !== isHostNetwork(pod)) return { kind: 'create', attempt, replacesOld: false };
  if (!isHostNetwork(pod) && newest.hasNetworkStatus && newest.ip === '') {
    return { kind: 'create', attempt, replacesOld: true };
  }
  return { kind: 'keep' };
}

function actionsForNewSandbox(
  pod: Pod,
  observed: ObservedPod | undefined,
  containers: readonly PodContainer[],
  { attempt, replacesOld }: { attempt: number; replacesOld: boolean },
): PodAction[] {
  const hasOld = (observed?.sandboxes.length ?? 0) > 0 || (observed?.containers.length ?? 0) > 0;
  const kill = hasOld ? [killPod(replacesOld)] : [];
  // A pod that never restarts and has run is finished, not started over.
  if (pod.spec.restartPolicy === 'Never' && attempt !== 0 && (observed?.containers.length ?? 0) > 0) return kill;

  const regular = containers.filter(({ kind }) => kind === 'regular');
  const toStart = regular.filter((container) => !hasSucceededForGood(pod, container, observed));
  const anyCreated = regular.some(({ spec }) => latestContainer(observed, spec.name) !== undefined);
  if (toStart.length === 0 && anyCreated) return kill;

  const firstInit = containers.find(({ kind }) => kind === 'init' || kind === 'sidecar');
  const ephemeral = containers.filter(
    ({ kind, spec }) => kind === 'ephemeral' && latestContainer(observed, spec.name) === undefined,
  );
  const removals = containers
    .filter(({ kind }) => kind === 'init' || kind === 'sidecar')
    .flatMap(({ spec }) => observed?.containers.filter(({ name }) => name === spec.name) ?? [])
    .map(({ id, name }): PodAction => ({ kind: 'remove-container', containerId: id, name, keepLogs: false }));
  return [
    ...kill,
    ...removals,
    { kind: 'create-sandbox', attempt },
    ...ephemeral.map(start),
    ...(firstInit === undefined ? toStart.map(start) : [start(firstInit)]),
  ];
}

function hasSucceededForGood(pod: Pod, { spec }: PodContainer, observed: ObservedPod | undefined): boolean {
  const policy = spec.restartPolicy ?? pod.spec.restartPolicy;
  const latest = latestContainer(observed, spec.name);
  return policy === 'OnFailure' && latest?.state === 'exited' && latest.exitCode === 0;
}

// ---- init containers

type InitActions =
  | { kind: 'failed' }
  | { kind: 'go-on'; isInitialized: boolean; kills: PodAction[]; starts: PodAction[] };

function actionsForInit(
  pod: Pod,
  observed: ObservedPod | undefined,
  containers: readonly PodContainer[],
  probes: ComputeInput['probes'],
  resizes: PodResizes | undefined,
): InitActions {
  const inits = containers.filter(({ kind }) => kind === 'init' || kind === 'sidecar');
  const kills: PodAction[] = [];
  const starts = new Set<number>();
  if (inits.length === 0) return { kind: 'go-on', isInitialized: true, kills, starts: [] };

  const wasInitialized = hasRegularBegun(containers, observed);
  let isInitialized = wasInitialized;
  let decided = wasInitialized;
  for (let i = inits.length - 1; i >= 0; i--) {
    const init = inits[i];
    if (init === undefined) continue;
    const latest = latestContainer(observed, init.spec.name);
    if (init.kind === 'sidecar') {
      // Before initialisation a sidecar without status has its turn later; after, it was pruned and must run.
      if (latest === undefined) {
        if (wasInitialized) starts.add(i);
        continue;
      }
      const sidecar = decideSidecar(pod, init, latest, probes, resizes);
      if (sidecar.kill !== undefined) kills.push(sidecar.kill);
      if (sidecar.isToStart) starts.add(i);
      if (!decided) {
        if (sidecar.isStarted) {
          if (i === inits.length - 1) isInitialized = true;
          else starts.add(i + 1);
        }
        decided = true;
      }
      continue;
    }
    if (latest === undefined || decided) continue;
    decided = true;
    if (latest.state === 'running') {
      if (resizes?.mustRestart(uidOf(pod), init.spec) === true) {
        kills.push(killForResize(latest));
        starts.add(i);
      }
      continue;
    }
    if (latest.state === 'exited' && latest.exitCode === 0 && latest.reason !== 'OOMKilled') {
      if (i === inits.length - 1) isInitialized = true;
      else starts.add(i + 1);
      continue;
    }
    if (latest.state === 'created') {
      starts.add(i);
      continue;
    }
    // failed, or nobody can tell
    if (decideInitRestart(pod, init.spec, latest.state === 'exited' ? latest.exitCode || 137 : 137) === 'stay') {
      return { kind: 'failed' };
    }
    if (latest.state === 'unknown')
      kills.push(killUnknown(latest, 'Init container is in "unknown" state, try killing it before restart'));
    starts.add(i);
  }
  if (!decided) starts.add(0);
  const ordered = inits.filter((_, i) => starts.has(i)).map(start);
  return { kind: 'go-on', isInitialized, kills, starts: ordered };
}

/** A regular container was created or runs: the pod is past its init containers. An exited one may be from before a reboot. */
function hasRegularBegun(containers: readonly PodContainer[], observed: ObservedPod | undefined): boolean {
  return containers.some(({ kind, spec }) => {
    const latest = latestContainer(observed, spec.name);
    return kind === 'regular' && (latest?.state === 'running' || latest?.state === 'created');
  });
}

function decideSidecar(
  pod: Pod,
  init: PodContainer,
  latest: ObservedContainer,
  probes: ComputeInput['probes'],
  resizes: PodResizes | undefined,
): { kill?: PodAction; isToStart: boolean; isStarted: boolean } {
  const kill = (message: string, cause: KillCause): PodAction => ({
    kind: 'kill-container',
    containerId: latest.id,
    name: latest.name,
    message,
    cause,
  });
  const name = init.spec.name;
  if (latest.state === 'created' || latest.state === 'exited') return { isToStart: true, isStarted: false };
  if (latest.state === 'unknown') {
    return {
      kill: kill(`Init container is in "unknown" state, try killing it before restart`, 'other'),
      isToStart: true,
      isStarted: false,
    };
  }
  if (hashDiffers(init, latest)) {
    return { kill: kill(`Init container ${name} definition changed`, 'other'), isToStart: true, isStarted: false };
  }
  if (init.spec.startupProbe !== undefined) {
    const startup = probes.startup(latest.id);
    if (startup === 'failure') {
      return {
        kill: kill(`Init container ${name} failed startup probe`, 'startup'),
        isToStart: true,
        isStarted: false,
      };
    }
    if (startup !== 'success') return { isToStart: false, isStarted: false };
  }
  if (probes.liveness(latest.id) === 'failure') {
    return { kill: kill(`Init container ${name} failed liveness probe`, 'liveness'), isToStart: true, isStarted: true };
  }
  if (resizes?.mustRestart(uidOf(pod), init.spec) === true) {
    return { kill: killForResize(latest), isToStart: true, isStarted: true };
  }
  return { isToStart: false, isStarted: true };
}

/** Of the ended init containers of a name the newest stays: its end is where the wait for the next start begins. */
function pruneInit(observed: ObservedPod | undefined, containers: readonly PodContainer[]): PodAction[] {
  return containers
    .filter(({ kind }) => kind === 'init' || kind === 'sidecar')
    .flatMap(
      ({ spec }) =>
        observed?.containers.filter(({ name, state }) => name === spec.name && state === 'exited').slice(1) ?? [],
    )
    .map(({ id, name }): PodAction => ({ kind: 'remove-container', containerId: id, name, keepLogs: false }));
}

// ---- regular containers

type RegularDecision =
  | { kind: 'keep' }
  | { kind: 'start' }
  | { kind: 'replace'; kill: PodAction }
  /** Killed by a probe, and its policy keeps it down. */
  | { kind: 'kill'; kill: PodAction }
  /** Ended, and stays so. */
  | { kind: 'done' };

function decideRegular(
  pod: Pod,
  container: PodContainer,
  observed: ObservedPod | undefined,
  probes: ComputeInput['probes'],
  resizes: PodResizes | undefined,
): RegularDecision {
  const { name } = container.spec;
  const latest = latestContainer(observed, name);
  if (latest === undefined || latest.state === 'created') return { kind: 'start' };
  if (latest.state === 'exited') {
    return decideRestart(pod, container.spec, latest.exitCode) === 'stay' ? { kind: 'done' } : { kind: 'start' };
  }
  if (latest.state === 'unknown') {
    return {
      kind: 'replace',
      kill: killUnknown(latest, 'Container is in "unknown" state, try killing it before restart'),
    };
  }
  const kill = (message: string, cause: KillCause): PodAction => ({
    kind: 'kill-container',
    containerId: latest.id,
    name,
    message,
    cause,
  });
  if (hashDiffers(container, latest)) {
    return { kind: 'replace', kill: kill(`Container ${name} definition changed, will be restarted`, 'other') };
  }
  const failed =
    probes.liveness(latest.id) === 'failure'
      ? 'liveness'
      : probes.startup(latest.id) === 'failure'
        ? 'startup'
        : undefined;
  if (failed === undefined) {
    const mustRestart = resizes?.mustRestart(uidOf(pod), container.spec) === true;
    return mustRestart ? { kind: 'replace', kill: killForResize(latest) } : { kind: 'keep' };
  }
  const restarts = mayRestartAfterKill(pod, container);
  return {
    kind: restarts ? 'replace' : 'kill',
    kill: kill(`Container ${name} failed ${failed} probe${restarts ? ', will be restarted' : ''}`, failed),
  };
}

const hashLabel = 'io.kubernetes.container.hash';

function hashDiffers({ spec }: PodContainer, latest: ObservedContainer): boolean {
  const hash = latest.annotations[hashLabel];
  return hash !== undefined && hash !== containerHash(spec);
}

const killForResize = ({ id, name }: ObservedContainer): PodAction => ({
  kind: 'kill-container',
  containerId: id,
  name,
  message: `Container ${name} resize requires restart`,
  cause: 'other',
});

const killUnknown = (latest: ObservedContainer, message: string): PodAction => ({
  kind: 'kill-container',
  containerId: latest.id,
  name: latest.name,
  message,
  cause: 'other',
});
