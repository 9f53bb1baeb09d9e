/** Pods that the API server binds to this node: the whole set once, then each change. */
import { runTogether } from '../../base/run-together.ts';
import type { InformerHandlers } from '../../client/informer.ts';
import type { Pod } from '../../objects/generated/core-v1.ts';
import { uidOf } from '../pod-model.ts';

interface ApiSourceNeed {
  /** A list-watch of the pods whose `spec.nodeName` is this node, in all namespaces. */
  informer: {
    addHandlers(handlers: InformerHandlers<Pod>): void;
    whenSynced(signal: AbortSignal): Promise<void>;
    list(): Pod[];
    run(signal: AbortSignal): Promise<void>;
  };
  /** Why a pod of the informer cannot run; empty for one that can. */
  problemsOf(pod: Pod): readonly string[];
  /** Nobody can answer for the pod: it has no name, no namespace or no uid that could be one. */
  isNobody(pod: Pod): boolean;
  /** What is known of a pod already. */
  known(uid: string): Pod | undefined;
  /** Said once of each version of a pod that nobody can answer for, or of an update that cannot be followed. */
  onUnusable(pod: Pod, problems: readonly string[]): void;
  onSet(pods: readonly Pod[]): void;
  /** One change after the first set; undefined: the pod is gone. */
  onPod(uid: string, pod: Pod | undefined): void;
}

export class ApiSource {
  readonly #need: ApiSourceNeed;
  /** Why pods were refused from the first, by uid. */
  readonly #refused = new Map<string, string>();

  constructor(need: ApiSourceNeed) {
    this.#need = need;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { informer, onSet, onPod } = this.#need;
    let hasSet = false;
    informer.addHandlers({
      onAdd: (pod) => {
        if (hasSet) this.#pass(pod);
      },
      onUpdate: (_, pod) => {
        if (hasSet) this.#pass(pod);
      },
      onDelete: (pod) => {
        if (!hasSet || this.#need.isNobody(pod)) return;
        onPod(uidOf(pod), undefined);
        this.#refused.delete(uidOf(pod));
      },
    });
    await runTogether(signal, [
      (s) => informer.run(s),
      async (s) => {
        await informer.whenSynced(s);
        if (s.aborted) return;
        hasSet = true;
        onSet(informer.list().flatMap((pod) => this.#usable(pod) ?? []));
        await new Promise<void>((resolve) => s.addEventListener('abort', () => resolve(), { once: true }));
      },
    ]);
  }

  /** Why the pod is refused whatever the node is like; undefined for one that can be run somewhere. */
  refusalOf(uid: string): string | undefined {
    return this.#refused.get(uid);
  }

  #pass(pod: Pod): void {
    const usable = this.#usable(pod);
    if (usable !== undefined) this.#need.onPod(uidOf(usable), usable);
  }

  /** A pod that can be acted on: refused by its problems if it is new, else as it was before with its new metadata. */
  #usable(pod: Pod): Pod | undefined {
    const { problemsOf, isNobody, known, onUnusable } = this.#need;
    const problems = problemsOf(pod);
    if (problems.length === 0) return pod;
    const uid = uidOf(pod);
    if (isNobody(pod)) {
      onUnusable(pod, problems);
      return undefined;
    }
    const before = this.#refused.has(uid) ? undefined : known(uid);
    if (before !== undefined) {
      onUnusable(pod, problems);
      return { ...pod, spec: before.spec };
    }
    this.#refused.set(uid, problems.join('; '));
    return pod;
  }
}
