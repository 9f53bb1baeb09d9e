import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readlinkSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createHash } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { imageSources, labImages } from './lab-images.ts';
import { createOciArchive } from './oci-archive.ts';
import { createTar } from './tar-archive.ts';

describe('archives', () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'gantry-tar-'));
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  const extract = (archive: Buffer): void => {
    writeFileSync(join(dir, 'a.tar'), archive);
    execFileSync('tar', ['-xf', join(dir, 'a.tar'), '-C', dir]);
  };

  it('tar reads back files, modes, links and folders', () => {
    const content = Buffer.alloc(513, 'x');
    extract(
      createTar([
        { kind: 'directory', path: 'd', mode: 0o755 },
        { kind: 'file', path: 'd/f', mode: 0o640, content },
        { kind: 'file', path: 'empty', mode: 0o600, content: Buffer.alloc(0) },
        { kind: 'symlink', path: 'd/l', target: 'f' },
      ]),
    );
    expect(readFileSync(join(dir, 'd/f'))).toEqual(content);
    expect(statSync(join(dir, 'd/f')).mode & 0o777).toBe(0o640);
    expect(readlinkSync(join(dir, 'd/l'))).toBe('f');
    expect(statSync(join(dir, 'empty')).size).toBe(0);
  });

  it('a name that does not fit is refused by name', () => {
    const path = 'x'.repeat(101);
    expect(() => createTar([{ kind: 'file', path, mode: 0o644, content: Buffer.alloc(0) }])).toThrow(
      `Cannot archive "${path}"`,
    );
  });

  it('every blob has the digest of its name, and images share the layer they have in common', () => {
    extract(
      createOciArchive(imageSources(Buffer.from('pause'), Buffer.from('busybox'), ['busybox', 'sh', 'wget']), 'amd64'),
    );
    const blob = (digest: string): Buffer => readFileSync(join(dir, 'blobs/sha256', digest.replace('sha256:', '')));
    const json = (digest: string): { config: { digest: string }; layers: Array<{ digest: string }> } =>
      JSON.parse(blob(digest).toString()) as { config: { digest: string }; layers: Array<{ digest: string }> };
    const index = JSON.parse(readFileSync(join(dir, 'index.json'), 'utf8')) as {
      manifests: Array<{ digest: string; annotations: Record<string, string> }>;
    };
    expect(index.manifests.map(({ annotations }) => annotations['io.containerd.image.name'])).toEqual(
      Object.values(labImages),
    );
    const manifests = index.manifests.map(({ digest }) => json(digest));
    const digests = manifests.flatMap(({ config, layers }) => [config.digest, ...layers.map(({ digest }) => digest)]);
    for (const digest of digests) {
      expect(createHash('sha256').update(blob(digest)).digest('hex')).toBe(digest.replace('sha256:', ''));
    }
    expect(manifests[1]?.layers[0]).toEqual(manifests[2]?.layers[0]);
  });
});
