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
  onSet(pods: readonly Pod[]): void;
  /** One change after the first set; undefined: the pod is gone. */
  onPod(uid: string, pod: Pod | undefined): void;
}

export class ApiSource {
  readonly #need: ApiSourceNeed;

  constructor(need: ApiSourceNeed) {
    this.#need = need;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { informer, onSet, onPod } = this.#need;
    let hasSet = false;
    informer.addHandlers({
      onAdd: (pod) => {
        if (hasSet) onPod(uidOf(pod), pod);
      },
      onUpdate: (_, pod) => {
        if (hasSet) onPod(uidOf(pod), pod);
      },
      onDelete: (pod) => {
        if (hasSet) onPod(uidOf(pod), undefined);
      },
    });
    await runTogether(signal, [
      (s) => informer.run(s),
      async (s) => {
        await informer.whenSynced(s);
        if (s.aborted) return;
        hasSet = true;
        onSet(informer.list());
        await new Promise<void>((resolve) => s.addEventListener('abort', () => resolve(), { once: true }));
      },
    ]);
  }
}
