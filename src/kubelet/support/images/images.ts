/**
 * Makes sure that a container's image is there: looks, pulls by policy, waits out failures. Owns the pull back-off and
 * the limits on pulls at once. Two containers that want the same image at the same time share one pull.
 */
import type { AuthConfig, Cri, PodSandboxConfig } from '../../../adapters/cri/cri.ts';
import type { CriImage } from '../../../adapters/cri/cri-types.ts';
import { Backoff } from '../../../base/backoff.ts';
import type { Clock } from '../../../base/clock.ts';
import { rpcText } from '../../../base/grpc.ts';
import { Semaphore } from '../../../base/semaphore.ts';
import type { Pod, Secret } from '../../../objects/generated/core-v1.ts';
import { type PodContainer, type PodEvents, uidOf } from '../../pod-model.ts';
import { parseImageName } from './image-name.ts';
import { type Credential, credentialsFor } from './pull-credentials.ts';

interface ImagesNeed {
  cri: Pick<Cri, 'imageStatus' | 'pullImage'>;
  events: PodEvents;
  /** Whether one more pull fits the node's rate (registryPullQPS). */
  mayPull(): boolean;
  /** Pulls at once; 1 is upstream's serial mode, Infinity no limit. */
  parallelPullsMax: number;
  clock: Clock;
}

export type ImageOutcome =
  | { kind: 'present'; image: CriImage }
  | { kind: 'failed'; reason: string; message: string; retryAtMs?: number };

const pullBackoffInitialMs = 10_000;
const pullBackoffMaxMs = 300_000;

export class Images {
  readonly #need: ImagesNeed;
  readonly #backoff = new Backoff({ initialMs: pullBackoffInitialMs, maxMs: pullBackoffMaxMs });
  readonly #lastFailure = new Map<string, { reason: string; message: string }>();
  readonly #pulls: Semaphore;

  constructor(need: ImagesNeed) {
    this.#need = need;
    this.#pulls = new Semaphore(need.parallelPullsMax);
  }

  /** @param interrupt aborts a pull when the pod is to end */
  async ensure(
    pod: Pod,
    { kind, spec }: PodContainer,
    sandbox: PodSandboxConfig,
    secrets: readonly Secret[],
    interrupt: AbortSignal,
  ): Promise<ImageOutcome> {
    const { cri, events } = this.#need;
    const event = (type: 'Normal' | 'Warning', reason: string, message: string): void =>
      events.container(pod, kind, spec.name, type, reason, message);
    const parsed = parseImageName(spec.image);
    if (parsed.kind === 'invalid') {
      const message = `Failed to apply default image tag "${spec.image}": ${parsed.message}`;
      event('Warning', 'InspectFailed', message);
      return { kind: 'failed', reason: 'InvalidImageName', message };
    }
    if (spec.imagePullPolicy !== 'Always') {
      let present: CriImage | undefined;
      try {
        present = await cri.imageStatus(parsed.name, interrupt);
      } catch (err) {
        interrupt.throwIfAborted();
        const message = `Failed to inspect image "": ${rpcText(err)}`;
        event('Warning', 'InspectFailed', message);
        return { kind: 'failed', reason: 'ImageInspectError', message };
      }
      if (present !== undefined) {
        event(
          'Normal',
          'Pulled',
          `Container image "${spec.image}" already present on machine and can be accessed by the pod`,
        );
        return { kind: 'present', image: present };
      }
      if (spec.imagePullPolicy === 'Never') {
        const message = `Container image "${spec.image}" is not present with pull policy of Never`;
        event('Warning', 'ErrImageNeverPull', message);
        return { kind: 'failed', reason: 'ErrImageNeverPull', message };
      }
    }
    return await this.#pull(pod, spec.image, parsed, sandbox, secrets, event, interrupt);
  }

  async #pull(
    pod: Pod,
    image: string,
    { name, repository }: { name: string; repository: string },
    sandbox: PodSandboxConfig,
    secrets: readonly Secret[],
    event: (type: 'Normal' | 'Warning', reason: string, message: string) => void,
    interrupt: AbortSignal,
  ): Promise<ImageOutcome> {
    const { cri, clock } = this.#need;
    const key = `${uidOf(pod)}_${name}`;
    const nowMs = clock.nowMs();
    if (this.#backoff.isInBackoff(key, nowMs)) {
      const text = `Back-off pulling image "${image}"`;
      event('Normal', 'BackOff', text);
      const last = this.#lastFailure.get(key);
      const message = last === undefined ? text : `${text}: ${last.reason}: ${last.message}`;
      return { kind: 'failed', reason: 'ImagePullBackOff', message, retryAtMs: this.#backoff.endsMs(key) ?? nowMs };
    }
    event('Normal', 'Pulling', `Pulling image "${image}"`);
    const askedMs = clock.monotonicMs();
    try {
      if (!this.#need.mayPull()) throw new Error('pull QPS exceeded');
      const { pullMs, present } = await this.#pulls.with(interrupt, async () => {
        const beganMs = clock.monotonicMs();
        await this.#tryCredentials(name, credentialsFor(repository, secrets), pod, sandbox, interrupt);
        const pulled = await cri.imageStatus(name, interrupt);
        return { pullMs: clock.monotonicMs() - beganMs, present: pulled };
      });
      if (present === undefined) throw new Error(`the runtime pulled "${name}" but does not have it`);
      this.#backoff.reset(key);
      this.#lastFailure.delete(key);
      const wholeMs = clock.monotonicMs() - askedMs;
      event(
        'Normal',
        'Pulled',
        `Successfully pulled image "${image}" in ${goMilliseconds(pullMs)} (${goMilliseconds(wholeMs)} including waiting). Image size: ${present.sizeBytes} bytes.`,
      );
      return { kind: 'present', image: present };
    } catch (err) {
      interrupt.throwIfAborted();
      const text = rpcText(err);
      event('Warning', 'Failed', `Failed to pull image "${image}": ${text}`);
      const failure = pullFailure(image, text);
      this.#backoff.next(key, clock.nowMs());
      this.#lastFailure.set(key, failure);
      return { kind: 'failed', ...failure };
    }
  }

  /** Each credential in turn until one works; without any, one anonymous try. */
  async #tryCredentials(
    name: string,
    credentials: readonly Credential[],
    pod: Pod,
    sandbox: PodSandboxConfig,
    signal: AbortSignal,
  ): Promise<void> {
    const { cri } = this.#need;
    const annotations = { ...pod.metadata.annotations };
    const tries: Array<AuthConfig | undefined> = credentials.length === 0 ? [undefined] : [...credentials];
    let failure: unknown;
    for (const auth of tries) {
      try {
        await cri.pullImage(name, annotations, auth, sandbox, signal);
        return;
      } catch (err) {
        signal.throwIfAborted();
        failure = err;
      }
    }
    throw failure;
  }

  /** Forgets what is known about a pod that is gone. */
  forget(uid: string): void {
    for (const key of this.#lastFailure.keys()) {
      if (!key.startsWith(`${uid}_`)) continue;
      this.#lastFailure.delete(key);
      this.#backoff.reset(key);
    }
  }
}

function pullFailure(image: string, text: string): { reason: string; message: string } {
  for (const reason of ['RegistryUnavailable', 'SignatureValidationFailed']) {
    const at = text.indexOf(reason);
    if (at < 0) continue;
    const what = reason === 'RegistryUnavailable' ? 'the registry is unavailable' : 'the signature validation failed';
    return {
      reason,
      message: `image pull failed for ${image} because ${what}: ${text.slice(at + reason.length).replace(/^: /, '')}`,
    };
  }
  return { reason: 'ErrImagePull', message: text };
}

/** A duration cut to milliseconds, as Go prints it: `532ms`, `1.234s`, `1m2.5s`. */
export function goMilliseconds(ms: number): string {
  const whole = Math.floor(ms);
  if (whole < 1000) return `${whole}ms`;
  const seconds = Number(((whole % 60_000) / 1000).toFixed(3));
  const minutes = Math.floor(whole / 60_000);
  return minutes === 0 ? `${seconds}s` : `${minutes}m${seconds}s`;
}
