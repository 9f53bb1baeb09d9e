/** What calls to drivers have in common: who serves, what it can do, secrets, attachments, what pods tell. */
import type { CsiNodeCapabilities } from '../../../adapters/csi/csi.ts';
import type { Pod } from '../../../objects/generated/core-v1.ts';
import type { CSIDriver } from '../../../objects/generated/storage-v1.ts';
import { uidOf } from '../../pod-model.ts';
import type { CsiVolume } from '../../volume-model.ts';
import type { CsiDrivers } from './csi-drivers.ts';
import { callFailure, earlyFailure, says, wordsOf } from './csi-failure.ts';
import type { CsiApi, CsiNeed } from './csi-need.ts';
import { attachmentName } from './csi-paths.ts';
import { type SecretUse, podInfo, secretOf } from './csi-requests.ts';
import { isOverLimit, mountLabel, requiresAttach } from './driver-policies.ts';

/** The life of a token when the driver does not say, in seconds. */
const tokenSeconds = 3600;
const tokensKey = 'csi.storage.k8s.io/serviceAccount.tokens';

export class CsiContext {
  readonly need: CsiNeed;
  readonly drivers: CsiDrivers;

  constructor(need: CsiNeed, drivers: CsiDrivers) {
    this.need = need;
    this.drivers = drivers;
  }

  /** @throws {CsiFailure} on a node without an API server */
  get api(): CsiApi {
    if (this.need.api === undefined) {
      throw earlyFailure(says('this kubelet has no API server: volumes of CSI drivers cannot be served'));
    }
    return this.need.api;
  }

  /** What a driver can do now. @param what what its failure begins with */
  async capabilities(socket: string, what: string, signal: AbortSignal): Promise<CsiNodeCapabilities> {
    try {
      return await this.need.csi.nodeCapabilities(socket, signal);
    } catch (err) {
      signal.throwIfAborted();
      throw earlyFailure(`${what}${wordsOf(err)}`);
    }
  }

  /** A call that may change something. */
  async call(work: () => Promise<void>, signal: AbortSignal, what = ''): Promise<void> {
    try {
      await work();
    } catch (err) {
      signal.throwIfAborted();
      throw callFailure(err, what);
    }
  }

  /** Reads what must be known before anything is changed. */
  async early<T>(what: string, work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    try {
      return await work();
    } catch (err) {
      signal.throwIfAborted();
      throw earlyFailure(`${what}${wordsOf(err)}`);
    }
  }

  driverObject(name: string, signal: AbortSignal): Promise<CSIDriver | undefined> {
    return this.early(says(`cannot read the CSIDriver ${name}: `), () => this.api.driver(name, signal), signal);
  }

  /** The secret that a call brings along, read now: nobody keeps it. */
  async secrets(volume: CsiVolume, use: SecretUse, pod: Pod, signal: AbortSignal): Promise<Record<string, string>> {
    const ref = secretOf(volume, use, pod);
    if (ref === undefined) return {};
    const { namespace, name } = ref;
    const field = { stage: 'NodeStageSecretRef', publish: 'NodePublishSecretRef', expand: 'NodeExpandSecretRef' }[use];
    const missing = says(`failed to find the secret ${name} in the namespace ${namespace} with error: `);
    const what = `fetching ${field} ${namespace}/${name} failed: ${missing}`;
    const { data = {} } = await this.early(what, () => this.api.secret(namespace, name, signal), signal);
    return Object.fromEntries(
      Object.entries(data).map(([key, value]) => [key, Buffer.from(value, 'base64').toString()]),
    );
  }

  /** What was said when the volume was attached; nothing for one that is not. */
  async publishContext(volume: CsiVolume, what: string, signal: AbortSignal): Promise<Record<string, string>> {
    if ('inline' in volume.source) return {};
    if (!requiresAttach(await this.driverObject(volume.driver, signal))) return {};
    const name = attachmentName(volume.handle, volume.driver, this.need.nodeName);
    const attachment = await this.early(what, () => this.api.attachment(name, signal), signal);
    return attachment.status?.attachmentMetadata ?? {};
  }

  /** @throws {CsiFailure} until the volume is attached */
  async checkAttached({ handle, driver }: CsiVolume, signal: AbortSignal): Promise<void> {
    const id = attachmentName(handle, driver, this.need.nodeName);
    const what = `volume ${handle} has GET error for volume attachment ${id}: `;
    const { metadata, status } = await this.early(what, () => this.api.attachment(id, signal), signal);
    if (metadata.deletionTimestamp !== undefined) throw earlyFailure('volume attachment is being deleted');
    if (status?.attached === true) return;
    if (status?.attachError !== undefined) throw earlyFailure(status.attachError.message ?? '');
    throw earlyFailure(`volume ${handle} is not attached for volume attachment ${id}`);
  }

  /** Whether whoever attaches says that the node takes no more. What cannot be read says nothing. */
  async isOverLimit({ handle, driver, source }: CsiVolume, signal: AbortSignal): Promise<boolean> {
    if ('inline' in source) return false;
    try {
      const object = await this.driverObject(driver, signal);
      return isOverLimit(object, await this.api.attachment(attachmentName(handle, driver, this.need.nodeName), signal));
    } catch (err) {
      signal.throwIfAborted();
      this.need.log.debug({ driver, handle, reason: wordsOf(err) }, 'cannot tell why a volume is not attached');
      return false;
    }
  }

  /** The label to mount a volume with. */
  label(volume: CsiVolume, pod: Pod, driver: CSIDriver | undefined): string | undefined {
    return this.need.hasLabels ? mountLabel(volume, pod, driver) : undefined;
  }

  /** What the driver wants to know of the pod, on top of the volume's own attributes. */
  podAttributes(volume: CsiVolume, pod: Pod, driver: CSIDriver | undefined): Record<string, string> {
    return driver?.spec.podInfoOnMount === true ? podInfo(pod, 'inline' in volume.source) : {};
  }

  /** Tokens of the pod's service account, as the driver wants them: as an attribute, or as a secret. */
  async tokens(pod: Pod, driver: CSIDriver | undefined, signal: AbortSignal): Promise<Record<string, string>> {
    const requests = driver?.spec.tokenRequests ?? [];
    if (requests.length === 0) return {};
    const question = {
      namespace: pod.metadata.namespace ?? 'default',
      serviceAccount: pod.spec.serviceAccountName ?? '',
      podName: pod.metadata.name ?? '',
      podUid: uidOf(pod),
    };
    const what = says('mounter.SetUpAt failed to get service accoount token attributes: ');
    const tokens = await this.early(
      what,
      () =>
        Promise.all(
          requests.map(async ({ audience, expirationSeconds = tokenSeconds }) => {
            const wish = { ...question, audience: audience === '' ? undefined : audience, expirationSeconds };
            const { token, expirationTimestamp } = await this.need.token(wish, signal);
            return [audience, { token, expirationTimestamp }] as const;
          }),
        ),
      signal,
    );
    const sorted = tokens.toSorted(([a], [b]) => (a < b ? -1 : 1));
    return { [tokensKey]: JSON.stringify(Object.fromEntries(sorted)) };
  }
}
