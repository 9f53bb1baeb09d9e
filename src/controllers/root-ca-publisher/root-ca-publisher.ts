/** Publishes the cluster's CA certificate as a ConfigMap in every namespace. Needs: informers of both. */
import { isConflict, isNotFound } from '../../base/errors.ts';
import type { WorkQueue } from '../../base/work-queue.ts';
import type { Informer } from '../../client/informer.ts';
import { withoutManagedFields } from '../../client/shared-informers.ts';
import { configMaps, namespaces } from '../../client/resource-types.ts';
import type { ConfigMap, Namespace } from '../../objects/generated/core-v1.ts';
import { isNamespaceTerminating } from '../namespace/is-namespace-terminating.ts';
import { type Controller, type ControllerContext, reconcileQueue, runQueue } from '../controller.ts';

export const rootCaName = 'kube-root-ca.crt';
const descriptionKey = 'kubernetes.io/description';
const description =
  'The CA bundle for verifying connections to this cluster’s API server from inside pods. Not meant for other servers.';

export class RootCaPublisher implements Controller {
  readonly #context: ControllerContext;
  readonly #caPem: string;
  readonly #queue: WorkQueue;
  readonly #namespaces: Informer<Namespace>;
  readonly #configMaps: Informer<ConfigMap>;

  constructor(context: ControllerContext, caPem: string) {
    this.#context = context;
    this.#caPem = caPem;
    this.#queue = reconcileQueue(context, 'root-ca-certificate-publisher');
    this.#namespaces = context.informers.of(namespaces);
    // other config maps are nobody's business here: only their names are kept
    this.#configMaps = context.informers.of(configMaps, (configMap) =>
      withoutManagedFields(configMap.metadata.name === rootCaName ? configMap : { metadata: configMap.metadata }),
    );
    this.#namespaces.addHandlers({ onAdd: ({ metadata }) => this.#queue.add(metadata.name) });
    const add = ({ metadata }: ConfigMap): void => {
      if (metadata.name === rootCaName) this.#queue.add(metadata.namespace ?? '');
    };
    this.#configMaps.addHandlers({ onUpdate: (_, configMap) => add(configMap), onDelete: add });
  }

  async run(signal: AbortSignal): Promise<void> {
    const informers = [this.#namespaces, this.#configMaps];
    await runQueue(this.#queue, informers, (key, inner) => this.#sync(key, inner), signal);
  }

  async #sync(namespace: string, signal: AbortSignal): Promise<void> {
    const { client } = this.#context;
    const found = this.#namespaces.get({ name: namespace });
    if (found === undefined || found.status?.phase === 'Terminating') return;
    const existing = this.#configMaps.get({ namespace, name: rootCaName });
    const data = { 'ca.crt': this.#caPem };
    const described = existing?.metadata.annotations?.[descriptionKey] ?? '';
    const isRight = Object.keys(existing?.data ?? {}).length === 1 && existing?.data?.['ca.crt'] === this.#caPem;
    if (isRight && described !== '') return;
    try {
      if (existing === undefined) {
        const metadata = { name: rootCaName, namespace, annotations: { [descriptionKey]: description } };
        await client.create(configMaps, { metadata, data }, signal);
      } else {
        const annotations = { ...existing.metadata.annotations, [descriptionKey]: described || description };
        await client.update(configMaps, { ...existing, metadata: { ...existing.metadata, annotations }, data }, signal);
      }
    } catch (err) {
      if (isNotFound(err) || isNamespaceTerminating(err)) return;
      if (!isConflict(err) || existing !== undefined) throw err; // somebody created it just now: its event comes
    }
  }
}
