/**
 * Rolls a Deployment's template out over ReplicaSets: one for each template, the newest growing as the older shrink.
 *
 * Needs: informers of Deployments, ReplicaSets and pods.
 */
import { rfc3339Seconds } from '../../base/clock.ts';
import { describeError, isNotFound } from '../../base/errors.ts';
import type { WorkQueue } from '../../base/work-queue.ts';
import { apiStatus } from '../../client/api-client.ts';
import { type EventSink, eventTarget } from '../../client/event-recorder.ts';
import type { Informer } from '../../client/informer.ts';
import { deployments, pods as podType, replicaSets } from '../../client/resource-types.ts';
import { findCondition } from '../../objects/conditions.ts';
import type { Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet } from '../../objects/generated/apps-v1.ts';
import type { Pod } from '../../objects/generated/core-v1.ts';
import { labelSelectorRequirements, matchesLabelSelector } from '../../objects/label-selector.ts';
import { namespacedKey, objectKey } from '../../objects/object-key.ts';
import { claimObjects } from '../claim-objects.ts';
import { type Controller, type ControllerContext, reconcileQueue, runQueue } from '../controller.ts';
import { byController, controllerOf, controllerReference, orphansOf } from '../owner-references.ts';
import { isPodTerminal } from '../pod-state.ts';
import { sameJson, sameStatus } from '../same-json.ts';
import {
  countStatus,
  deadlineEndMs,
  hasProgressDeadline,
  isComplete,
  progressing,
  putCondition,
  rolloutStatus,
} from './compute-deployment-status.ts';
import {
  byAge,
  desiredAnnotation,
  isRollingUpdate,
  newReplicaSetSize,
  replicasOf,
  scaleAll,
  shrinkOld,
} from './compute-replica-counts.ts';
import {
  newSetAnnotations,
  nextRevision,
  revisionAnnotation,
  revisionOf,
  sizeAnnotations,
} from './compute-revision.ts';
import { sameTemplate, templateHash, templateHashLabel } from './template-hash.ts';

const noHistoryLimit = 2 ** 31 - 1;

/** One turn's working copy: writes of status and metadata replace `deployment`. */
interface Turn {
  deployment: Deployment;
  signal: AbortSignal;
}

export class DeploymentController implements Controller {
  readonly #context: ControllerContext;
  readonly #events: EventSink;
  readonly #queue: WorkQueue;
  readonly #deployments: Informer<Deployment>;
  readonly #replicaSets: Informer<ReplicaSet>;
  readonly #pods: Informer<Pod>;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#events = context.eventsOf('deployment-controller');
    this.#queue = reconcileQueue(context, 'deployment');
    this.#deployments = context.informers.of(deployments);
    this.#replicaSets = context.informers.of(replicaSets);
    this.#pods = context.informers.of(podType);
    this.#replicaSets.addIndex('controller', byController);
    this.#pods.addIndex('controller', byController);
    this.#deployments.addHandlers({
      onAdd: (deployment) => this.#queue.add(objectKey(deployment)),
      onUpdate: (_, deployment) => this.#queue.add(objectKey(deployment)),
      onDelete: (deployment) => this.#queue.add(objectKey(deployment)),
    });
    this.#replicaSets.addHandlers({
      onAdd: (rs) => this.#onReplicaSet(rs),
      onUpdate: (before, rs) => {
        if (controllerOf(before)?.uid !== controllerOf(rs)?.uid) this.#onReplicaSet(before);
        this.#onReplicaSet(rs);
      },
      onDelete: (rs) => this.#onReplicaSet(rs),
    });
    this.#pods.addHandlers({ onDelete: (pod) => this.#onPodGone(pod) });
  }

  async run(signal: AbortSignal): Promise<void> {
    const informers = [this.#deployments, this.#replicaSets, this.#pods];
    await runQueue(this.#queue, informers, (key, inner) => this.#sync(key, inner), signal);
  }

  #onReplicaSet(rs: ReplicaSet): void {
    const controller = controllerOf(rs);
    if (controller !== undefined) {
      const key = namespacedKey(rs.metadata.namespace, controller.name);
      if (this.#deployments.getByKey(key)?.metadata.uid === controller.uid) this.#queue.add(key);
      return;
    }
    for (const deployment of this.#deployments.list()) {
      const isSameNamespace = deployment.metadata.namespace === rs.metadata.namespace;
      if (isSameNamespace && matchesLabelSelector(deployment.spec.selector, rs.metadata.labels)) {
        this.#queue.add(objectKey(deployment));
      }
    }
  }

  /** A Recreate rollout waits for the last old pod. */
  #onPodGone(pod: Pod): void {
    const controller = controllerOf(pod);
    if (controller?.kind !== 'ReplicaSet') return;
    const rs = this.#replicaSets.get({ namespace: pod.metadata.namespace, name: controller.name });
    const owner = rs === undefined ? undefined : controllerOf(rs);
    if (owner === undefined) return;
    const deployment = this.#deployments.get({ namespace: pod.metadata.namespace, name: owner.name });
    if (deployment !== undefined && !isRollingUpdate(deployment)) this.#queue.add(objectKey(deployment));
  }

  async #sync(key: string, signal: AbortSignal): Promise<void> {
    const { client } = this.#context;
    const deployment = this.#deployments.getByKey(key);
    if (deployment === undefined) return;
    const turn: Turn = { deployment, signal };
    if ((labelSelectorRequirements(deployment.spec.selector) ?? []).length === 0) {
      const message = 'This deployment is selecting all pods. A non-empty selector is required.';
      this.#event(deployment, 'Warning', 'SelectingAll', message);
      const { generation } = deployment.metadata;
      if ((deployment.status?.observedGeneration ?? 0) < (generation ?? 0)) {
        await this.#writeStatus(turn, { ...deployment.status, observedGeneration: generation });
      }
      return;
    }
    const candidates = [
      ...this.#replicaSets.byIndex('controller', deployment.metadata.uid ?? ''),
      ...this.#replicaSets.byIndex('controller', orphansOf(deployment.metadata.namespace)),
    ];
    const { selector } = deployment.spec;
    const sets = await claimObjects(client, deployments, deployment, selector, replicaSets, candidates, signal);
    if (deployment.metadata.deletionTimestamp !== undefined) {
      await this.#writeRolloutStatus(turn, sets, findNewSet(deployment, sets), { countsOnly: true });
      return;
    }
    await this.#notePause(turn);
    const isScaled = sets.some((rs) => {
      const desired = rs.metadata.annotations?.[desiredAnnotation];
      return replicasOf(rs) > 0 && desired !== undefined && Number(desired) !== replicasOf(turn.deployment);
    });
    if (turn.deployment.spec.paused === true || isScaled) await this.#scale(turn, sets);
    else if (isRollingUpdate(turn.deployment)) await this.#rollOut(turn, sets);
    else await this.#recreate(turn, sets);
  }

  /** Scales without rolling out. */
  async #scale(turn: Turn, sets: readonly ReplicaSet[]): Promise<void> {
    const found = findNewSet(turn.deployment, sets);
    const newSet = found === undefined ? undefined : await this.#refreshNewSet(turn, found, sets);
    const old = sets.filter((rs) => rs.metadata.uid !== newSet?.metadata.uid);
    const changed = new Map<string | undefined, ReplicaSet>();
    for (const { replicaSet, size } of scaleAll(turn.deployment, old, newSet)) {
      changed.set(replicaSet.metadata.uid, await this.#resize(turn, replicaSet, size));
    }
    const now = (newSet === undefined ? old : [...old, newSet]).map((rs) => changed.get(rs.metadata.uid) ?? rs);
    if (turn.deployment.spec.paused === true) await this.#cleanUp(turn, old);
    await this.#writeRolloutStatus(turn, now, changed.get(newSet?.metadata.uid) ?? newSet, { countsOnly: true });
  }

  async #rollOut(turn: Turn, sets: readonly ReplicaSet[]): Promise<void> {
    const newSet = await this.#ensureNewSet(turn, sets);
    const old = sets.filter((rs) => rs.metadata.uid !== newSet.metadata.uid);
    const all = [...old, newSet];
    const size =
      replicasOf(newSet) > replicasOf(turn.deployment)
        ? replicasOf(turn.deployment)
        : newReplicaSetSize(turn.deployment, all, newSet);
    if (size !== replicasOf(newSet)) {
      const resized = await this.#resize(turn, newSet, size);
      await this.#writeRolloutStatus(turn, [...old, resized], resized);
      return;
    }
    const shrinks = shrinkOld(turn.deployment, all, old, newSet);
    const changed = new Map<string | undefined, ReplicaSet>();
    for (const { replicaSet, size: smaller } of shrinks) {
      changed.set(replicaSet.metadata.uid, await this.#resize(turn, replicaSet, smaller));
    }
    const now = all.map((rs) => changed.get(rs.metadata.uid) ?? rs);
    const isDone = isComplete(turn.deployment, turn.deployment.status ?? {});
    if (shrinks.length === 0 && isDone) await this.#cleanUp(turn, old);
    await this.#writeRolloutStatus(turn, now, newSet);
  }

  /** All old pods must be gone before the first new one comes. */
  async #recreate(turn: Turn, sets: readonly ReplicaSet[]): Promise<void> {
    const found = findNewSet(turn.deployment, sets);
    const newSet = found === undefined ? undefined : await this.#refreshNewSet(turn, found, sets);
    const old = sets.filter((rs) => rs.metadata.uid !== newSet?.metadata.uid);
    const withNew = (set: ReplicaSet | undefined): ReplicaSet[] => (set === undefined ? [...old] : [...old, set]);
    const running = old.filter((rs) => replicasOf(rs) > 0);
    if (running.length > 0) {
      for (const rs of running) await this.#resize(turn, rs, 0);
      await this.#writeRolloutStatus(turn, withNew(newSet), newSet);
      return;
    }
    const hasOldPods = old.some(
      (rs) =>
        (rs.status?.replicas ?? 0) > 0 ||
        this.#pods.byIndex('controller', rs.metadata.uid ?? '').some((pod) => !isPodTerminal(pod)),
    );
    if (hasOldPods) {
      await this.#writeRolloutStatus(turn, withNew(newSet), newSet);
      return;
    }
    const created = newSet ?? (await this.#ensureNewSet(turn, sets));
    const sized = await this.#resize(turn, created, replicasOf(turn.deployment));
    if (isComplete(turn.deployment, turn.deployment.status ?? {})) await this.#cleanUp(turn, old);
    await this.#writeRolloutStatus(turn, withNew(sized), sized);
  }

  async #ensureNewSet(turn: Turn, sets: readonly ReplicaSet[]): Promise<ReplicaSet> {
    const existing = findNewSet(turn.deployment, sets);
    return existing === undefined ? this.#createNewSet(turn, sets) : this.#refreshNewSet(turn, existing, sets);
  }

  /** Brings the annotations of an existing new ReplicaSet up to date, and the Deployment's revision. */
  async #refreshNewSet(turn: Turn, existing: ReplicaSet, sets: readonly ReplicaSet[]): Promise<ReplicaSet> {
    const { client, clock } = this.#context;
    const { deployment, signal } = turn;
    const old = sets.filter((rs) => rs.metadata.uid !== existing.metadata.uid);
    const annotations = newSetAnnotations(deployment, existing, nextRevision(old));
    const { minReadySeconds } = deployment.spec;
    const isCurrent =
      sameJson(annotations, existing.metadata.annotations ?? {}) &&
      (minReadySeconds ?? 0) === (existing.spec.minReadySeconds ?? 0);
    if (!isCurrent) {
      return client.update(
        replicaSets,
        {
          ...existing,
          metadata: { ...existing.metadata, annotations },
          spec: { ...existing.spec, minReadySeconds },
        },
        signal,
      );
    }
    let { conditions } = deployment.status ?? {};
    if (hasProgressDeadline(deployment) && findCondition(conditions, 'Progressing') === undefined) {
      const message = `Found new replica set "${existing.metadata.name}"`;
      conditions = putCondition(
        conditions,
        progressing('True', 'FoundNewReplicaSet', message),
        rfc3339Seconds(clock.nowMs()),
      );
    }
    await this.#noteRevision(turn, existing, conditions);
    return existing;
  }

  async #createNewSet(turn: Turn, sets: readonly ReplicaSet[]): Promise<ReplicaSet> {
    const { client, clock } = this.#context;
    const { deployment, signal } = turn;
    const wanted = this.#newSet(deployment, sets);
    const { name } = wanted.metadata;
    let created: ReplicaSet;
    try {
      created = await client.create(replicaSets, wanted, signal);
    } catch (err) {
      if (apiStatus(err)?.reason === 'AlreadyExists') {
        const existing = await client.get(replicaSets, wanted.metadata, signal);
        const isOurs = controllerOf(existing)?.uid === deployment.metadata.uid;
        if (isOurs && sameTemplate(existing.spec.template, deployment.spec.template)) return existing;
        const collisionCount = (deployment.status?.collisionCount ?? 0) + 1;
        await this.#writeStatus(turn, { ...deployment.status, collisionCount });
      } else if (!isNotFound(err)) {
        const message = `Failed to create new replica set "${name}": ${describeError(err)}`;
        this.#event(deployment, 'Warning', 'ReplicaSetCreateError', message);
        await this.#noteProgress(turn, 'False', 'ReplicaSetCreateError', message);
      }
      throw err;
    }
    if (replicasOf(created) > 0) this.#scaleEvent(deployment, created, 0, replicasOf(created));
    const condition = progressing('True', 'NewReplicaSetCreated', `Created new replica set "${name}"`);
    const { conditions } = deployment.status ?? {};
    await this.#noteRevision(
      turn,
      created,
      hasProgressDeadline(deployment) ? putCondition(conditions, condition, rfc3339Seconds(clock.nowMs())) : conditions,
    );
    return created;
  }

  #newSet(deployment: Deployment, sets: readonly ReplicaSet[]): ReplicaSet {
    const { template, selector, minReadySeconds } = deployment.spec;
    const hash = templateHash(template, deployment.status?.collisionCount);
    const labels = { ...template.metadata?.labels, [templateHashLabel]: hash };
    const set: ReplicaSet = {
      metadata: {
        name: `${deployment.metadata.name.slice(0, 253 - hash.length - 1)}-${hash}`,
        namespace: deployment.metadata.namespace,
        labels,
        annotations: newSetAnnotations(deployment, undefined, nextRevision(sets)),
        ownerReferences: [controllerReference(deployments, deployment)],
      },
      spec: {
        replicas: 0,
        minReadySeconds,
        selector: { ...selector, matchLabels: { ...selector.matchLabels, [templateHashLabel]: hash } },
        template: { ...template, metadata: { ...template.metadata, name: template.metadata?.name ?? '', labels } },
      },
    };
    return { ...set, spec: { ...set.spec, replicas: newReplicaSetSize(deployment, [...sets, set], set) } };
  }

  /** Sets size and size annotations; an event tells of a change of size. */
  async #resize({ deployment, signal }: Turn, rs: ReplicaSet, size: number): Promise<ReplicaSet> {
    const before = replicasOf(rs);
    const annotations = { ...rs.metadata.annotations, ...sizeAnnotations(deployment) };
    if (before === size && sameJson(annotations, rs.metadata.annotations ?? {})) return rs;
    const resized = await this.#context.client.update(
      replicaSets,
      { ...rs, metadata: { ...rs.metadata, annotations }, spec: { ...rs.spec, replicas: size } },
      signal,
    );
    if (before !== size) this.#scaleEvent(deployment, rs, before, size);
    return resized;
  }

  /** Deletes the oldest empty ReplicaSets beyond the history limit. */
  async #cleanUp({ deployment, signal }: Turn, old: readonly ReplicaSet[]): Promise<void> {
    const limit = deployment.spec.revisionHistoryLimit ?? noHistoryLimit;
    if (limit === noHistoryLimit) return;
    const kept = old.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
    const surplus = kept.toSorted((a, b) => revisionOf(a) - revisionOf(b)).slice(0, Math.max(0, kept.length - limit));
    for (const rs of surplus) {
      const { status, metadata } = rs;
      const isInUse = (status?.replicas ?? 0) > 0 || replicasOf(rs) > 0;
      if (isInUse || (metadata.generation ?? 0) > (status?.observedGeneration ?? 0)) continue;
      try {
        const options = { preconditions: { uid: metadata.uid }, propagationPolicy: 'Background' };
        await this.#context.client.delete(replicaSets, metadata, options, signal);
      } catch (err) {
        if (!isNotFound(err)) throw err;
      }
    }
  }

  async #notePause(turn: Turn): Promise<void> {
    const { deployment } = turn;
    const current = findCondition(deployment.status?.conditions, 'Progressing');
    if (!hasProgressDeadline(deployment) || current?.reason === 'ProgressDeadlineExceeded') return;
    const isPaused = deployment.spec.paused === true;
    const wasPaused = current?.reason === 'DeploymentPaused';
    if (isPaused && !wasPaused) await this.#noteProgress(turn, 'Unknown', 'DeploymentPaused', 'Deployment is paused');
    if (!isPaused && wasPaused) {
      await this.#noteProgress(turn, 'Unknown', 'DeploymentResumed', 'Deployment is resumed');
    }
  }

  async #noteProgress(turn: Turn, status: string, reason: string, message: string): Promise<void> {
    if (!hasProgressDeadline(turn.deployment)) return;
    const now = rfc3339Seconds(this.#context.clock.nowMs());
    const { conditions } = turn.deployment.status ?? {};
    const next = putCondition(conditions, progressing(status, reason, message), now);
    if (!sameJson(conditions, next)) await this.#writeStatus(turn, { ...turn.deployment.status, conditions: next });
  }

  /** The Deployment bears the revision of its newest ReplicaSet. */
  async #noteRevision(turn: Turn, newSet: ReplicaSet, conditions: DeploymentCondition[] | undefined): Promise<void> {
    const revision = newSet.metadata.annotations?.[revisionAnnotation];
    const { deployment, signal } = turn;
    const { annotations } = deployment.metadata;
    const hasRevision = revision === undefined || annotations?.[revisionAnnotation] === revision;
    if (hasRevision && sameJson(conditions, deployment.status?.conditions)) return;
    if (revision !== undefined && !hasRevision) {
      turn.deployment = {
        ...deployment,
        metadata: { ...deployment.metadata, annotations: { ...annotations, [revisionAnnotation]: revision } },
      };
    }
    await this.#writeStatus(turn, { ...deployment.status, conditions });
    if (revision === undefined || turn.deployment.metadata.annotations?.[revisionAnnotation] === revision) return;
    // a server that takes nothing but the status from a status write
    turn.deployment = await this.#context.client.patch(
      deployments,
      deployment.metadata,
      'merge',
      { metadata: { uid: deployment.metadata.uid, annotations: { [revisionAnnotation]: revision } } },
      signal,
    );
  }

  async #writeRolloutStatus(
    turn: Turn,
    all: readonly ReplicaSet[],
    newSet: ReplicaSet | undefined,
    { countsOnly = false } = {},
  ): Promise<void> {
    const nowMs = this.#context.clock.nowMs();
    const { deployment, signal } = turn;
    const now = rfc3339Seconds(nowMs);
    const status = countsOnly
      ? countStatus(deployment, all, newSet, now)
      : rolloutStatus(deployment, all, newSet, nowMs, now);
    if (!sameStatus(deployment.status, status)) {
      await this.#writeStatus(turn, status);
      return;
    }
    // nothing moves: look again when the deadline is over
    const current = findCondition(status.conditions, 'Progressing');
    const endMs = deadlineEndMs(deployment, current);
    if (endMs === undefined || countsOnly || isComplete(deployment, status)) return;
    if (current?.reason === 'ProgressDeadlineExceeded' || current?.reason === 'NewReplicaSetAvailable') return;
    this.#queue.addAfter(objectKey(deployment), Math.max(1000, endMs - nowMs + 1000), signal);
  }

  async #writeStatus(turn: Turn, status: DeploymentStatus): Promise<void> {
    turn.deployment = await this.#context.client.updateStatus(deployments, { ...turn.deployment, status }, turn.signal);
  }

  #scaleEvent(deployment: Deployment, { metadata }: ReplicaSet, from: number, to: number): void {
    const direction = to > from ? 'up' : 'down';
    const message = `Scaled ${direction} replica set ${metadata.name} from ${from} to ${to}`;
    this.#event(deployment, 'Normal', 'ScalingReplicaSet', message);
  }

  #event(deployment: Deployment, type: 'Normal' | 'Warning', reason: string, message: string): void {
    this.#events.record(eventTarget(deployments, deployment), type, reason, message);
  }
}

/** The oldest ReplicaSet that has the Deployment's template. */
function findNewSet({ spec }: Deployment, sets: readonly ReplicaSet[]): ReplicaSet | undefined {
  return sets.toSorted(byAge).find((rs) => sameTemplate(rs.spec.template, spec.template));
}
