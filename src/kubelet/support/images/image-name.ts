/** Image names as users write them → as registries and runtimes know them. Pure. */

const component = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*';
const host =
  '(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\\[[a-fA-F0-9:]+\\])(?::[0-9]+)?';
const reference = new RegExp(
  `^(?:(?<domain>${host})/)?(?<path>${component}(?:/${component})*)(?::(?<tag>[\\w][\\w.-]{0,127}))?(?:@(?<digest>[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}))?$`,
);

const nameLengthMax = 255;

export type ParsedImage =
  | { kind: 'image'; name: string; /** Where credentials are looked up: `registry/path`. */ repository: string }
  | { kind: 'invalid'; message: string };

/** With `:latest` when neither tag nor digest is given. A bare `sha256:…` id stays as it is. */
export function parseImageName(image: string): ParsedImage {
  if (/^sha256:[0-9a-f]{64}$/.test(image)) return { kind: 'image', name: image, repository: image };
  if (/^[0-9a-f]{64}$/.test(image)) {
    // an id without its algorithm: taken for a name it would be looked for in the default registry
    return invalid(image, `invalid repository name (${image}), cannot specify 64-byte hexadecimal strings`);
  }
  const match = reference.exec(image);
  const path = match?.groups?.['path'];
  if (match === null || path === undefined) {
    const hint = reference.test(image.toLowerCase()) ? 'repository name must be lowercase' : 'invalid reference format';
    return invalid(image, hint);
  }
  const { domain, tag, digest } = match.groups ?? {};
  // A first part without dot, colon or "localhost" is a folder of the default registry, not a host.
  const isHost = domain !== undefined && (/[.:]/.test(domain) || domain === 'localhost');
  const registry = isHost ? domain : 'docker.io';
  const inRegistry = isHost || domain === undefined ? path : `${domain}/${path}`;
  const folder = registry === 'docker.io' && !inRegistry.includes('/') ? `library/${inRegistry}` : inRegistry;
  if (folder.length > nameLengthMax) {
    return invalid(image, `repository name must not be more than ${nameLengthMax} characters`);
  }
  return {
    kind: 'image',
    name: tag === undefined && digest === undefined ? `${image}:latest` : image,
    repository: `${registry}/${folder}`,
  };
}

const invalid = (image: string, why: string): ParsedImage => ({
  kind: 'invalid',
  message: `couldn't parse image name "${image}": ${why}`,
});
