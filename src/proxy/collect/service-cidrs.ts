import type { Clock } from '../../base/clock.ts';
import { isNotFound } from '../../base/errors.ts';
import type { Logger } from '../../base/logger.ts';
import type { ApiClient, ResourceType } from '../../client/api-client.ts';
import { Informer } from '../../client/informer.ts';
import type { ServiceCIDR } from '../../objects/generated/networking-v1.ts';
import { parseCidr } from '../compute/ip-ranges.ts';
import type { IpFamily } from '../proxy-model.ts';

const serviceCidrs: ResourceType<ServiceCIDR> = {
  prefix: '/apis/networking.k8s.io/v1',
  plural: 'servicecidrs',
  kind: 'ServiceCIDR',
  namespaced: false,
};

export interface ServiceCidrsNeed {
  client: Pick<ApiClient, 'list' | 'watch'>;
  clock: Clock;
  log: Logger;
}

/** An API server of an older version may be replaced by one that knows the type. */
const lookAgainMs = 10 * 60_000;

/** Owns the ranges that cluster IPs come from, as the API has them now. */
export class ServiceCidrs {
  readonly #need: ServiceCidrsNeed;
  readonly #informer: Informer<ServiceCIDR>;

  constructor(need: ServiceCidrsNeed) {
    this.#need = need;
    this.#informer = new Informer<ServiceCIDR>({ ...need, type: serviceCidrs, trim });
  }

  /** Undefined until the API has told them. In byte order, each once. */
  of(family: IpFamily): readonly string[] | undefined {
    if (!this.#informer.hasSynced) return undefined;
    const all = this.#informer.list().flatMap(({ spec }) => spec?.cidrs ?? []);
    return [...new Set(all)].filter((cidr) => parseCidr(cidr)?.family === family).toSorted();
  }

  /** `onChange` is called when the list is there, and at each change after that. */
  async run(onChange: () => void, signal: AbortSignal): Promise<void> {
    const { client, clock, log } = this.#need;
    for (let isTold = false; !signal.aborted; isTold = true) {
      try {
        await client.list(serviceCidrs, {}, signal);
        break;
      } catch (err) {
        if (!isNotFound(err)) break; // the informer tries again, and says why
        if (!isTold) log.info({}, 'the API server has no ServiceCIDRs');
        await clock.sleep(lookAgainMs, signal);
      }
    }
    const changed = (): void => {
      if (this.#informer.hasSynced) onChange();
    };
    this.#informer.addHandlers({ onAdd: changed, onUpdate: changed, onDelete: changed });
    await Promise.all([this.#informer.run(signal), this.#informer.whenSynced(signal).then(onChange)]);
  }
}

function trim({ metadata: { name, uid, resourceVersion }, spec }: ServiceCIDR): ServiceCIDR {
  return { metadata: { name, uid, resourceVersion }, spec: { cidrs: spec?.cidrs } };
}
