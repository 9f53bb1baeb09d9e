/**
 * What the kubelet reads from the API server, each thing as narrowly as it is allowed to: its pods, its node, services,
 * the objects that its pods name, tokens, runtime classes.
 */
import type { Clock } from '../base/clock.ts';
import { withDeadline } from '../base/deadline.ts';
import { NotFoundError, isNotFound } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { ApiClient } from '../client/api-client.ts';
import { Informer } from '../client/informer.ts';
import * as types from '../client/resource-types.ts';
import type {
  ConfigMap,
  Node,
  PersistentVolume,
  PersistentVolumeClaim,
  Pod,
  Secret,
  Service,
  ServiceAccount,
} from '../objects/generated/core-v1.ts';
import type { CSIDriver, VolumeAttachment } from '../objects/generated/storage-v1.ts';
import type { ObjectKind, ObjectWatch } from './support/objects/watched-objects.ts';
import type { ClusterTrustBundle, PodCertificateRequest } from '../objects/generated/certificates-v1beta1.ts';
import type { IssuedToken, TokenWish } from './support/volumes/volumes.ts';

interface KubeletApiNeed {
  client: ApiClient;
  nodeName: string;
  /** Makes a pod of what the wire brought. */
  readPod(raw: unknown, before?: Pod): Pod;
  clock: Clock;
  log: Logger;
}

const servicesWaitMs = 10_000;
const driversWaitMs = 30_000;

export class KubeletApi {
  readonly #need: KubeletApiNeed;
  /** Pods bound to this node, in all namespaces. */
  readonly pods: Informer<Pod>;
  /** This node's object. */
  readonly node: Informer<Node>;
  /** As much of every service as environments need. */
  readonly services: Informer<Service>;
  /** How drivers of volumes want to be treated. */
  readonly csiDrivers: Informer<CSIDriver>;

  constructor(need: KubeletApiNeed) {
    this.#need = need;
    const { client, nodeName, readPod, clock, log } = need;
    this.pods = new Informer<Pod>({
      client,
      type: types.pods,
      fieldSelector: `spec.nodeName=${nodeName}`,
      trim: (raw, before) => readPod(raw, before),
      clock,
      log,
    });
    this.node = new Informer<Node>({
      client,
      type: types.nodes,
      fieldSelector: `metadata.name=${nodeName}`,
      clock,
      log,
    });
    this.services = new Informer<Service>({ client, type: types.services, trim: trimService, clock, log });
    this.csiDrivers = new Informer<CSIDriver>({ client, type: types.csiDrivers, clock, log });
  }

  get ownNode(): Node | undefined {
    return this.node.get({ name: this.#need.nodeName });
  }

  /** This node's object as the server has it now, when the informer's copy may be behind. */
  readNode(signal: AbortSignal): Promise<Node> {
    const { client, nodeName } = this.#need;
    return client.get(types.nodes, { name: nodeName }, signal);
  }

  /** All services; undefined when they could not be read yet. */
  async readServices(signal: AbortSignal): Promise<readonly Service[] | undefined> {
    const { clock } = this.#need;
    // the caller says what it means that services are missing
    await withDeadline('reading services', servicesWaitMs, clock, signal, (s) => this.services.whenSynced(s)).catch(
      () => {},
    );
    return this.services.hasSynced ? this.services.list() : undefined;
  }

  /** Undefined when there is none. @throws {DeadlineError} when nobody can know yet */
  async csiDriver(name: string, signal: AbortSignal): Promise<CSIDriver | undefined> {
    const { clock } = this.#need;
    await withDeadline('reading CSIDrivers', driversWaitMs, clock, signal, (s) => this.csiDrivers.whenSynced(s));
    return this.csiDrivers.get({ name });
  }

  /** A secret as the server has it now, for those who must not keep it. */
  secret(namespace: string, name: string, signal: AbortSignal): Promise<Secret> {
    return this.#need.client.get(types.secrets, { namespace, name }, signal);
  }

  volumeAttachment(name: string, signal: AbortSignal): Promise<VolumeAttachment> {
    return this.#need.client.get(types.volumeAttachments, { name }, signal);
  }

  /** A list-watch of one object by its name: all that a node may read. */
  watchObject(kind: ObjectKind, namespace: string, name: string, onChange: () => void): ObjectWatch {
    const { client, clock, log } = this.#need;
    const common = { client, namespace, fieldSelector: `metadata.name=${name}`, clock, log };
    const informer =
      kind === 'ConfigMap'
        ? new Informer<ConfigMap>({ ...common, type: types.configMaps })
        : new Informer<Secret>({ ...common, type: types.secrets });
    informer.addHandlers({ onAdd: onChange, onUpdate: onChange, onDelete: onChange });
    return {
      get: () => informer.list()[0],
      whenSynced: (signal) => informer.whenSynced(signal),
      run: (signal) => informer.run(signal),
    };
  }

  /** All ClusterTrustBundles, of the newest version that the server has; undefined when it has none. */
  async watchTrustBundles(
    onChange: () => void,
    signal: AbortSignal,
  ): Promise<Informer<ClusterTrustBundle> | undefined> {
    const { client, clock, log } = this.#need;
    for (const type of [types.clusterTrustBundles, types.alphaClusterTrustBundles]) {
      try {
        await client.list(type, { limit: 1 }, signal);
      } catch (err) {
        if (isNotFound(err)) continue;
        throw err;
      }
      const informer = new Informer<ClusterTrustBundle>({ client, type, clock, log });
      informer.addHandlers({ onAdd: onChange, onUpdate: onChange, onDelete: onChange });
      return informer;
    }
    return undefined;
  }

  /** The requests for certificates of pods on this node. */
  podCertificateRequests(onChange: (podUid: string) => void): Informer<PodCertificateRequest> {
    const { client, nodeName, clock, log } = this.#need;
    const fieldSelector = `spec.nodeName=${nodeName}`;
    const informer = new Informer<PodCertificateRequest>({
      client,
      type: types.podCertificateRequests,
      fieldSelector,
      clock,
      log,
    });
    const tell = ({ spec }: PodCertificateRequest): void => onChange(spec.podUID);
    informer.addHandlers({ onAdd: tell, onUpdate: (_, after) => tell(after), onDelete: tell });
    return informer;
  }

  /** Whom a request for a certificate of the pod is for. */
  async identify(
    { metadata: { namespace = 'default' }, spec: { serviceAccountName: name = 'default' } }: Pod,
    signal: AbortSignal,
  ): Promise<{ serviceAccountUid: string; nodeName: string; nodeUid: string }> {
    const account = await this.serviceAccount(namespace, name, signal).catch((cause: unknown) => {
      throw new Error('while fetching service account', { cause });
    });
    const { nodeName } = this.#need;
    const nodeUid = this.ownNode?.metadata.uid;
    if (nodeUid === undefined) throw new Error('while getting node object from local cache: it is not there yet');
    return { serviceAccountUid: account.metadata.uid ?? '', nodeName, nodeUid };
  }

  createPodCertificateRequest(request: PodCertificateRequest, signal: AbortSignal): Promise<PodCertificateRequest> {
    return this.#need.client.create(types.podCertificateRequests, request, signal);
  }

  /** A token for a pod's service account, bound to the pod. */
  async requestToken(wish: TokenWish, signal: AbortSignal): Promise<IssuedToken> {
    const { namespace, serviceAccount, audience, expirationSeconds, podName, podUid } = wish;
    const answer = await this.#need.client.createSubresource<
      unknown,
      { spec: { expirationSeconds: number }; status: IssuedToken }
    >(
      types.serviceAccounts,
      { namespace, name: serviceAccount },
      'token',
      {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenRequest',
        spec: {
          audiences: audience === undefined || audience === '' ? [] : [audience],
          expirationSeconds,
          boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name: podName, uid: podUid },
        },
      },
      signal,
    );
    return { ...answer.status, expirationSeconds: answer.spec.expirationSeconds };
  }

  async serviceAccount(namespace: string, name: string, signal: AbortSignal): Promise<ServiceAccount> {
    return await this.#need.client.get(types.serviceAccounts, { namespace, name }, signal);
  }

  readClaim(namespace: string, name: string, signal: AbortSignal): Promise<PersistentVolumeClaim> {
    return this.#need.client.get(types.persistentVolumeClaims, { namespace, name }, signal);
  }

  readVolume(name: string, signal: AbortSignal): Promise<PersistentVolume> {
    return this.#need.client.get(types.persistentVolumes, { name }, signal);
  }

  async patchClaimStatus({ metadata }: PersistentVolumeClaim, status: unknown, signal: AbortSignal): Promise<void> {
    const ref = { namespace: metadata.namespace, name: metadata.name, subresource: 'status' };
    await this.#need.client.patch(types.persistentVolumeClaims, ref, 'merge', { status }, signal);
  }

  /** The runtime's handler behind a RuntimeClass. @throws {Error} in upstream's words when there is no such class */
  async runtimeHandler(name: string, signal: AbortSignal): Promise<string> {
    try {
      return (await this.#need.client.get(types.runtimeClasses, { name }, signal)).handler;
    } catch (cause) {
      if (isNotFound(cause)) throw new NotFoundError(`runtimeclass.node.k8s.io "${name}" not found`);
      throw new Error(`failed to lookup RuntimeClass ${name}`, { cause });
    }
  }
}

/** What pods' environments need of a Service, and nothing more. */
function trimService({ metadata, spec }: Service): Service {
  const { name, namespace, resourceVersion, uid } = metadata;
  const { clusterIP, ports, type } = spec;
  return { metadata: { name, namespace, resourceVersion, uid }, spec: { clusterIP, ports, type } };
}
