/**
 * Says by VolumeAttachments which volumes belong to which node, and tells each node what it has.
 *
 * Promises: a volume is taken off a node only after the node has been told that it is, and did not use it then; only a
 * node that is not well for six minutes, or is out of service, is not asked. One volume that cannot be shared is never
 * given to two nodes. Needs: informers of nodes, pods, claims, volumes, drivers and attachments.
 */
import { isConflict, isNotFound } from '../../base/errors.ts';
import type { WorkQueue } from '../../base/work-queue.ts';
import { type EventSink, eventTarget } from '../../client/event-recorder.ts';
import type { Informer } from '../../client/informer.ts';
import {
  csiDrivers as driverType,
  nodes as nodeType,
  persistentVolumeClaims as claimType,
  persistentVolumes as volumeType,
  pods as podType,
  volumeAttachments as attachmentType,
} from '../../client/resource-types.ts';
import { claimKeysOf } from '../../objects/claims.ts';
import { csiUniqueName } from '../../objects/csi-names.ts';
import type { Node, PersistentVolume, PersistentVolumeClaim, Pod } from '../../objects/generated/core-v1.ts';
import type { CSIDriver, VolumeAttachment } from '../../objects/generated/storage-v1.ts';
import { namespacedKey, objectKey } from '../../objects/object-key.ts';
import { type Controller, type ControllerContext, reconcileQueue, runQueue } from '../controller.ts';
import { NewestWrites } from '../newest-writes.ts';
import { sameJson } from '../same-json.ts';
import { type AttachmentPlan, findUniqueName, multiAttachMessage, planAttachments } from './plan-attachments.ts';
import { type Lookup, type WantedVolume, volumesOf, wantedVolumes } from './wanted-volumes.ts';

export interface AttachDetachOptions {
  /** How long a node that is not well keeps what it may still use; undefined: for good. */
  forceAfterMs: number | undefined;
  /** After so long without an answer pods are told that their volume is not attached. */
  attachTimeoutMs?: number;
}

const managedKey = 'volumes.kubernetes.io/controller-managed-attach-detach';
/** Until the node's newest state has come back to us. */
const usedAgainMs = 100;

export class AttachDetachController implements Controller {
  readonly #context: ControllerContext;
  readonly #options: Required<AttachDetachOptions>;
  readonly #events: EventSink;
  readonly #queue: WorkQueue;
  readonly #nodes: Informer<Node>;
  readonly #pods: Informer<Pod>;
  readonly #claims: Informer<PersistentVolumeClaim>;
  readonly #volumes: Informer<PersistentVolume>;
  readonly #drivers: Informer<CSIDriver>;
  readonly #attachmentInformer: Informer<VolumeAttachment>;
  readonly #attachments: NewestWrites<VolumeAttachment>;
  readonly #lookup: Lookup;
  /** By attachment: since when nobody wants it. */
  readonly #unwantedSinceMs = new Map<string, number>();
  /** Uids of attachments that we have deleted and that the informer may still show alive. */
  readonly #deleted = new Set<string>();
  /** Attachments whose pods know that other nodes have the volume, with the node that waits. */
  readonly #blocked = new Map<string, string>();
  /** By attachment: when its pods were told last that nobody answers. */
  readonly #toldMs = new Map<string, number>();
  /** By node: when it will be looked at without an event. */
  readonly #dueMs = new Map<string, number>();

  constructor(context: ControllerContext, options: AttachDetachOptions) {
    this.#context = context;
    this.#options = { attachTimeoutMs: 120_000, ...options };
    this.#events = context.eventsOf('attachdetach-controller');
    this.#queue = reconcileQueue(context, 'attach-detach', 1);
    this.#nodes = context.informers.of(nodeType);
    this.#pods = context.informers.of(podType);
    this.#claims = context.informers.of(claimType);
    this.#volumes = context.informers.of(volumeType);
    this.#drivers = context.informers.of(driverType);
    this.#attachmentInformer = context.informers.of(attachmentType);
    this.#attachments = new NewestWrites(this.#attachmentInformer, context.clock);
    this.#lookup = {
      claim: (key) => this.#claims.getByKey(key),
      volume: (name) => this.#volumes.get({ name }),
      needsAttach: (driver) => this.#drivers.get({ name: driver })?.spec.attachRequired !== false,
    };
    this.#pods.addIndex('node', ({ spec }) => (spec.nodeName === undefined ? [] : [spec.nodeName]));
    this.#pods.addIndex('claim', claimKeysOf);
    this.#listen();
  }

  #listen(): void {
    const addPod = (pod: Pod): void => {
      const { nodeName = '' } = pod.spec;
      if (nodeName !== '' && claimKeysOf(pod).length > 0) this.#queue.add(nodeName);
    };
    this.#pods.addHandlers({ onAdd: addPod, onUpdate: (_, pod) => addPod(pod), onDelete: addPod });
    const addUsers = (key: string): void => {
      for (const pod of this.#pods.byIndex('claim', key)) addPod(pod);
    };
    const addClaim = (claim: PersistentVolumeClaim): void => addUsers(objectKey(claim));
    this.#claims.addHandlers({ onAdd: addClaim, onUpdate: (_, claim) => addClaim(claim) });
    const addVolume = ({ spec }: PersistentVolume): void => {
      if (spec?.claimRef?.name !== undefined) addUsers(namespacedKey(spec.claimRef.namespace, spec.claimRef.name));
    };
    this.#volumes.addHandlers({ onAdd: addVolume, onUpdate: (_, volume) => addVolume(volume) });
    this.#nodes.addHandlers({
      onAdd: ({ metadata }) => this.#queue.add(metadata.name),
      onUpdate: (before, node) => {
        if (!sameJson(attachSide(before), attachSide(node))) this.#queue.add(node.metadata.name);
      },
      onDelete: ({ metadata }) => this.#queue.add(metadata.name),
    });
    const addAll = (): void => {
      for (const { metadata } of this.#nodes.list()) this.#queue.add(metadata.name);
    };
    this.#drivers.addHandlers({ onAdd: addAll, onUpdate: addAll, onDelete: addAll });
    this.#attachmentInformer.addHandlers({
      onAdd: ({ spec }) => this.#queue.add(spec.nodeName),
      onUpdate: (before, attachment) => {
        this.#tellOutcome(before, attachment);
        this.#queue.add(attachment.spec.nodeName);
      },
      onDelete: ({ metadata, spec }) => {
        this.#deleted.delete(metadata.uid ?? '');
        this.#unwantedSinceMs.delete(metadata.name);
        this.#toldMs.delete(metadata.name);
        this.#queue.add(spec.nodeName);
        for (const nodeName of this.#blocked.values()) this.#queue.add(nodeName);
      },
    });
  }

  async run(signal: AbortSignal): Promise<void> {
    const informers = [this.#nodes, this.#pods, this.#claims, this.#volumes, this.#drivers, this.#attachmentInformer];
    await runQueue(this.#queue, informers, (key, inner) => this.#sync(key, inner), signal);
  }

  async #sync(nodeName: string, signal: AbortSignal): Promise<void> {
    const node = this.#nodes.get({ name: nodeName });
    if (node !== undefined && node.metadata.annotations?.[managedKey] === undefined) return; // it sees to it itself
    const wanted = this.#wantedOn(nodeName);
    const attachments = this.#attachments.list().map((one) => this.#asDeleted(one));
    this.#noteUnwanted(nodeName, wanted, attachments);
    const nowMs = this.#context.clock.monotonicMs();
    const plan = planAttachments({
      nodeName,
      node,
      wanted,
      attachments,
      uniqueNameOf: (attachment) => this.#uniqueNameOf(attachment, node),
      unwantedMs: (name) => nowMs - (this.#unwantedSinceMs.get(name) ?? nowMs),
      forceAfterMs: this.#options.forceAfterMs,
    });
    this.#tellBlocked(nodeName, plan);
    for (const volume of plan.attach) await this.#attach(nodeName, volume, signal);
    await this.#detach(node, plan, signal);
    this.#tellLate(nodeName, wanted, attachments, signal);
    if (plan.lookAgainMs !== undefined) this.#lookAgain(nodeName, plan.lookAgainMs, signal);
  }

  /** No more than one wait per node, but for shorter ones. */
  #lookAgain(nodeName: string, delayMs: number, signal: AbortSignal): void {
    const nowMs = this.#context.clock.monotonicMs();
    const dueMs = this.#dueMs.get(nodeName);
    if (dueMs !== undefined && dueMs > nowMs && dueMs <= nowMs + delayMs) return;
    this.#dueMs.set(nodeName, nowMs + delayMs);
    this.#queue.addAfter(nodeName, delayMs, signal);
  }

  #wantedOn(nodeName: string): Map<string, WantedVolume> {
    return wantedVolumes(nodeName, this.#pods.byIndex('node', nodeName), this.#lookup);
  }

  #asDeleted(attachment: VolumeAttachment): VolumeAttachment {
    const { metadata } = attachment;
    if (metadata.deletionTimestamp !== undefined || !this.#deleted.has(metadata.uid ?? '')) return attachment;
    return { ...attachment, metadata: { ...metadata, deletionTimestamp: 'just now' } };
  }

  #noteUnwanted(
    nodeName: string,
    wanted: ReadonlyMap<string, WantedVolume>,
    attachments: readonly VolumeAttachment[],
  ): void {
    for (const { metadata, spec } of attachments) {
      if (spec.nodeName !== nodeName) continue;
      if (wanted.has(metadata.name)) this.#unwantedSinceMs.delete(metadata.name);
      else if (!this.#unwantedSinceMs.has(metadata.name)) {
        this.#unwantedSinceMs.set(metadata.name, this.#context.clock.monotonicMs());
      }
    }
  }

  #uniqueNameOf(attachment: VolumeAttachment, node: Node | undefined): string | undefined {
    const source = this.#volumes.get({ name: attachment.spec.source.persistentVolumeName ?? '' })?.spec?.csi;
    return source === undefined ? findUniqueName(attachment, node) : csiUniqueName(source.driver, source.volumeHandle);
  }

  async #attach(nodeName: string, volume: WantedVolume, signal: AbortSignal): Promise<void> {
    const { client, log } = this.#context;
    const { attachmentName: name, driver: attacher, volumeName: persistentVolumeName } = volume;
    try {
      const created = await client.create(
        attachmentType,
        { metadata: { name }, spec: { attacher, nodeName, source: { persistentVolumeName } } },
        signal,
      );
      this.#attachments.remember(created);
      log.info({ volume: persistentVolumeName, node: nodeName }, 'asked to attach volume');
    } catch (err) {
      if (!isConflict(err)) throw err; // it is there, and its event comes
    }
  }

  /** Tells the node what it has, and takes off what it does not use when it has been told. */
  async #detach(node: Node | undefined, { detach, reported }: AttachmentPlan, signal: AbortSignal): Promise<void> {
    const { client, log } = this.#context;
    let inUse: ReadonlySet<string> = new Set();
    if (node !== undefined) {
      const told = (node.status?.volumesAttached ?? []).map(({ name }) => name);
      if (detach.length > 0 || !sameJson(told.toSorted(), reported)) {
        const volumesAttached = reported.length === 0 ? null : reported.map((name) => ({ name, devicePath: '' }));
        const ref = { name: node.metadata.name, subresource: 'status' };
        try {
          // the answer is the node's state at the moment of the write: what it uses then it may go on using
          const after = await client.patch(nodeType, ref, 'merge', { status: { volumesAttached } }, signal);
          inUse = new Set(after.status?.volumesInUse);
        } catch (err) {
          if (!isNotFound(err)) throw err;
          return; // its deletion comes
        }
      }
    }
    for (const { attachment, uniqueName, isForced } of detach) {
      const { name, uid } = attachment.metadata;
      if (!isForced && uniqueName !== undefined && inUse.has(uniqueName)) {
        this.#queue.addAfter(attachment.spec.nodeName, usedAgainMs, signal);
        continue;
      }
      this.#deleted.add(uid ?? '');
      try {
        await client.delete(attachmentType, { name }, { preconditions: { uid } }, signal);
        log.info({ attachment: name, node: attachment.spec.nodeName, isForced }, 'asked to detach volume');
      } catch (err) {
        if (isNotFound(err)) continue;
        this.#deleted.delete(uid ?? '');
        throw err;
      }
    }
  }

  #tellBlocked(nodeName: string, { blocked }: AttachmentPlan): void {
    const names = new Set(blocked.map(({ volume }) => volume.attachmentName));
    for (const [name, waiting] of this.#blocked) {
      if (waiting === nodeName && !names.has(name)) this.#blocked.delete(name);
    }
    for (const { volume, nodes } of blocked) {
      if (this.#blocked.has(volume.attachmentName)) continue;
      this.#blocked.set(volume.attachmentName, nodeName);
      const users = nodes
        .flatMap((other) => this.#pods.byIndex('node', other))
        .filter((pod) => volumesOf(pod, this.#lookup).some(({ metadata }) => metadata.name === volume.volumeName))
        .map(({ metadata: { namespace, name } }) => ({ namespace, name }));
      for (const pod of volume.pods) {
        this.#tell(pod, 'Warning', 'FailedAttachVolume', multiAttachMessage(volume, pod.metadata.namespace, users));
      }
    }
  }

  /** Once, when a driver's attacher has said how it went. */
  #tellOutcome(before: VolumeAttachment, { metadata, spec, status }: VolumeAttachment): void {
    if (metadata.deletionTimestamp !== undefined) return;
    const volume = this.#wantedOn(spec.nodeName).get(metadata.name);
    if (volume === undefined) return;
    const what = `for volume "${volume.volumeName}" `;
    if (status?.attached === true && before.status?.attached !== true) {
      const message = `AttachVolume.Attach succeeded ${what}`;
      for (const pod of volume.pods) this.#tell(pod, 'Normal', 'SuccessfulAttachVolume', message);
    }
    const error = status?.attachError;
    if (error === undefined || sameJson(error, before.status?.attachError)) return;
    const message = `AttachVolume.Attach failed ${what}: ${error.message ?? ''}`;
    for (const pod of volume.pods) this.#tell(pod, 'Warning', 'FailedAttachVolume', message);
  }

  /** Now and then, while nobody says anything. */
  #tellLate(
    nodeName: string,
    wanted: ReadonlyMap<string, WantedVolume>,
    attachments: readonly VolumeAttachment[],
    signal: AbortSignal,
  ): void {
    const { attachTimeoutMs } = this.#options;
    const nowMs = this.#context.clock.monotonicMs();
    for (const { metadata, status } of attachments) {
      const volume = wanted.get(metadata.name);
      if (volume === undefined || status?.attached === true || metadata.deletionTimestamp !== undefined) continue;
      const sinceMs = this.#toldMs.get(metadata.name);
      if (sinceMs === undefined || nowMs - sinceMs >= attachTimeoutMs) {
        this.#toldMs.set(metadata.name, nowMs);
        this.#lookAgain(nodeName, attachTimeoutMs, signal);
      }
      if (sinceMs === undefined || nowMs - sinceMs < attachTimeoutMs || status?.attachError !== undefined) continue;
      const message = `AttachVolume.Attach failed for volume "${volume.volumeName}" : timed out waiting for external-attacher of ${volume.driver} CSI driver to attach volume ${volume.handle}`;
      for (const pod of volume.pods) this.#tell(pod, 'Warning', 'FailedAttachVolume', message);
    }
  }

  #tell(pod: Pod, type: 'Normal' | 'Warning', reason: string, message: string): void {
    this.#events.record(eventTarget(podType, pod), type, reason, message);
  }
}

/** What of a node may change what is attached to it: heartbeats cannot. */
function attachSide({ metadata, spec, status }: Node): unknown {
  return [
    metadata.annotations?.[managedKey],
    spec?.taints,
    status?.volumesInUse,
    status?.volumesAttached,
    (status?.conditions ?? []).find(({ type }) => type === 'Ready')?.status,
  ];
}
