/** The images of the fake runtime: those that are there, and those that a registry would give. */
import { createHash } from 'node:crypto';
import type { Image } from '../../src/adapters/cri/generated/runtime/v1/Image.ts';
import { FakeRpcError } from './fake-faults.ts';

export interface FakeImage {
  /** `sha256:…` */
  id: string;
  /** Full names with tags. */
  repoTags: string[];
  repoDigests: string[];
  sizeBytes: number;
  /** The image's user: a number, a name, or none. */
  user: number | string | undefined;
  pinned: boolean;
}

type FakeImageOptions = Partial<Pick<FakeImage, 'sizeBytes' | 'user' | 'pinned'>>;

/** A name as containerd writes it: `busybox` → `docker.io/library/busybox:latest`. */
export function normalizeImageName(name: string): string {
  const [first = '', ...rest] = name.split('/');
  const hasHost = rest.length > 0 && (/[.:]/.test(first) || first === 'localhost');
  const full = hasHost ? name : rest.length > 0 ? `docker.io/${name}` : `docker.io/library/${name}`;
  const last = full.slice(full.lastIndexOf('/') + 1);
  return last.includes(':') || last.includes('@') ? full : `${full}:latest`;
}

export class FakeImages {
  readonly #present = new Map<string, FakeImage>(); // by id
  readonly #published = new Map<string, FakeImage>(); // by full name

  /** Puts an image there, as an import would. */
  add(name: string, options: FakeImageOptions = {}): FakeImage {
    const image = imageNamed(normalizeImageName(name), options);
    this.#present.set(image.id, image);
    return image;
  }

  /** Makes an image pullable that is not there. */
  publish(name: string, options: FakeImageOptions = {}): void {
    const full = normalizeImageName(name);
    this.#published.set(full, imageNamed(full, options));
  }

  list(): FakeImage[] {
    return [...this.#present.values()];
  }

  /** By id, tag or digest, as every call that takes an image. */
  find(name: string): FakeImage | undefined {
    const full = normalizeImageName(name);
    return (
      this.#present.get(name) ??
      this.#present.get(`sha256:${name}`) ??
      this.list().find(({ repoTags, repoDigests }) => repoTags.includes(full) || repoDigests.includes(full))
    );
  }

  /** Returns the reference that containers will carry. @throws {FakeRpcError} NOT_FOUND when nobody published it */
  pull(name: string): string {
    const full = normalizeImageName(name);
    const image = this.#published.get(full);
    if (image === undefined) {
      throw new FakeRpcError(
        'NOT_FOUND',
        `failed to pull and unpack image "${full}": failed to resolve reference "${full}": ${full}: not found`,
      );
    }
    this.#present.set(image.id, image);
    return image.id;
  }

  remove(name: string): void {
    const image = this.find(name);
    if (image !== undefined) this.#present.delete(image.id);
  }
}

export function toCriImage(image: FakeImage): Image {
  return {
    id: image.id,
    repo_tags: image.repoTags,
    repo_digests: image.repoDigests,
    size: image.sizeBytes,
    uid: typeof image.user === 'number' ? { value: image.user } : null,
    username: typeof image.user === 'string' ? image.user : '',
    pinned: image.pinned,
  };
}

function imageNamed(full: string, { sizeBytes = 1_000_000, user, pinned = false }: FakeImageOptions): FakeImage {
  const digestOf = (what: string): string => `sha256:${createHash('sha256').update(`${what} ${full}`).digest('hex')}`;
  const repository = full.includes('@') ? full.slice(0, full.indexOf('@')) : full.slice(0, full.lastIndexOf(':'));
  return {
    id: digestOf('config'),
    repoTags: full.includes('@') ? [] : [full],
    repoDigests: [full.includes('@') ? full : `${repository}@${digestOf('manifest')}`],
    sizeBytes,
    user,
    pinned,
  };
}
