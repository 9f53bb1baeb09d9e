/**
 * Certificates of pods: for each place where a volume shows one, a key that never leaves this node and a
 * PodCertificateRequest that some signer answers.
 *
 * Owns the keys, in memory: after a restart every certificate is asked for anew. Promises: a certificate that is there is
 * given out until a newer one is; a refusal is for good, for the life of the pod. Needs the requests of this node from
 * the API, and somebody to tell when a certificate has come.
 */
import type { Clock } from '../../../base/clock.ts';
import { describeError } from '../../../base/errors.ts';
import { goQuote } from '../../../base/go-quote.ts';
import { KeyedRunner } from '../../../base/keyed-runner.ts';
import type { Logger } from '../../../base/logger.ts';
import { runTogether } from '../../../base/run-together.ts';
import type { PodCertificateRequest } from '../../../objects/generated/certificates-v1beta1.ts';
import type { Pod, PodCertificateProjection } from '../../../objects/generated/core-v1.ts';
import { podKey, uidOf } from '../../pod-model.ts';
import { pemBlock, pemBlocks } from './pem-blocks.ts';
import { makePodKey } from './pod-key.ts';

interface PodCertificatesNeed {
  /** The requests of this node, as the API has them. */
  requests: {
    get(ref: { namespace: string; name: string }): PodCertificateRequest | undefined;
    readonly hasSynced: boolean;
    run(signal: AbortSignal): Promise<void>;
  };
  create(request: PodCertificateRequest, signal: AbortSignal): Promise<PodCertificateRequest>;
  /** Whom a request is for. @throws {Error} when the API does not tell */
  identify(pod: Pod, signal: AbortSignal): Promise<{ serviceAccountUid: string; nodeName: string; nodeUid: string }>;
  /** A certificate has come, or will not: the pod's volumes are to be looked at. */
  onChange(uid: string): void;
  event(pod: Pod, type: 'Warning', reason: string, message: string): void;
  clock: Clock;
  log: Logger;
}

export interface CredentialBundle {
  /** PEM, PKCS#8. */
  privateKey: string;
  /** PEM, leaf first. */
  certificateChain: string;
}

/** A request that nobody has answered yet. */
interface Asked {
  privateKey: string;
  name: string;
  /** When it is not to be found after this, somebody has deleted it. */
  abandonAtMs: number;
}

interface Issued extends CredentialBundle {
  refreshAtMs: number;
  expiresMs: number;
}

interface Place {
  pod: Pod;
  source: PodCertificateProjection;
  asked: Asked | undefined;
  issued: Issued | undefined;
  /** Why there will never be one. */
  refusal: string | undefined;
  /** What has been said of the certificate that is there. */
  said: Set<string>;
}

/** What upstream says while the gate is off. */
export const noPodCertificates = 'unimplemented';

const minuteMs = 60_000;
const assumeDeletedMs = 10 * minuteMs;
const overdueMs = 10 * minuteMs;
const jitterMaxMs = 5 * minuteMs;

export class PodCertificates {
  readonly #need: PodCertificatesNeed;
  readonly #places = new Map<string, Place>();
  readonly #runner = new KeyedRunner((key) => this.#look(key));
  #signal: AbortSignal = AbortSignal.abort();

  constructor(need: PodCertificatesNeed) {
    this.#need = need;
  }

  async run(signal: AbortSignal): Promise<void> {
    this.#signal = signal;
    await runTogether(signal, [
      (s) => this.#need.requests.run(s),
      async (s) => {
        while (!s.aborted) {
          await this.#need.clock.sleep(minuteMs * (1 + Math.random()), s);
          for (const key of this.#places.keys()) this.#runner.mark(key);
        }
      },
    ]);
    await this.#runner.whenIdle();
  }

  /** A request of a pod came, changed or went. */
  markPod(uid: string): void {
    for (const [key, { pod }] of this.#places) if (uidOf(pod) === uid) this.#runner.mark(key);
  }

  /**
   * The newest certificate for a place in a pod's volumes. Asking for it the first time sets its making off.
   * @throws {Error} in upstream's words while there is none, or when there will be none
   */
  bundle(pod: Pod, volume: string, sourceIndex: number, source: PodCertificateProjection): CredentialBundle {
    const key = JSON.stringify([uidOf(pod), volume, sourceIndex]);
    let place = this.#places.get(key);
    if (place === undefined) {
      place = { pod, source, asked: undefined, issued: undefined, refusal: undefined, said: new Set() };
      this.#places.set(key, place);
    }
    if (place.refusal !== undefined) throw new Error(place.refusal);
    if (place.issued !== undefined) return place.issued;
    if (place.asked === undefined) this.#runner.mark(key);
    throw new Error('credential bundle is not issued yet');
  }

  forget(uid: string): void {
    for (const [key, { pod }] of this.#places) if (uidOf(pod) === uid) this.#places.delete(key);
  }

  /** Never rejects: the runner counts on it. */
  async #look(key: string): Promise<void> {
    const signal = this.#signal;
    const place = this.#places.get(key);
    if (signal.aborted || place === undefined || place.refusal !== undefined) return;
    try {
      if (place.asked !== undefined) this.#readAnswer(place, place.asked);
      this.#complain(place);
      const isDue = place.issued === undefined || place.issued.refreshAtMs <= this.#need.clock.nowMs();
      if (isDue && place.asked === undefined && place.refusal === undefined) await this.#ask(key, place, signal);
    } catch (err) {
      if (signal.aborted) return;
      this.#need.log.warn(
        { pod: podKey(place.pod), uid: uidOf(place.pod), reason: describeError(err) },
        'cannot ask for the certificate of a pod, will retry',
      );
    }
  }

  async #ask(key: string, place: Place, signal: AbortSignal): Promise<void> {
    const { create, identify, clock } = this.#need;
    const { pod, source } = place;
    const { signerName, keyType, maxExpirationSeconds, userAnnotations } = source;
    const { serviceAccountUid, nodeName, nodeUid } = await identify(pod, signal);
    const { privateKey, request } = await makePodKey(keyType);
    const created = await create(
      {
        apiVersion: 'certificates.k8s.io/v1beta1',
        kind: 'PodCertificateRequest',
        metadata: {
          name: '',
          namespace: pod.metadata.namespace ?? 'default',
          generateName: 'req-',
          ownerReferences: [{ apiVersion: 'v1', kind: 'Pod', name: pod.metadata.name, uid: uidOf(pod) }],
        },
        spec: {
          signerName,
          podName: pod.metadata.name,
          podUID: uidOf(pod),
          serviceAccountName: pod.spec.serviceAccountName ?? 'default',
          serviceAccountUID: serviceAccountUid,
          nodeName,
          nodeUID: nodeUid,
          ...(maxExpirationSeconds === undefined ? {} : { maxExpirationSeconds }),
          stubPKCS10Request: request.toString('base64'),
          ...(userAnnotations === undefined ? {} : { unverifiedUserAnnotations: userAnnotations }),
        },
      },
      signal,
    );
    if (this.#places.get(key) !== place) return; // the pod is gone
    const createdMs = Date.parse(created.metadata.creationTimestamp ?? '') || clock.nowMs();
    const abandonAtMs = createdMs + assumeDeletedMs + jitterMs();
    place.asked = { privateKey, name: created.metadata.name, abandonAtMs };
    this.#runner.mark(key); // the answer may have been faster than we
  }

  #readAnswer(place: Place, { name, privateKey, abandonAtMs }: Asked): void {
    const { requests, clock, log, event, onChange } = this.#need;
    const { pod } = place;
    const namespace = pod.metadata.namespace ?? 'default';
    const request = requests.get({ namespace, name });
    if (request === undefined) {
      if (!requests.hasSynced || clock.nowMs() <= abandonAtMs) return; // it may be on its way to us
      log.warn({ pod: podKey(pod), request: name }, 'a request for a certificate was deleted, asking again');
      place.asked = undefined;
      return;
    }
    const answer = request.status?.conditions?.find(({ type }) => type in verdicts);
    if (answer === undefined) return;
    place.asked = undefined;
    if (answer.type === 'Issued') {
      place.issued = { ...readStatus(request), privateKey };
      place.said.clear();
    } else {
      const { type, reason, message } = answer;
      const verdict = verdicts[type] ?? '';
      const why = `reason=${goQuote(reason)}`;
      place.refusal = `PodCertificateRequest was permanently ${verdict}: ${why} message=${goQuote(message)}`;
      const was = type === 'Denied' ? `was ${verdict}` : verdict;
      const text = `PodCertificateRequest ${namespace}/${name} ${was}, ${why}, message=${goQuote(message)}`;
      event(pod, 'Warning', type, text);
    }
    onChange(uidOf(pod));
  }

  /** Says once of each certificate that it should have been replaced by now, and that it is over. */
  #complain({ pod, issued, said }: Place): void {
    if (issued === undefined) return;
    const nowMs = this.#need.clock.nowMs();
    const say = (reason: string, message: string): void => {
      if (said.has(reason)) return;
      said.add(reason);
      this.#need.event(pod, 'Warning', reason, message);
    };
    if (nowMs > issued.refreshAtMs + overdueMs) say('CertificateOverdueForRefresh', 'PodCertificate refresh overdue');
    if (nowMs > issued.expiresMs) say('CertificateExpired', 'PodCertificate expired');
  }
}

const verdicts: Record<string, string> = { Issued: 'issued', Denied: 'denied', Failed: 'failed' };

/** Spreads what would happen at one time on all nodes. */
const jitterMs = (): number => Math.floor(Math.random() * jitterMaxMs);

function readStatus({ status = {} }: PodCertificateRequest): Omit<Issued, 'privateKey'> {
  const { certificateChain = '', beginRefreshAt = '', notAfter = '' } = status;
  return {
    certificateChain: pemBlocks(certificateChain)
      .map((der) => pemBlock('CERTIFICATE', der))
      .join(''),
    refreshAtMs: Date.parse(beginRefreshAt) + jitterMs(),
    expiresMs: Date.parse(notAfter),
  };
}
