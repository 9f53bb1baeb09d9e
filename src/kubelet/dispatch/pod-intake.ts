/**
 * What becomes of each change in what should run: a new pod is asked whether it fits and goes to its lane, or is
 * refused with a reason; everything else goes to the lane it has.
 *
 * A pod that runs already is not asked again: a restart of the kubelet throws nobody out. Whoever was refused stays so.
 */
import type { Logger } from '../../base/logger.ts';
import type { Node, Pod } from '../../objects/generated/core-v1.ts';
import { isMirrorPod, isTerminalPhase, podKey, uidOf } from '../pod-model.ts';
import type { PodChange } from '../pod-model.ts';
import { type Rejection, admitPod } from './admit-pod.ts';
import type { PodWorkers } from './pod-workers.ts';

interface PodIntakeNeed {
  workers: Pick<PodWorkers, 'update' | 'mark' | 'state'>;
  /** All pods that should run here. */
  pods(): readonly Pod[];
  /** The static pod that a mirror stands for. */
  staticOf(mirror: Pod): Pod | undefined;
  /** The runtime has a container of the pod that runs, or a sandbox that is ready. */
  isRunning(uid: string): boolean;
  node(): Node | undefined;
  unsupported(pod: Pod): Rejection | undefined;
  onAdmitted(pod: Pod): void;
  onRejected(pod: Pod, rejection: Rejection): void;
  /** The API's copy of a pod has changed, or its mirror has. */
  onCopyChanged(uid: string): void;
  /** Metadata that a running pod may show to itself has changed. */
  onUpdated(pod: Pod): void;
  log: Logger;
}

export class PodIntake {
  readonly #need: PodIntakeNeed;
  readonly #rejected = new Set<string>();

  constructor(need: PodIntakeNeed) {
    this.#need = need;
  }

  isRejected(uid: string): boolean {
    return this.#rejected.has(uid);
  }

  take(changes: readonly PodChange[]): void {
    for (const change of changes) {
      if (isMirrorPod(change.pod)) {
        const pod = this.#need.staticOf(change.pod);
        if (pod !== undefined) this.#need.onCopyChanged(uidOf(pod));
      } else {
        this.#takeOne(change);
      }
    }
  }

  #takeOne(change: PodChange): void {
    const { workers, onCopyChanged, onUpdated } = this.#need;
    const { pod } = change;
    const uid = uidOf(pod);
    switch (change.kind) {
      case 'add':
        if (this.#isWelcome(pod)) {
          workers.update({ pod, hasEnded: isTerminalPhase(pod.status?.phase) && !this.#need.isRunning(uid) });
        }
        return;
      case 'update':
        onCopyChanged(uid);
        // One that was refused, and is to go now, has a lane only for its end.
        if (this.#rejected.has(uid) && pod.metadata.deletionTimestamp === undefined) return;
        workers.update({ pod });
        onUpdated(pod);
        return;
      case 'reconcile':
        onCopyChanged(uid);
        if (workers.state(uid) !== undefined && isTerminalPhase(pod.status?.phase)) workers.update({ pod });
        else if ((pod.spec.readinessGates ?? []).length > 0) workers.mark(uid);
        return;
      case 'remove':
        this.#rejected.delete(uid);
        // Gone from the API, or its file is: it keeps the grace period of its spec.
        if (workers.state(uid) !== undefined) workers.update({ pod, kill: {} });
        return;
    }
  }

  #isWelcome(pod: Pod): boolean {
    const { isRunning, node, unsupported, onAdmitted, onRejected, log } = this.#need;
    const uid = uidOf(pod);
    const isNew =
      pod.metadata.deletionTimestamp === undefined && !isTerminalPhase(pod.status?.phase) && !isRunning(uid);
    if (wasRejected(pod) && !isRunning(uid)) {
      this.#rejected.add(uid);
      return false;
    }
    if (!isNew) return true;
    const rejection = admitPod({ pod, others: this.#holders(uid), node: node(), unsupported });
    if (rejection === undefined) {
      onAdmitted(pod);
      return true;
    }
    this.#rejected.add(uid);
    log.info({ pod: podKey(pod), uid, ...rejection }, 'pod rejected');
    onRejected(pod, rejection);
    return false;
  }

  /** Pods that hold resources: not refused, not finished. */
  #holders(uid: string): Pod[] {
    return this.#need.pods().filter((other) => {
      const otherUid = uidOf(other);
      if (otherUid === uid || this.#rejected.has(otherUid)) return false;
      const state = this.#need.workers.state(otherUid);
      return state !== undefined && state.phase !== 'terminated' && state.phase !== 'finished';
    });
  }
}

/** Refused before this process began: nothing of it ever ran here, and its status says all there is to say. */
const wasRejected = ({ metadata, status }: Pod): boolean =>
  metadata.deletionTimestamp === undefined &&
  status?.phase === 'Failed' &&
  status.message?.startsWith('Pod was rejected: ') === true &&
  status.containerStatuses === undefined;
