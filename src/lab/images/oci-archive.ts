/** OCI image layouts as one tar archive, the form that `ctr images import` and `gantry lab load` take. */
import { createHash } from 'node:crypto';
import { createTar } from './tar-archive.ts';
import type { TarEntry } from './tar-archive.ts';

export interface ImageSource {
  /** Full name with tag, e.g. `registry.k8s.io/pause:3.10`. */
  name: string;
  /** Bottom first. Layers that images share are stored once. */
  layers: ReadonlyArray<readonly TarEntry[]>;
  entrypoint: readonly string[];
  command?: readonly string[];
  env?: readonly string[];
  user?: string;
  exposedPorts?: readonly string[];
}

interface Descriptor {
  mediaType: string;
  digest: string;
  size: number;
}

const mediaTypes = {
  layer: 'application/vnd.oci.image.layer.v1.tar',
  config: 'application/vnd.oci.image.config.v1+json',
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  index: 'application/vnd.oci.image.index.v1+json',
} as const;

/** @param architecture as Go names it: `amd64`, `arm64` */
export function createOciArchive(images: readonly ImageSource[], architecture: string): Buffer {
  const blobs = new Map<string, Buffer>();
  const store = (mediaType: string, content: Buffer): Descriptor => {
    const digest = `sha256:${createHash('sha256').update(content).digest('hex')}`;
    blobs.set(digest, content);
    return { mediaType, digest, size: content.length };
  };
  const storeJson = (mediaType: string, value: unknown): Descriptor =>
    store(mediaType, Buffer.from(JSON.stringify(value)));

  const manifests = images.map((image) => {
    const layers = image.layers.map((entries) => store(mediaTypes.layer, createTar(entries)));
    const config = storeJson(mediaTypes.config, {
      architecture,
      os: 'linux',
      config: {
        Entrypoint: image.entrypoint,
        ...(image.command === undefined ? {} : { Cmd: image.command }),
        Env: image.env ?? ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
        ...(image.user === undefined ? {} : { User: image.user }),
        ...(image.exposedPorts === undefined
          ? {}
          : { ExposedPorts: Object.fromEntries(image.exposedPorts.map((port) => [port, {}])) }),
      },
      rootfs: { type: 'layers', diff_ids: layers.map(({ digest }) => digest) }, // uncompressed: the digests are the same
    });
    const manifest = storeJson(mediaTypes.manifest, {
      schemaVersion: 2,
      mediaType: mediaTypes.manifest,
      config,
      layers,
    });
    const annotations = {
      'io.containerd.image.name': image.name,
      'org.opencontainers.image.ref.name': tagOf(image.name),
    };
    return { ...manifest, platform: { architecture, os: 'linux' }, annotations };
  });

  const file = (path: string, content: Buffer): TarEntry => ({ kind: 'file', path, mode: 0o644, content });
  const json = (path: string, value: unknown): TarEntry => file(path, Buffer.from(JSON.stringify(value)));
  return createTar([
    json('oci-layout', { imageLayoutVersion: '1.0.0' }),
    json('index.json', { schemaVersion: 2, mediaType: mediaTypes.index, manifests }),
    { kind: 'directory', path: 'blobs', mode: 0o755 },
    { kind: 'directory', path: 'blobs/sha256', mode: 0o755 },
    ...[...blobs].map(([digest, content]) => file(`blobs/sha256/${digest.slice('sha256:'.length)}`, content)),
  ]);
}

function tagOf(name: string): string {
  return name.slice(name.lastIndexOf(':') + 1);
}
