/** Makes sure that every active namespace has the ServiceAccount "default". Needs: informers of both. */
import { isConflict, isNotFound } from '../../base/errors.ts';
import type { WorkQueue } from '../../base/work-queue.ts';
import type { Informer } from '../../client/informer.ts';
import { namespaces, serviceAccounts } from '../../client/resource-types.ts';
import type { Namespace, ServiceAccount } from '../../objects/generated/core-v1.ts';
import { isNamespaceTerminating } from '../namespace/is-namespace-terminating.ts';
import { type Controller, type ControllerContext, reconcileQueue, runQueue } from '../controller.ts';

export class ServiceAccountController implements Controller {
  readonly #context: ControllerContext;
  readonly #queue: WorkQueue;
  readonly #namespaces: Informer<Namespace>;
  readonly #serviceAccounts: Informer<ServiceAccount>;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#queue = reconcileQueue(context, 'serviceaccount');
    this.#namespaces = context.informers.of(namespaces);
    this.#serviceAccounts = context.informers.of(serviceAccounts);
    const add = ({ metadata }: Namespace): void => this.#queue.add(metadata.name);
    this.#namespaces.addHandlers({ onAdd: add, onUpdate: (_, namespace) => add(namespace) });
    this.#serviceAccounts.addHandlers({ onDelete: ({ metadata }) => this.#queue.add(metadata.namespace ?? '') });
  }

  async run(signal: AbortSignal): Promise<void> {
    const informers = [this.#namespaces, this.#serviceAccounts];
    await runQueue(this.#queue, informers, (key, inner) => this.#sync(key, inner), signal);
  }

  async #sync(namespace: string, signal: AbortSignal): Promise<void> {
    const found = this.#namespaces.get({ name: namespace });
    const isActive = found?.status?.phase !== 'Terminating' && found?.metadata.deletionTimestamp === undefined;
    const metadata = { name: 'default', namespace };
    if (found === undefined || !isActive || this.#serviceAccounts.get(metadata) !== undefined) return;
    try {
      await this.#context.client.create(serviceAccounts, { metadata }, signal);
    } catch (err) {
      const isMoot = isConflict(err) || isNotFound(err) || isNamespaceTerminating(err);
      if (!isMoot) throw err; // else somebody was faster, or the namespace is going
    }
  }
}
