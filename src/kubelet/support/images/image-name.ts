/** Image names as users write them → as registries and runtimes know them. Pure. */

const component = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*';
const host =
  '(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\\[[a-fA-F0-9:]+\\])(?::[0-9]+)?';
const reference = new RegExp(
  `^(?:(?<domain>${host})/)?(?<path>${component}(?:/${component})*)(?::(?<tag>[\\w][\\w.-]{0,127}))?(?:@(?<digest>[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}))?$`,
);

export type ParsedImage =
  | { kind: 'image'; name: string; /** Where credentials are looked up: `registry/path`. */ repository: string }
  | { kind: 'invalid'; message: string };

/** With `:latest` when neither tag nor digest is given. A bare `sha256:…` id stays as it is. */
export function parseImageName(image: string): ParsedImage {
  if (/^sha256:[0-9a-f]{64}$/.test(image)) return { kind: 'image', name: image, repository: image };
  const match = reference.exec(image);
  const path = match?.groups?.['path'];
  if (match === null || path === undefined) {
    const hint = reference.test(image.toLowerCase()) ? 'repository name must be lowercase' : 'invalid reference format';
    return { kind: 'invalid', message: `couldn't parse image name "${image}": ${hint}` };
  }
  const { domain, tag, digest } = match.groups ?? {};
  // A first part without dot, colon or "localhost" is a folder of the default registry, not a host.
  const isHost = domain !== undefined && (/[.:]/.test(domain) || domain === 'localhost');
  const registry = isHost ? domain : 'docker.io';
  const inRegistry = isHost || domain === undefined ? path : `${domain}/${path}`;
  const folder = registry === 'docker.io' && !inRegistry.includes('/') ? `library/${inRegistry}` : inRegistry;
  return {
    kind: 'image',
    name: tag === undefined && digest === undefined ? `${image}:latest` : image,
    repository: `${registry}/${folder}`,
  };
}
