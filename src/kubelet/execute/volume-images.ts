/**
 * The images that a pod's containers mount. Each is made sure of once in a turn, when the first container that mounts it
 * is about to start; one that is missing holds up the containers that mount it, and no others.
 */
import type { CriImage } from '../../adapters/cri/cri-types.ts';
import type { Container, ImageVolumeSource, Pod } from '../../objects/generated/core-v1.ts';

/** An image as the runtime is asked to mount it. */
export interface VolumeImage {
  /** The runtime's own id. */
  id: string;
  /** As the pod names it. */
  reference: string;
}

type Failed = { kind: 'failed'; reason: string; message: string; retryAtMs?: number | undefined };
type Outcome = { kind: 'present'; image: CriImage } | Failed;

export type VolumeImagesOutcome =
  /** By the names of the volumes. */
  | { kind: 'ready'; images: ReadonlyMap<string, VolumeImage> }
  /** In the order in which the container mounts them, and the last one once more: it is the one that is shown. */
  | { kind: 'failed'; failures: readonly Failed[]; last: Failed };

/** The images of one pod in one turn. */
export class VolumeImages {
  readonly #sources: ReadonlyMap<string, ImageVolumeSource>;
  readonly #ensure: (source: ImageVolumeSource) => Promise<Outcome>;
  readonly #asked = new Map<string, Promise<Outcome>>();

  constructor(pod: Pod, ensure: (source: ImageVolumeSource) => Promise<Outcome>) {
    this.#sources = new Map((pod.spec.volumes ?? []).flatMap(({ name, image }) => (image ? [[name, image]] : [])));
    this.#ensure = ensure;
  }

  /** @throws only when interrupted: that is no failure */
  async of({ volumeMounts = [] }: Container): Promise<VolumeImagesOutcome> {
    const images = new Map<string, VolumeImage>();
    const failures: Failed[] = [];
    for (const name of new Set(volumeMounts.map((mount) => mount.name))) {
      const source = this.#sources.get(name);
      if (source === undefined) continue;
      const outcome = await this.#once(name, source);
      if (outcome.kind === 'failed') failures.push(outcome);
      else images.set(name, { id: outcome.image.id, reference: source.reference ?? '' });
    }
    const last = failures.at(-1);
    return last === undefined ? { kind: 'ready', images } : { kind: 'failed', failures, last };
  }

  #once(name: string, source: ImageVolumeSource): Promise<Outcome> {
    const asked = this.#asked.get(name) ?? this.#ensure(source);
    this.#asked.set(name, asked);
    return asked;
  }
}

const hasNoSource = /failed to (?:mkdir|stat|resolve symlink) "":/;

/** Whether a runtime's refusal to create a container is about an image that it was to mount. */
export const isImageRefusal = (text: string): boolean =>
  text.startsWith('ImageVolumeMountFailed') || hasNoSource.test(text);

/**
 * A runtime's refusal to create a container that mounts images. A runtime that does not know such mounts sees one
 * without a source, and says no more than that: what it means is added to its words.
 *
 * @param runtime name and version, for people
 */
export function explainRefusal(text: string, images: ReadonlyMap<string, VolumeImage>, runtime: string): string {
  if (images.size === 0 || !hasNoSource.test(text)) return text;
  const volumes = [...images.keys()].map((name) => `"${name}"`).join(', ');
  return `${text} (the runtime, ${runtime}, cannot mount images: it would have to for ${images.size === 1 ? 'volume' : 'volumes'} ${volumes})`;
}
