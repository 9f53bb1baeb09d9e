/** The room of trust anchors and certificates of pods, as far as the node's gates let pods have them. */
import type { Clock } from '../base/clock.ts';
import { withDeadline } from '../base/deadline.ts';
import type { Logger } from '../base/logger.ts';
import type { Pod, Volume } from '../objects/generated/core-v1.ts';
import type { KubeletConfig } from './config.ts';
import type { KubeletApi } from './kubelet-api.ts';
import { type PodEvents, uidOf } from './pod-model.ts';
import { PodCertificates, noPodCertificates } from './support/trust/pod-certificates.ts';
import { TrustBundles, noTrustAnchors } from './support/trust/trust-bundles.ts';
import type { VolumesNeed } from './support/volumes/volumes.ts';

export interface TrustContext {
  config: Pick<KubeletConfig, 'hasTrustBundles' | 'hasPodCertificates'>;
  /** Undefined: standalone. */
  api: KubeletApi | undefined;
  /** What volumes that fit show has changed. */
  onChange(isMeant: (volume: Volume, pod: Pod) => boolean): void;
  events: PodEvents;
  clock: Clock;
  log: Logger;
}

export interface Trust extends Pick<VolumesNeed, 'getTrustAnchors' | 'getPodCertificate'> {
  /** What is to run for it. */
  parts: Array<{ run(signal: AbortSignal): Promise<void> }>;
  forget(uid: string): void;
}

const bundlesWaitMs = 10_000;

export function makeTrust({ config, api, onChange, events, clock, log }: TrustContext): Trust {
  const bundles =
    api === undefined || !config.hasTrustBundles
      ? undefined
      : new TrustBundles({
          watch: (onBundle, s) => api.watchTrustBundles(onBundle, s),
          onChange: () => onChange(shows('clusterTrustBundle')),
          waitMs: bundlesWaitMs,
          withDeadline: (what, ms, s, work) => withDeadline(what, ms, clock, s, work),
        });
  const certificates: PodCertificates | undefined =
    api === undefined || !config.hasPodCertificates
      ? undefined
      : new PodCertificates({
          requests: api.podCertificateRequests((uid) => certificates?.markPod(uid)),
          create: (request, s) => api.createPodCertificateRequest(request, s),
          identify: (pod, s) => api.identify(pod, s),
          onChange: (uid) => onChange((volume, pod) => uidOf(pod) === uid && shows('podCertificate')(volume)),
          event: events.pod,
          clock,
          log,
        });
  return {
    getTrustAnchors: (wish, s) => bundles?.anchors(wish, s) ?? Promise.reject(new Error(noTrustAnchors)),
    getPodCertificate: (...about) => {
      if (certificates === undefined) throw new Error(noPodCertificates);
      return certificates.bundle(...about);
    },
    parts: [bundles, certificates].filter((part) => part !== undefined),
    forget: (uid) => certificates?.forget(uid),
  };
}

const shows =
  (what: 'clusterTrustBundle' | 'podCertificate') =>
  ({ projected }: Volume): boolean =>
    (projected?.sources ?? []).some((source) => source[what] !== undefined);
