/**
 * kube-controller-manager: the controllers by name, and how they live together.
 *
 * Owns: the shared informers and the event recorders. Promises: a controller's fault ends the process, for a half-dead
 * controller manager is worse than a restarted one.
 */
import type { Clock } from '../base/clock.ts';
import { ConfigError } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import { runTogether } from '../base/run-together.ts';
import type { ApiClient } from '../client/api-client.ts';
import { EventRecorder } from '../client/event-recorder.ts';
import { SharedInformers } from '../client/shared-informers.ts';
import { AttachDetachController, type AttachDetachOptions } from './attach-detach/attach-detach-controller.ts';
import type { Controller, ControllerContext } from './controller.ts';
import { DeploymentController } from './deployment/deployment-controller.ts';
import { EndpointsController } from './endpoints/endpoints-controller.ts';
import { EndpointSliceController } from './endpointslice/endpointslice-controller.ts';
import { EphemeralVolumeController } from './ephemeral-volume/ephemeral-volume-controller.ts';
import { GarbageCollector } from './garbage-collector/garbage-collector.ts';
import { NamespaceController } from './namespace/namespace-controller.ts';
import { NodeIpamController, type NodeIpamOptions } from './node-ipam/node-ipam-controller.ts';
import { NodeLifecycleController, type NodeLifecycleOptions } from './node-lifecycle/node-lifecycle-controller.ts';
import { PodGcController } from './pod-gc/pod-gc-controller.ts';
import { ReplicaSetController } from './replicaset/replicaset-controller.ts';
import { RootCaPublisher } from './root-ca-publisher/root-ca-publisher.ts';
import { ServiceAccountController } from './serviceaccount/serviceaccount-controller.ts';
import { TaintEvictionController } from './taint-eviction/taint-eviction-controller.ts';
import { VolumeBinder, type VolumeBinderOptions } from './volume-binding/volume-binder.ts';
import { VolumeExpander } from './volume-expansion/volume-expander.ts';
import { AttributesClassProtectionController } from './volume-protection/attributes-class-protection-controller.ts';
import { ClaimProtectionController } from './volume-protection/claim-protection-controller.ts';
import { VolumeProtectionController } from './volume-protection/volume-protection-controller.ts';

export interface ControllerManagerOptions {
  /** `--controllers`: names, `-name` to leave one out, `*` for all. */
  controllers: readonly string[];
  nodeLifecycle: NodeLifecycleOptions;
  /** Undefined without `--allocate-node-cidrs`. */
  nodeIpam: NodeIpamOptions | undefined;
  /** Undefined without `--root-ca-file`. */
  rootCaPem: string | undefined;
  terminatedPodThreshold: number;
  /** Time before a namespace's content is deleted, in ms; default 5 s. */
  namespaceSettleMs?: number;
  volumeBinding?: Partial<VolumeBinderOptions>;
  attachDetach?: Partial<AttachDetachOptions>;
}

type Make = (context: ControllerContext, options: ControllerManagerOptions) => Controller | undefined;

const makers: Readonly<Record<string, Make>> = {
  'serviceaccount-controller': (context) => new ServiceAccountController(context),
  'root-ca-certificate-publisher-controller': (context, { rootCaPem }) =>
    rootCaPem === undefined ? undefined : new RootCaPublisher(context, rootCaPem),
  'node-ipam-controller': (context, { nodeIpam }) =>
    nodeIpam === undefined ? undefined : new NodeIpamController(context, nodeIpam),
  'node-lifecycle-controller': (context, { nodeLifecycle }) => new NodeLifecycleController(context, nodeLifecycle),
  'taint-eviction-controller': (context) => new TaintEvictionController(context),
  'deployment-controller': (context) => new DeploymentController(context),
  'replicaset-controller': (context) => new ReplicaSetController(context),
  'endpointslice-controller': (context) => new EndpointSliceController(context),
  'endpoints-controller': (context) => new EndpointsController(context),
  'namespace-controller': (context, { namespaceSettleMs }) =>
    new NamespaceController(context, namespaceSettleMs === undefined ? {} : { settleMs: namespaceSettleMs }),
  'pod-garbage-collector-controller': (context, { terminatedPodThreshold }) =>
    new PodGcController(context, { terminatedThreshold: terminatedPodThreshold }),
  'garbage-collector-controller': (context) => new GarbageCollector(context),
  'persistentvolume-binder-controller': (context, { volumeBinding }) =>
    new VolumeBinder(context, { periodMs: 15_000, removeDirectory: undefined, ...volumeBinding }),
  'persistentvolume-attach-detach-controller': (context, { attachDetach }) =>
    new AttachDetachController(context, { forceAfterMs: 360_000, ...attachDetach }),
  'persistentvolumeclaim-protection-controller': (context) => new ClaimProtectionController(context),
  'persistentvolume-protection-controller': (context) => new VolumeProtectionController(context),
  'volumeattributesclass-protection-controller': (context) => new AttributesClassProtectionController(context),
  'persistentvolume-expander-controller': (context) => new VolumeExpander(context),
  'ephemeral-volume-controller': (context) => new EphemeralVolumeController(context),
};

/** The short names that `--controllers` also takes, as upstream's does. */
const aliases: Readonly<Record<string, string>> = {
  serviceaccount: 'serviceaccount-controller',
  'root-ca-cert-publisher': 'root-ca-certificate-publisher-controller',
  nodeipam: 'node-ipam-controller',
  nodelifecycle: 'node-lifecycle-controller',
  deployment: 'deployment-controller',
  replicaset: 'replicaset-controller',
  endpointslice: 'endpointslice-controller',
  endpoint: 'endpoints-controller',
  namespace: 'namespace-controller',
  podgc: 'pod-garbage-collector-controller',
  garbagecollector: 'garbage-collector-controller',
  'persistentvolume-binder': 'persistentvolume-binder-controller',
  attachdetach: 'persistentvolume-attach-detach-controller',
  'pvc-protection': 'persistentvolumeclaim-protection-controller',
  'pv-protection': 'persistentvolume-protection-controller',
  'vac-protection': 'volumeattributesclass-protection-controller',
  'persistentvolume-expander': 'persistentvolume-expander-controller',
  'ephemeral-volume': 'ephemeral-volume-controller',
};

/** Upstream's controllers that work on types or through features that we don't have: asking for them is no mistake. */
const elsewhere: ReadonlySet<string> = new Set([
  'bootstrapsigner',
  'bootstrap-signer-controller',
  'tokencleaner',
  'token-cleaner-controller',
]);

/** Pure: the names of the controllers to run. @throws {ConfigError} naming those that are unknown */
export function selectControllers(wanted: readonly string[]): string[] {
  const names = wanted.map((entry) => {
    const isOff = entry.startsWith('-');
    const name = isOff ? entry.slice(1) : entry;
    return { isOff, name: aliases[name] ?? name };
  });
  const unknown = names.filter(({ name }) => name !== '*' && makers[name] === undefined && !elsewhere.has(name));
  if (unknown.length > 0) {
    throw new ConfigError(
      'Cannot use --controllers',
      unknown.map(({ name }) => `"${name}" is not one of ${Object.keys(makers).join(', ')}`),
    );
  }
  const isAll = names.some(({ name, isOff }) => name === '*' && !isOff);
  return Object.keys(makers).filter((name) => {
    const own = names.find((entry) => entry.name === name);
    return own === undefined ? isAll : !own.isOff;
  });
}

export class ControllerManager {
  readonly #informers: SharedInformers;
  readonly #recorders: EventRecorder[] = [];
  readonly #controllers: Controller[] = [];

  /** @param client for informers and discovery; `clientOf` gives each controller its own share of requests */
  constructor(
    client: ApiClient,
    options: ControllerManagerOptions,
    clock: Clock,
    log: Logger,
    clientOf: (controller: string) => ApiClient = () => client,
  ) {
    this.#informers = new SharedInformers({ client, clock, log });
    for (const name of selectControllers(options.controllers)) {
      const own = clientOf(name);
      const context: ControllerContext = {
        client: own,
        watchClient: client,
        informers: this.#informers,
        eventsOf: (component) => {
          const recorder = new EventRecorder({ client: clientOf(component), component, clock, log });
          this.#recorders.push(recorder);
          return recorder;
        },
        clock,
        log,
      };
      const controller = makers[name]?.(context, options);
      if (controller !== undefined) this.#controllers.push(controller);
    }
  }

  /** Runs everything until `signal` aborts or a part fails. */
  async run(signal: AbortSignal): Promise<void> {
    await runTogether(
      signal,
      [this.#informers, ...this.#recorders, ...this.#controllers].map(
        (part) => (inner: AbortSignal) => part.run(inner),
      ),
    );
  }
}
