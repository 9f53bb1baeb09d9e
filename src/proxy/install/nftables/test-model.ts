/** A proxy of the model cluster, for tests: what is told of Services and slices comes out as transactions. */
import { FakeClock } from '../../../base/clock.ts';
import { silentLogger } from '../../../base/logger.ts';
import { objectKey } from '../../../objects/object-key.ts';
import { knownService, knownSlice } from '../../collect/known-objects.ts';
import { ServiceTracker } from '../../collect/service-tracker.ts';
import { masqueradeMark } from '../../compute/iptables/static-rules.ts';
import { localTraffic } from '../../compute/local-traffic.ts';
import { modelClusterCidrs, modelNode, modelServices, modelSlices } from '../../compute/model-cluster.ts';
import { nodePortAddresses } from '../../compute/node-port-addresses.ts';
import type { LocalDetection } from '../../proxy-config.ts';
import type { IpFamily } from '../../proxy-model.ts';
import type { SyncReport } from '../installer.ts';
import { NftablesInstaller } from './nftables-installer.ts';
import { TestTable } from './test-table.ts';

const never = new AbortController().signal;

export interface ModelVariant {
  family?: IpFamily;
  /** Only these Services; all of them when it is not said. */
  services?: string[];
  detection?: LocalDetection;
  addresses?: string[];
  masqueradeAll?: boolean;
  serviceCidrs?: string[];
}

export class ModelProxy {
  readonly #variant: ModelVariant;
  readonly #tracker = new ServiceTracker();
  readonly clock = new FakeClock();
  readonly table: TestTable;
  readonly installer: NftablesInstaller;
  cleanUpFailures = 0;

  constructor(variant: ModelVariant = {}, table = new TestTable()) {
    this.#variant = variant;
    this.table = table;
    const { family = 'IPv4', addresses = ['primary'], masqueradeAll = false } = variant;
    const detection = variant.detection ?? { mode: 'ClusterCIDR', clusterCidrs: modelClusterCidrs };
    this.installer = new NftablesInstaller(
      {
        family,
        masqueradeMark: masqueradeMark(14),
        masqueradeAll,
        nodePortAddresses: () => nodePortAddresses(addresses, modelNode.ips, family),
        localTraffic: () => localTraffic(detection, [], family),
      },
      {
        nft: table,
        interfaceIps: () => ['127.0.0.1', '::1', ...modelNode.ips],
        onCleanUpFailed: () => void this.cleanUpFailures++,
        clock: this.clock,
        log: silentLogger,
      },
    );
    for (const service of modelServices) {
      if (variant.services?.includes(service.metadata.name) ?? true) this.put(objectKey(service));
    }
    for (const key of new Set(modelSlices.map((slice) => knownSlice(slice, modelNode.name).serviceKey))) {
      this.keepEndpoints(key ?? '', Number.POSITIVE_INFINITY);
    }
  }

  put(serviceKey: string): void {
    const service = modelServices.find((one) => objectKey(one) === serviceKey);
    if (service === undefined) throw new Error(`the model has no Service "${serviceKey}"`);
    this.#tracker.setService(serviceKey, knownService(service).ports[this.#variant.family ?? 'IPv4']);
  }

  remove(serviceKey: string): void {
    this.#tracker.setService(serviceKey, []);
  }

  /** Takes the first so many endpoints of each slice of a Service only. */
  keepEndpoints(key: string, count: number): void {
    for (const slice of modelSlices) {
      const few = knownSlice({ ...slice, endpoints: (slice.endpoints ?? []).slice(0, count) }, modelNode.name);
      if (few.serviceKey !== key || few.family !== (this.#variant.family ?? 'IPv4')) continue;
      this.#tracker.setSlice(key, slice.metadata.name, few.endpoints);
    }
  }

  async sync(all?: 'all'): Promise<SyncReport> {
    const { family = 'IPv4', serviceCidrs } = this.#variant;
    const taken = await this.#tracker.take();
    const node = { ...modelNode, ip: modelNode.ips[family === 'IPv4' ? 0 : 1] };
    return this.installer.sync({ services: this.#tracker.states, changed: all ?? taken, node, serviceCidrs }, never);
  }

  /** The commands of one sync. */
  async commands(all?: 'all'): Promise<string> {
    this.table.applied.length = 0;
    await this.sync(all);
    return this.table.applied.join('\n');
  }
}
