/**
 * What becomes of each change in what should run: a new pod is asked whether it fits and goes to its lane, or is
 * refused with a reason; everything else goes to the lane it has. New pods are asked one after the other: while others
 * make room for a critical one, those behind it wait.
 *
 * A pod that runs already is not asked again: a restart of the kubelet throws nobody out. Whoever was refused stays so.
 */
import { describeError } from '../../base/errors.ts';
import { KeyedRunner } from '../../base/keyed-runner.ts';
import type { Logger } from '../../base/logger.ts';
import { aborted } from '../../base/run-together.ts';
import type { Node, Pod } from '../../objects/generated/core-v1.ts';
import { isCriticalPod, isMirrorPod, isTerminalPhase, podKey, uidOf } from '../pod-model.ts';
import type { PodChange } from '../pod-model.ts';
import { type AdmitInput, type Rejection, admitPod } from './admit-pod.ts';
import type { PodWorkers } from './pod-workers.ts';
import { selectVictims } from './select-victims.ts';

interface PodIntakeNeed {
  workers: Pick<PodWorkers, 'update' | 'state'>;
  /** All pods that should run here. */
  pods(): readonly Pod[];
  /** The static pod that a mirror stands for. */
  staticOf(mirror: Pod): Pod | undefined;
  /** The runtime has a container of the pod that runs, or a sandbox that is ready. */
  isRunning(uid: string): boolean;
  node(): Node | undefined;
  /** The node as the API has it this moment; undefined without an API. */
  readNode(signal: AbortSignal): Promise<Node | undefined>;
  forbidden: AdmitInput['forbidden'];
  unsupported: AdmitInput['unsupported'];
  /** Ends a pod for the sake of a critical one, and waits until nothing of it runs or its time is over. */
  preempt(victim: Pod, missing: string, signal: AbortSignal): Promise<void>;
  /** What pods were given, which may differ from what they ask for now. */
  resizes: {
    given(pod: Pod): Pod;
    take(pod: Pod, isRunning: boolean): void;
    updated(pod: Pod): void;
    retry(): void;
  };
  onAdmitted(pod: Pod): void;
  onRejected(pod: Pod, rejection: Rejection): void;
  /** The API's copy of a pod has changed, or its mirror has. */
  onCopyChanged(uid: string): void;
  /** The API shows a pod as evicted: nothing of it is of use any more. */
  onEvicted(uid: string): void;
  /** Metadata that a running pod may show to itself has changed. */
  onUpdated(pod: Pod, old: Pod): void;
  log: Logger;
}

export class PodIntake {
  readonly #need: PodIntakeNeed;
  readonly #rejected = new Set<string>();
  /** New pods that nobody has decided about yet, by uid, in the order of their arrival. */
  readonly #waiting = new Set<string>();
  readonly #runner = new KeyedRunner(() => this.#decideAll());
  #signal: AbortSignal = AbortSignal.abort();

  constructor(need: PodIntakeNeed) {
    this.#need = need;
  }

  /** Lives until `signal` aborts, then waits for the decision in progress. */
  async run(signal: AbortSignal): Promise<void> {
    this.#signal = signal;
    this.#runner.mark('');
    await aborted(signal);
    await this.#runner.whenIdle();
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
    if (this.#waiting.size > 0 && !this.#signal.aborted) this.#runner.mark('');
    this.#need.resizes.retry(); // room may have been made, or asked for
  }

  /** Why the node would not take this pod beside those that are here; undefined when it would. */
  refusal(pod: Pod): Rejection | undefined {
    return this.#ask(pod, this.#need.node());
  }

  #takeOne(change: PodChange): void {
    const { workers, resizes, onCopyChanged, onUpdated } = this.#need;
    const { pod } = change;
    const uid = uidOf(pod);
    // Whoever waits to be decided about is decided about as it is then.
    if (this.#waiting.has(uid) && change.kind !== 'remove') return;
    switch (change.kind) {
      case 'add':
        this.#takeNew(pod);
        return;
      case 'update':
        onCopyChanged(uid);
        // One that was refused, and is to go now, has a lane only for its end.
        if (this.#rejected.has(uid) && pod.metadata.deletionTimestamp === undefined) return;
        resizes.updated(pod);
        workers.update({ pod: resizes.given(pod) });
        onUpdated(pod, change.old);
        return;
      case 'reconcile':
        onCopyChanged(uid);
        // the lane judges gates by the conditions of the pod that it has: it needs the newest
        if (
          workers.state(uid) !== undefined &&
          (isTerminalPhase(pod.status?.phase) || (pod.spec.readinessGates ?? []).length > 0)
        )
          workers.update({ pod: resizes.given(pod) });
        if (pod.status?.phase === 'Failed' && pod.status.reason === 'Evicted') this.#need.onEvicted(uid);
        return;
      case 'remove':
        this.#waiting.delete(uid);
        this.#rejected.delete(uid);
        // Gone from the API, or its file is: it keeps the grace period of its spec.
        if (workers.state(uid) !== undefined) workers.update({ pod: resizes.given(pod), kill: {} });
        return;
    }
  }

  #takeNew(pod: Pod): void {
    const { workers, isRunning, resizes } = this.#need;
    const uid = uidOf(pod);
    if (wasRejected(pod) && !isRunning(uid)) {
      this.#rejected.add(uid);
      return;
    }
    if (this.#isToDecide(pod)) {
      this.#waiting.add(uid);
      return;
    }
    const hasEnded = isTerminalPhase(pod.status?.phase) && !isRunning(uid);
    if (!hasEnded) resizes.take(pod, isRunning(uid));
    workers.update({ pod: resizes.given(pod), hasEnded, isNew: true });
  }

  #isToDecide(pod: Pod): boolean {
    const uid = uidOf(pod);
    return (
      pod.metadata.deletionTimestamp === undefined &&
      !isTerminalPhase(pod.status?.phase) &&
      !this.#need.isRunning(uid) &&
      this.#need.workers.state(uid) === undefined // one of this uid is on its way out: it comes back when that is gone
    );
  }

  /** Without a pause between decisions that need none: pods that came together are decided about together. */
  async #decideAll(): Promise<void> {
    const signal = this.#signal;
    for (const uid of this.#waiting) {
      const wanted = this.#newest(uid);
      const pod = wanted === undefined ? undefined : this.#need.resizes.given(wanted);
      if (pod !== undefined && this.#isToDecide(pod)) {
        const quick = this.#ask(pod, this.#need.node());
        const rejection = isPlain(pod, quick) ? quick : await this.#askTwice(pod, quick, signal);
        if (signal.aborted) return;
        this.#waiting.delete(uid);
        this.#settle(uid, rejection);
      } else {
        this.#waiting.delete(uid);
        if (wanted !== undefined) this.#takeNew(wanted);
      }
    }
  }

  /** What a node label may have been too new for, or what others can make room for. */
  async #askTwice(pod: Pod, first: Rejection | undefined, signal: AbortSignal): Promise<Rejection | undefined> {
    const { log, preempt, readNode } = this.#need;
    let node = this.#need.node();
    let rejection = first;
    if (rejection?.reason === 'NodeAffinity') {
      try {
        node = (await readNode(signal)) ?? node;
      } catch (err) {
        if (!signal.aborted) log.warn({ pod: podKey(pod), reason: describeError(err) }, 'cannot read the node anew');
      }
      rejection = this.#ask(pod, node);
    }
    if (rejection?.missing === undefined || !isCriticalPod(pod)) return rejection;
    const others = this.#holders(uidOf(pod));
    const refusal = this.#ask(pod, node, true);
    if (refusal !== undefined) return refusal; // nobody makes room for one that could not use it
    const victims = selectVictims(pod, others, rejection.missing);
    if (victims.kind === 'none') {
      return {
        reason: 'UnexpectedAdmissionError',
        message: `Unexpected error while attempting to recover from admission failure: ${victims.problem}`,
      };
    }
    for (const victim of victims.pods) {
      log.info({ pod: podKey(victim), uid: uidOf(victim), critical: podKey(pod) }, 'pod makes room for a critical one');
      await preempt(victim, rejection.missing[0]?.resource ?? '', signal);
    }
    return undefined;
  }

  #ask(pod: Pod, node: Node | undefined, hasRoom = false): Rejection | undefined {
    const { forbidden, unsupported } = this.#need;
    try {
      return admitPod({ pod, others: this.#holders(uidOf(pod)), node, forbidden, unsupported, hasRoom });
    } catch (err) {
      // what cannot be judged is refused: a pod must never take the others with it
      const message = `Unexpected error while admitting the pod: ${describeError(err)}`;
      return { reason: 'UnexpectedAdmissionError', message };
    }
  }

  #settle(uid: string, rejection: Rejection | undefined): void {
    const { workers, resizes, onAdmitted, onRejected, log } = this.#need;
    const pod = this.#newest(uid);
    if (pod === undefined) return; // gone meanwhile
    if (rejection === undefined) {
      onAdmitted(pod);
      resizes.take(pod, false);
      workers.update({ pod: resizes.given(pod), hasEnded: false, isNew: true });
      return;
    }
    const { reason, message } = rejection;
    this.#rejected.add(uid);
    log.info({ pod: podKey(pod), uid, reason, message }, 'pod rejected');
    onRejected(pod, { reason, message });
  }

  #newest(uid: string): Pod | undefined {
    return this.#need.pods().find((pod) => uidOf(pod) === uid);
  }

  /** Pods that hold resources: not refused, not finished. */
  #holders(uid: string): Pod[] {
    const holders = this.#need.pods().filter((other) => {
      const otherUid = uidOf(other);
      if (otherUid === uid || this.#rejected.has(otherUid)) return false;
      const state = this.#need.workers.state(otherUid);
      return state !== undefined && state.phase !== 'terminated' && state.phase !== 'finished';
    });
    return holders.map((other) => this.#need.resizes.given(other));
  }
}

/** Whether the first answer is the last. */
const isPlain = (pod: Pod, rejection: Rejection | undefined): boolean =>
  rejection === undefined ||
  (rejection.reason !== 'NodeAffinity' && (rejection.missing === undefined || !isCriticalPod(pod)));

/** Refused before this process began: nothing of it ever ran here, and its status says all there is to say. */
const wasRejected = ({ metadata, status }: Pod): boolean =>
  metadata.deletionTimestamp === undefined &&
  status?.phase === 'Failed' &&
  status.message?.startsWith('Pod was rejected: ') === true &&
  status.containerStatuses === undefined;
