/**
 * Pulls one image for one container: waits out earlier failures, waits for its turn, tries the credentials in order,
 * and says what came of it. Every pod pulls for itself, with its own credentials, and has its own events: what another
 * pod is allowed to have says nothing about this one, and the runtime fetches shared layers once anyway.
 */
import type { Cri, PodSandboxConfig } from '../../../adapters/cri/cri.ts';
import type { CriImage } from '../../../adapters/cri/cri-types.ts';
import type { Clock } from '../../../base/clock.ts';
import { describeError, isUnavailable } from '../../../base/errors.ts';
import { rpcText } from '../../../base/grpc.ts';
import type { Logger } from '../../../base/logger.ts';
import type { Pod } from '../../../objects/generated/core-v1.ts';
import { type PodPhases, uidOf } from '../../pod-model.ts';
import type { FittingCredential, Origin } from './keyring.ts';
import type { PullBackoff } from './pull-backoff.ts';
import { aggregateTexts, goMilliseconds, pullFailure, pullText } from './pull-texts.ts';
import type { PullProgress } from './pull-progress.ts';
import type { PullRecords } from './pull-records.ts';
import type { PullSlots } from './pull-slots.ts';

interface ImagePullerNeed {
  cri: Pick<Cri, 'imageStatus' | 'pullImage'>;
  backoff: PullBackoff;
  records: PullRecords;
  slots: PullSlots;
  progress: PullProgress;
  /** Whether one more call fits the node's rate (registryPullQPS). */
  mayPull(): boolean;
  counts: { imagePulled(wholeMs: number, sizeBytes: number): void };
  phases: PodPhases;
  clock: Clock;
  log: Logger;
}

export interface PullWish {
  pod: Pod;
  /** As the container has it: for people. */
  image: string;
  /** With a tag: for the runtime. */
  name: string;
  /** Without tag and digest: for credentials. */
  repository: string;
  sandbox: PodSandboxConfig;
  credentials(signal: AbortSignal): Promise<readonly FittingCredential[]>;
  event(type: 'Normal' | 'Warning', reason: string, message: string): void;
}

export type ImageOutcome =
  | { kind: 'present'; image: CriImage }
  /** `retryAtMs` (wall clock) when a back-off says so. */
  | { kind: 'failed'; reason: string; message: string; retryAtMs?: number };

/** One or more tries that all failed; its message is the event's text. */
class PullError extends Error {
  override name = 'PullError';
}

export class ImagePuller {
  readonly #need: ImagePullerNeed;

  constructor(need: ImagePullerNeed) {
    this.#need = need;
  }

  /** @throws only when interrupted: that is no failure */
  async pull(wish: PullWish, interrupt: AbortSignal): Promise<ImageOutcome> {
    const { backoff, clock, counts } = this.#need;
    const { pod, image, name, event } = wish;
    const key = `${uidOf(pod)}_${name}`;
    const wait = backoff.waiting(key);
    if (wait !== undefined) {
      const text = `Back-off pulling image "${image}"`;
      event('Normal', 'BackOff', text);
      const message = wait.last === undefined ? text : `${text}: ${wait.last.reason}: ${wait.last.message}`;
      return { kind: 'failed', reason: 'ImagePullBackOff', message, retryAtMs: wait.untilMs };
    }
    event('Normal', 'Pulling', `Pulling image "${image}"`);
    const askedMs = clock.monotonicMs();
    try {
      const { pullMs, present } = await this.#inTurn(wish, interrupt);
      backoff.succeeded();
      const wholeMs = clock.monotonicMs() - askedMs;
      counts.imagePulled(wholeMs, present.sizeBytes);
      event(
        'Normal',
        'Pulled',
        `Successfully pulled image "${image}" in ${goMilliseconds(pullMs)} (${goMilliseconds(wholeMs)} including waiting). Image size: ${present.sizeBytes} bytes.`,
      );
      return { kind: 'present', image: present };
    } catch (err) {
      interrupt.throwIfAborted();
      const text = err instanceof PullError ? err.message : rpcText(err);
      event('Warning', 'Failed', `Failed to pull image "${image}": ${text}`);
      const failure = pullFailure(image, text);
      backoff.failed(key, failure);
      return { kind: 'failed', ...failure };
    }
  }

  async #inTurn(wish: PullWish, interrupt: AbortSignal): Promise<{ pullMs: number; present: CriImage }> {
    const { cri, clock, phases, slots } = this.#need;
    const { pod, image, name } = wish;
    const credentials = await wish.credentials(interrupt);
    let hasTurn: () => void = () => {};
    const turn = new Promise<void>((resolve) => (hasTurn = resolve));
    const pulling = slots.with(interrupt, async () => {
      hasTurn();
      const beganMs = clock.monotonicMs();
      await this.#pullNoted(wish, credentials, interrupt);
      const present = await cri.imageStatus(name, interrupt);
      if (present === undefined) throw new Error(`the runtime pulled "${name}" but does not have it`);
      return { pullMs: clock.monotonicMs() - beganMs, present };
    });
    if (slots.isFull) await phases.span(pod, `wait to pull ${image}`, () => Promise.race([turn, pulling]));
    return await pulling;
  }

  /** Whatever ends it, nobody takes the image for one that was there before. */
  async #pullNoted(wish: PullWish, credentials: readonly FittingCredential[], interrupt: AbortSignal): Promise<void> {
    const { cri, records, log } = this.#need;
    const { image, name, repository } = wish;
    try {
      await records.begin(name);
    } catch (cause) {
      throw new PullError(
        `Failed to record image pull intent for container image "${image}": ${describeError(cause)}`,
        { cause },
      );
    }
    let origin: Origin | undefined;
    try {
      origin = await this.#tryCredentials(wish, credentials, interrupt);
    } catch (err) {
      // a runtime that answered is through with it; one that did not may go on
      if (interrupt.aborted || isUnavailable(err)) records.abandoned(name);
      else await records.failed(name);
      throw err;
    }
    const present = await cri.imageStatus(name, interrupt).catch((err: unknown) => {
      records.abandoned(name);
      throw err;
    });
    if (present === undefined) return records.abandoned(name);
    try {
      await records.succeeded(name, present.id, repository, origin);
    } catch (err) {
      records.abandoned(name); // the intent stays, so that the image is pulled again before another pod gets it
      log.warn({ image: name, reason: describeError(err) }, 'cannot record that an image was pulled');
    }
  }

  /** Each credential in turn until one works; without any, one anonymous try. */
  async #tryCredentials(
    { pod, image, name, sandbox }: PullWish,
    credentials: readonly FittingCredential[],
    interrupt: AbortSignal,
  ): Promise<Origin | undefined> {
    const { cri, phases, progress, mayPull } = this.#need;
    const annotations = { ...pod.metadata.annotations };
    const tries: Array<FittingCredential | undefined> = credentials.length === 0 ? [undefined] : [...credentials];
    const failures: unknown[] = [];
    for (const one of tries) {
      try {
        if (!mayPull()) throw new Error('pull QPS exceeded');
        await phases.span(pod, `pull ${image}${whoseText(one?.origin)}`, () =>
          progress.during(uidOf(pod), interrupt, () =>
            cri.pullImage(name, annotations, one?.credential, sandbox, interrupt),
          ),
        );
        return one?.origin;
      } catch (err) {
        interrupt.throwIfAborted();
        failures.push(err);
      }
    }
    throw new PullError(aggregateTexts(failures.map(pullText)), {
      cause: failures.find(isUnavailable) ?? failures.at(-1),
    });
  }
}

/** Tells the tries of one pull apart in a pod's timeline. */
function whoseText(origin: Origin | undefined): string {
  if (origin === undefined) return '';
  if (origin.kind === 'secret') return ` with secret ${origin.secret.name}`;
  if (origin.kind === 'account') return ` with service account ${origin.account.name}`;
  return ' with credentials of the node';
}
