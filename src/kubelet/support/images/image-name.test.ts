import { describe, expect, it } from 'vitest';
import { parseImageName } from './image-name.ts';

const hex = 'a'.repeat(64);
const digest = `sha256:${hex}`;

describe('parseImageName', () => {
  it.each([
    ['web', 'web:latest', 'docker.io/library/web'],
    ['web:1', 'web:1', 'docker.io/library/web'],
    ['team/web', 'team/web:latest', 'docker.io/team/web'],
    ['localhost/web', 'localhost/web:latest', 'localhost/web'],
    ['localhost:5000/web:1', 'localhost:5000/web:1', 'localhost:5000/web'],
    ['registry.test/a/b/web', 'registry.test/a/b/web:latest', 'registry.test/a/b/web'],
    [`web@${digest}`, `web@${digest}`, 'docker.io/library/web'],
    [`registry.test/web:1@${digest}`, `registry.test/web:1@${digest}`, 'registry.test/web'],
    ['[fd00::1]:5000/web', '[fd00::1]:5000/web:latest', '[fd00::1]:5000/web'],
    [digest, digest, digest],
  ])('%s', (image, name, repository) => expect(parseImageName(image)).toEqual({ kind: 'image', name, repository }));

  it.each([
    ['Web', 'repository name must be lowercase'],
    ['', 'invalid reference format'],
    ['web:', 'invalid reference format'],
    ['web:a:b', 'invalid reference format'],
    ['/web', 'invalid reference format'],
    ['web@sha256:1', 'invalid reference format'],
    ['we b', 'invalid reference format'],
    [hex, `invalid repository name (${hex}), cannot specify 64-byte hexadecimal strings`],
    [`a/${'b'.repeat(254)}`, 'repository name must not be more than 255 characters'],
  ])('%j is none', (image, hint) =>
    expect(parseImageName(image)).toEqual({
      kind: 'invalid',
      message: `couldn't parse image name "${image}": ${hint}`,
    }),
  );
});
