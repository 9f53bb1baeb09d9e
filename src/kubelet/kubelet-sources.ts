/** Where pods come from, plugged together: the API, manifests and a URL into one store, and the mirrors of static pods. */
import type { Clock } from '../base/clock.ts';
import { describeError } from '../base/errors.ts';
import { KeyedRunner } from '../base/keyed-runner.ts';
import type { Logger } from '../base/logger.ts';
import { runTogether } from '../base/run-together.ts';
import type { ApiClient } from '../client/api-client.ts';
import type { KubeletConfig } from './config.ts';
import { ApiSource } from './desired/api-source.ts';
import { FileSource } from './desired/file-source.ts';
import { getUrl } from './desired/http-get.ts';
import { HttpSource } from './desired/http-source.ts';
import { MirrorPods } from './desired/mirror-pods.ts';
import type { PodDoor } from './desired/pod-door.ts';
import { PodStore } from './desired/pod-store.ts';
import type { KubeletApi } from './kubelet-api.ts';
import { type PodChange, type PodEvents, type PodSource, isStaticPod, podDescription, uidOf } from './pod-model.ts';

interface SourcesContext {
  config: KubeletConfig;
  client: ApiClient | undefined;
  /** Undefined: standalone. */
  api: KubeletApi | undefined;
  door: PodDoor;
  onChanges(changes: readonly PodChange[]): void;
  events: PodEvents;
  clock: Clock;
  log: Logger;
}

/** A mirror that somebody deleted, or that could not be made yet, comes back after so long. */
const mirrorPeriodMs = 10_000;

export class Sources {
  readonly store: PodStore;
  readonly #context: SourcesContext;
  readonly #api: ApiSource | undefined;
  readonly #others: ReadonlyArray<FileSource | HttpSource>;
  readonly #mirrors: MirrorPods | undefined;
  readonly #mirrorRunner = new KeyedRunner((uid) => this.#ensureMirror(uid));
  #signal: AbortSignal = AbortSignal.abort();

  constructor(context: SourcesContext) {
    const { config, client, api, events, clock, log } = context;
    const { nodeName } = config;
    this.#context = context;
    const sources: PodSource[] = [
      ...(client === undefined ? [] : (['api'] as const)),
      ...(config.staticPodPath === '' ? [] : (['file'] as const)),
      ...(config.staticPodUrl === '' ? [] : (['http'] as const)),
    ];
    this.store = new PodStore({
      sources,
      onChanges: (changes) => {
        for (const { pod } of changes) if (isStaticPod(pod)) this.markMirror(uidOf(pod));
        context.onChanges(changes);
      },
      onDuplicate: (pod, source) => {
        const message = `Error validating pod ${podDescription(pod)} from ${source} due to duplicate pod name "${pod.metadata.name}", ignoring`;
        events.pod(pod, 'Warning', 'FailedValidation', message);
      },
      clock,
      log,
    });
    this.#api = api === undefined ? undefined : this.#apiSource(api);
    const file = new FileSource({
      path: config.staticPodPath,
      nodeName,
      periodMs: config.fileCheckPeriodMs,
      onPods: (pods) => this.store.setAll('file', pods),
      clock,
      log,
    });
    const http = new HttpSource({
      url: config.staticPodUrl,
      nodeName,
      periodMs: config.httpCheckPeriodMs,
      get: (url, signal) => getUrl(url, config.staticPodUrlHeaders, signal),
      onPods: (pods) => this.store.setAll('http', pods),
      clock,
      log,
    });
    this.#others = [...(config.staticPodPath === '' ? [] : [file]), ...(config.staticPodUrl === '' ? [] : [http])];
    this.#mirrors = client === undefined ? undefined : new MirrorPods({ api: client, node: () => api?.ownNode });
    api?.node.addHandlers({ onAdd: () => this.#markMirrors() }); // mirrors name the node as their owner
  }

  #apiSource(api: KubeletApi): ApiSource {
    const { door, events, log } = this.#context;
    return new ApiSource({
      informer: api.pods,
      problemsOf: (pod) => door.problemsOf(pod),
      isNobody: (pod) => door.isNobody(pod),
      known: (uid) => this.store.get(uid),
      onUnusable: (pod, problems) => {
        const message = `Error validating pod ${podDescription(pod)} from api: ${problems.join('; ')}, ignoring`;
        if (!door.isNobody(pod)) events.pod(pod, 'Warning', 'FailedValidation', message);
        const { resourceVersion } = pod.metadata;
        log.error({ resourceVersion, message }, 'the API brought a pod that cannot be used');
      },
      onSet: (pods) => this.store.setAll('api', pods),
      onPod: (uid, pod) => this.store.setOne('api', uid, pod),
    });
  }

  /** Why a pod of the API is refused whatever the node is like. */
  refusalOf(uid: string): string | undefined {
    return this.#api?.refusalOf(uid);
  }

  /** The mirror of a static pod may not be as it should. */
  markMirror(uid: string): void {
    this.#mirrorRunner.mark(uid);
  }

  get mirrors(): MirrorPods | undefined {
    return this.#mirrors;
  }

  /** @param whenReady resolves when the kubelet can take pods: until then the sources are silent */
  async run(whenReady: (signal: AbortSignal) => Promise<void>, signal: AbortSignal): Promise<void> {
    const { api, clock } = this.#context;
    this.#signal = signal;
    const [apiSource, others] = [this.#api, this.#others];
    try {
      await runTogether(signal, [
        ...others.map((source) => (s: AbortSignal) => whenReady(s).then(() => source.run(s))),
        ...(apiSource === undefined
          ? []
          : [
              async (s: AbortSignal) => {
                await whenReady(s);
                await api?.node.whenSynced(s); // labels and taints that only the API knows decide about admission
                await apiSource.run(s);
              },
            ]),
        async (s) => {
          while (!s.aborted) {
            this.#markMirrors();
            await clock.sleep(mirrorPeriodMs, s);
          }
        },
      ]);
    } finally {
      await this.#mirrorRunner.whenIdle();
    }
  }

  #markMirrors(): void {
    for (const pod of this.store.list()) if (isStaticPod(pod)) this.markMirror(uidOf(pod));
  }

  async #ensureMirror(uid: string): Promise<void> {
    const pod = this.store.get(uid);
    const signal = this.#signal;
    if (this.#mirrors === undefined || pod === undefined || !isStaticPod(pod) || signal.aborted) return;
    try {
      await this.#mirrors.ensure(pod, this.store.mirrorOf(pod), signal);
    } catch (err) {
      if (signal.aborted) return;
      const reason = describeError(err);
      this.#context.log.info({ pod: pod.metadata.name, reason }, 'cannot create the mirror pod yet, will retry');
    }
  }
}
