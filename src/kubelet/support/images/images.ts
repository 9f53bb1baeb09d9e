/**
 * Makes sure that an image, to run or to mount, is there and that its pod may use it: looks, verifies, pulls by policy.
 * The door of the room: what is remembered of pulls, on disk and in memory, belongs to it. What goes again is
 * `image-collector.ts`.
 */
import type { Cri, PodSandboxConfig } from '../../../adapters/cri/cri.ts';
import type { CriImage } from '../../../adapters/cri/cri-types.ts';
import type { Clock } from '../../../base/clock.ts';
import { describeError } from '../../../base/errors.ts';
import { rpcText } from '../../../base/grpc.ts';
import type { Logger } from '../../../base/logger.ts';
import { runLoop } from '../../../base/run-loop.ts';
import { defaultPullPolicy } from '../../../objects/default-pod.ts';
import type { ImageVolumeSource, Pod, Secret } from '../../../objects/generated/core-v1.ts';
import { type PodContainer, type PodEvents, type PodPhases } from '../../pod-model.ts';
import { type ImageOutcome, ImagePuller } from './image-puller.ts';
import { parseImageName } from './image-name.ts';
import { type FittingCredential, type KeyringEntry, fittingCredentials, secretKeyring } from './keyring.ts';
import { PullBackoff } from './pull-backoff.ts';
import { PullProgress } from './pull-progress.ts';
import { PullRecords } from './pull-records.ts';
import { PullSlots } from './pull-slots.ts';
import { type VerificationRules, decideAccess } from './verify-access.ts';

export type { ImageOutcome } from './image-puller.ts';

interface ImagesNeed {
  cri: Pick<Cri, 'imageFilesystems' | 'imageStatus' | 'listImages' | 'pullImage'>;
  /** Of the file system with the path. */
  space(path: string): Promise<{ availableBytes: number }>;
  events: PodEvents;
  phases: PodPhases;
  rootDir: string;
  /** Credentials of the node itself. */
  nodeCredentials(): Promise<readonly KeyringEntry[]>;
  /** Plugins that know credentials for the repository. */
  providers: {
    entries(pod: Pod, repository: string, signal: AbortSignal): Promise<readonly KeyringEntry[]>;
    forget(podUid: string): void;
  };
  verification: VerificationRules;
  /** Whether one more pull fits the node's rate (registryPullQPS). */
  mayPull(): boolean;
  counts: ImageCounts;
  /** Pulls at once; 1 is upstream's serial mode, Infinity no limit. */
  parallelPullsMax: number;
  clock: Clock;
  log: Logger;
}

/** Who counts what was asked of us and what came of it. Undefined: nobody knows. */
export interface ImageCounts {
  imageWanted(policy: string, isPresent: boolean | undefined, needsPull: boolean | undefined): void;
  imagePulled(wholeMs: number, sizeBytes: number): void;
}

const tidyPeriodMs = 5 * 60_000;

type SayEvent = (type: 'Normal' | 'Warning', reason: string, message: string) => void;

interface ImageWish {
  pod: Pod;
  /** As the pod has it. */
  image: string;
  policy: string;
  sandbox: PodSandboxConfig;
  secrets: readonly Secret[];
  event: SayEvent;
}

export class Images {
  readonly #need: ImagesNeed;
  readonly #records: PullRecords;
  readonly #backoff: PullBackoff;
  readonly #progress: PullProgress;
  readonly #puller: ImagePuller;
  /** Names of pulls with an unknown end whose image was not there at the last look. */
  #missing: ReadonlySet<string> = new Set();

  constructor(need: ImagesNeed) {
    const { cri, mayPull, phases, parallelPullsMax, counts, rootDir, space, clock, log } = need;
    this.#need = need;
    this.#records = new PullRecords({ rootDir, clock, log });
    this.#backoff = new PullBackoff({ rootDir, clock, log });
    const slots = new PullSlots({ max: parallelPullsMax, clock });
    this.#progress = new PullProgress({ cri, space, clock });
    const parts = { records: this.#records, backoff: this.#backoff, slots, progress: this.#progress };
    this.#puller = new ImagePuller({ cri, ...parts, mayPull, counts, phases, clock, log });
  }

  /** Takes up what earlier processes noted; before the first `ensure`. */
  async open(): Promise<void> {
    await this.#records.open();
    await this.#backoff.open();
  }

  /** Keeps the records in step with the images that are there. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#need;
    await runLoop((s) => this.#tidy(s), { periodMs: tidyPeriodMs, retryMs: tidyPeriodMs, clock, log }, signal);
    await this.#backoff.whenWritten();
  }

  /** @param interrupt aborts a pull when the pod is to end */
  async ensure(
    pod: Pod,
    { kind, spec }: PodContainer,
    sandbox: PodSandboxConfig,
    secrets: readonly Secret[],
    interrupt: AbortSignal,
  ): Promise<ImageOutcome> {
    const event: SayEvent = (...said) => this.#need.events.container(pod, kind, spec.name, ...said);
    const { image, imagePullPolicy: policy = 'IfNotPresent' } = spec;
    return await this.#ensure({ pod, image, policy, sandbox, secrets, event }, interrupt);
  }

  /** As `ensure`, for an image that the pod's containers mount; its events are the pod's. */
  async ensureVolume(
    pod: Pod,
    { reference: image = '', pullPolicy }: ImageVolumeSource,
    sandbox: PodSandboxConfig,
    secrets: readonly Secret[],
    interrupt: AbortSignal,
  ): Promise<ImageOutcome> {
    const event: SayEvent = (...said) => this.#need.events.pod(pod, ...said);
    const policy = pullPolicy ?? defaultPullPolicy(image);
    return await this.#ensure({ pod, image, policy, sandbox, secrets, event }, interrupt);
  }

  async #ensure(
    { pod, image, policy, sandbox, secrets, event }: ImageWish,
    interrupt: AbortSignal,
  ): Promise<ImageOutcome> {
    const { counts } = this.#need;
    const parsed = parseImageName(image);
    if (parsed.kind === 'invalid') {
      const message = `Failed to apply default image tag "${image}": ${parsed.message}`;
      event('Warning', 'InspectFailed', message);
      counts.imageWanted(policy, undefined, undefined);
      return { kind: 'failed', reason: 'InvalidImageName', message };
    }
    const { name, repository } = parsed;
    let fitting: Promise<readonly FittingCredential[]> | undefined;
    const credentials = (): Promise<readonly FittingCredential[]> =>
      (fitting ??= this.#credentials(pod, repository, secrets, interrupt));
    if (policy !== 'Always') {
      let present: CriImage | undefined;
      try {
        present = await this.#need.cri.imageStatus(name, interrupt);
      } catch (err) {
        interrupt.throwIfAborted();
        const message = `Failed to inspect image "": ${rpcText(err)}`;
        event('Warning', 'InspectFailed', message);
        counts.imageWanted(policy, undefined, undefined);
        return { kind: 'failed', reason: 'ImageInspectError', message };
      }
      if (present !== undefined && (await this.#mayUse(name, repository, present, credentials))) {
        counts.imageWanted(policy, true, false);
        const access = this.#need.verification.isOn ? ' and can be accessed by the pod' : '';
        event('Normal', 'Pulled', `Container image "${image}" already present on machine${access}`);
        return { kind: 'present', image: present };
      }
      const isPresent = present !== undefined;
      // what may never be pulled needs no pull, unless it is there and only a pull could show that the pod may use it
      counts.imageWanted(policy, isPresent, policy === 'Never' && !isPresent ? undefined : true);
      if (policy === 'Never') {
        const message = `Container image "${image}" is not present with pull policy of Never`;
        event('Warning', 'ErrImageNeverPull', message);
        return { kind: 'failed', reason: 'ErrImageNeverPull', message };
      }
    } else {
      counts.imageWanted(policy, undefined, true);
    }
    return await this.#puller.pull({ pod, image, name, repository, sandbox, credentials, event }, interrupt);
  }

  /** By how many bytes the disk with images has filled since the pod's pull began; undefined when it pulls nothing. */
  pullFilledBytes(uid: string, signal: AbortSignal): Promise<number | undefined> {
    return this.#progress.filledBytes(uid, signal);
  }

  /** Forgets what is known about a pod that is gone. */
  forget(uid: string): void {
    this.#backoff.forget(uid);
    this.#need.providers.forget(uid);
  }

  async #mayUse(
    name: string,
    repository: string,
    present: CriImage,
    credentials: () => Promise<readonly FittingCredential[]>,
  ): Promise<boolean> {
    const { verification, log } = this.#need;
    const record = this.#records.record(present.id);
    const known = { record, wasPulledByKubelet: this.#records.wasPulledByKubelet(name, present.id) };
    if (decideAccess(verification, repository, known, []).kind === 'granted') return true;
    if (record?.credentialMapping?.[repository] === undefined) return false; // no credential could change that
    const origins = (await credentials()).map(({ origin }) => origin);
    const decision = decideAccess(verification, repository, known, origins);
    if (decision.kind === 'pull') return false;
    if (decision.learned !== undefined) {
      await this.#records.learn(present.id, repository, decision.learned).catch((err: unknown) => {
        // the pod has shown what it must; the next one is asked again
        log.warn({ image: name, reason: describeError(err) }, 'cannot record who may use an image');
      });
    }
    return true;
  }

  /** All that fit, in the order in which they are tried: the pod's, the node's, those of plugins. */
  async #credentials(
    pod: Pod,
    repository: string,
    secrets: readonly Secret[],
    signal: AbortSignal,
  ): Promise<readonly FittingCredential[]> {
    const sources = [
      secretKeyring(secrets),
      await this.#need.nodeCredentials(),
      await this.#need.providers.entries(pod, repository, signal),
    ];
    return sources.flatMap((entries) => fittingCredentials(repository, entries));
  }

  async #tidy(signal: AbortSignal): Promise<void> {
    const { cri, clock } = this.#need;
    const stillMissing = new Set<string>();
    for (const name of this.#records.unfinished()) {
      const present = await cri.imageStatus(name, signal);
      if (present !== undefined) await this.#records.adopt(name, present.id);
      else if (this.#missing.has(name)) await this.#records.forgetUnfinished(name);
      else stillMissing.add(name); // the runtime may be at it yet
    }
    this.#missing = stillMissing;
    const lookedMs = clock.nowMs();
    const present = new Set((await cri.listImages(signal)).map(({ id }) => id));
    await this.#records.prune(present, lookedMs);
  }
}
