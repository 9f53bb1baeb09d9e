/**
 * The trust anchors that ClusterTrustBundles give to pods. Bundles are listed and watched from the first pod on that
 * asks; a node whose pods ask for none reads none.
 */
import { createHash, randomBytes } from 'node:crypto';
import { describeError } from '../../../base/errors.ts';
import { aborted } from '../../../base/run-together.ts';
import type { ClusterTrustBundle } from '../../../objects/generated/certificates-v1beta1.ts';
import type { ClusterTrustBundleProjection } from '../../../objects/generated/core-v1.ts';
import { matchesLabelSelector } from '../../../objects/label-selector.ts';
import { pemBlock, pemBlocks } from './pem-blocks.ts';

/** A list-watch of all bundles. */
export interface BundleWatch {
  list(): ClusterTrustBundle[];
  readonly hasSynced: boolean;
  whenSynced(signal: AbortSignal): Promise<void>;
  run(signal: AbortSignal): Promise<void>;
}

interface TrustBundlesNeed {
  /** Of the newest version that the API server has; undefined when it has none. */
  watch(onChange: () => void, signal: AbortSignal): Promise<BundleWatch | undefined>;
  /** Some bundle came, changed or went. */
  onChange(): void;
  /** How long the first reader waits for the list. */
  waitMs: number;
  withDeadline<T>(what: string, ms: number, signal: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T>;
}

/** What upstream says where there is nobody to ask, or nobody may. */
export const noTrustAnchors = 'ClusterTrustBundle projection is not supported in static kubelet mode';

export class TrustBundles {
  readonly #need: TrustBundlesNeed;
  #opening: Promise<BundleWatch | undefined> | undefined;
  #running: Promise<void> = Promise.resolve();
  #signal: AbortSignal = AbortSignal.abort();

  constructor(need: TrustBundlesNeed) {
    this.#need = need;
  }

  async run(signal: AbortSignal): Promise<void> {
    this.#signal = signal;
    await aborted(signal);
    await this.#running;
  }

  /** Certificates as PEM; empty when there are none and they are optional. @throws {Error} in upstream's words */
  async anchors(wish: ClusterTrustBundleProjection, signal: AbortSignal): Promise<string> {
    const watch = await this.#open(signal).catch((err: unknown) => {
      signal.throwIfAborted();
      throw new Error(
        `failed to ensure informer manager for ClusterTrustBundles: failed to determine which informer manager to choose: ${describeError(err)}`,
      );
    });
    if (watch === undefined) throw new Error(noTrustAnchors);
    if (!watch.hasSynced) throw new Error('ClusterTrustBundle informer has not yet synced');
    return selectAnchors(watch.list(), wish);
  }

  async #open(signal: AbortSignal): Promise<BundleWatch | undefined> {
    this.#opening ??= this.#start(signal);
    try {
      const watch = await this.#opening;
      if (watch === undefined) this.#opening = undefined; // the API server may have it later
      return watch;
    } catch (err) {
      this.#opening = undefined;
      throw err;
    }
  }

  async #start(signal: AbortSignal): Promise<BundleWatch | undefined> {
    const { watch: open, onChange, waitMs, withDeadline } = this.#need;
    const watch = await open(onChange, signal);
    if (watch === undefined) return undefined;
    this.#running = watch.run(this.#signal).catch(() => {}); // it logs and retries by itself; it rejects only when stopped
    // whoever asks before the list is there is told so, and asks again
    await withDeadline('listing trust bundles', waitMs, signal, (s) => watch.whenSynced(s)).catch(() => {});
    return watch;
  }
}

/** Makes the order of certificates another one in each kubelet: nobody is to rely on it. */
const seed = randomBytes(16);

/**
 * The distinct certificates of the bundles that are meant. Pure, but for the order: the same for as long as the kubelet
 * lives, and another one in the next.
 *
 * @throws {Error} in upstream's words when none is there and it is not optional
 */
export function selectAnchors(
  bundles: readonly ClusterTrustBundle[],
  { name, signerName, labelSelector, optional }: ClusterTrustBundleProjection,
): string {
  const chosen =
    name === undefined
      ? bundles.filter(
          ({ metadata, spec }) =>
            (spec.signerName ?? '') === (signerName ?? '') && matchesLabelSelector(labelSelector, metadata.labels),
        )
      : bundles.filter(({ metadata }) => metadata.name === name);
  if (chosen.length === 0 && optional !== true) {
    throw new Error(
      name === undefined
        ? 'combination of signerName and labelSelector matched zero ClusterTrustBundles'
        : `while getting ClusterTrustBundle: clustertrustbundle.certificates.k8s.io "${name}" not found`,
    );
  }
  const anchors = new Map<string, Buffer>();
  for (const { spec } of chosen) {
    for (const der of pemBlocks(spec.trustBundle)) {
      anchors.set(createHash('sha256').update(seed).update(der).digest('hex'), der);
    }
  }
  return [...anchors]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([, der]) => pemBlock('CERTIFICATE', der))
    .join('');
}
