/**
 * The images that every lab has without a registry: pause, busybox and a small web server, made from static programs
 * of this machine. Built once per version of those programs and kept as one archive.
 */
import { createHash } from 'node:crypto';
import { mkdir, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { NotFoundError } from '../../base/errors.ts';
import { createOciArchive } from './oci-archive.ts';
import type { ImageSource } from './oci-archive.ts';
import type { TarEntry } from './tar-archive.ts';

export const labImages = {
  pause: 'registry.k8s.io/pause:3.10',
  busybox: 'gantry.local/busybox:1.35',
  web: 'gantry.local/web:1',
} as const;

/** The static programs that the images are made of, and the Debian packages that have them. */
export const staticPrograms = {
  pause: { path: '/usr/bin/catatonit', package: 'catatonit' },
  busybox: { path: '/bin/busybox', package: 'busybox-static' },
} as const;

/** Changes when the code below makes other images from the same programs. */
const recipeVersion = 1;

interface ImagesNeed {
  /** Where archives are kept between clusters. */
  cacheDir: string;
  architecture: string;
  /** The names of the applets of a busybox, one per line, as `busybox --list` prints them. */
  listApplets: (busyboxPath: string, signal: AbortSignal) => Promise<string>;
}

/** Makes the archive unless it is there already, and returns its path. Archives of older recipes are removed. */
export async function ensureImageArchive(need: ImagesNeed, signal: AbortSignal): Promise<string> {
  const [pause, busybox] = await Promise.all([readProgram(staticPrograms.pause), readProgram(staticPrograms.busybox)]);
  const key = createHash('sha256')
    .update(pause)
    .update(busybox)
    .update(`${recipeVersion} ${need.architecture}`)
    .digest('hex');
  const name = `images-${key.slice(0, 16)}.tar`;
  const path = join(need.cacheDir, name);
  await mkdir(need.cacheDir, { recursive: true });
  const cached = await readdir(need.cacheDir);
  if (cached.includes(name)) return path;
  const applets = (await need.listApplets(staticPrograms.busybox.path, signal))
    .split('\n')
    .filter((applet) => applet !== '');
  const archive = createOciArchive(imageSources(pause, busybox, applets), need.architecture);
  const temporary = `${path}.tmp-${process.pid}`;
  await writeFile(temporary, archive);
  await rename(temporary, path); // a cluster made at the same moment sees a whole archive or none
  await Promise.all(
    cached
      .filter((old) => /^images-[0-9a-f]+\.tar$/.test(old))
      .map((old) => rm(join(need.cacheDir, old), { force: true })),
  );
  return path;
}

/** Pure: what the images hold. */
export function imageSources(pause: Buffer, busybox: Buffer, applets: readonly string[]): ImageSource[] {
  const base = busyboxLayer(busybox, applets);
  return [
    {
      name: labImages.pause,
      layers: [[{ kind: 'file', path: 'pause', mode: 0o755, content: pause }]],
      entrypoint: ['/pause', '-P'],
      user: '65535:65535',
    },
    { name: labImages.busybox, layers: [base], entrypoint: [], command: ['sh'] },
    {
      name: labImages.web,
      layers: [base, webLayer()],
      entrypoint: ['/bin/sh', '-c', 'hostname > /www/index.html && exec httpd -f -v -p 8080 -h /www'],
      exposedPorts: ['8080/tcp'],
    },
  ];
}

function busyboxLayer(busybox: Buffer, applets: readonly string[]): TarEntry[] {
  const directory = (path: string, mode = 0o755): TarEntry => ({ kind: 'directory', path, mode });
  const text = (path: string, content: string): TarEntry => ({
    kind: 'file',
    path,
    mode: 0o644,
    content: Buffer.from(content),
  });
  return [
    ...['bin', 'dev', 'etc', 'home', 'proc', 'sys', 'usr', 'usr/bin', 'usr/sbin', 'var', 'var/run'].map((path) =>
      directory(path),
    ),
    directory('root', 0o700),
    directory('tmp', 0o1777),
    text('etc/passwd', 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n'),
    text('etc/group', 'root:x:0:\ntty:x:5:\nnobody:x:65534:\n'),
    text('etc/nsswitch.conf', 'hosts: files dns\n'),
    { kind: 'file', path: 'bin/busybox', mode: 0o755, content: busybox },
    ...applets
      .filter((applet) => applet !== 'busybox')
      .map((applet): TarEntry => ({ kind: 'symlink', path: `bin/${applet}`, target: 'busybox' })),
  ];
}

/** `/` answers with the pod's name, `/cgi-bin/env` with what the server knows of a request. */
function webLayer(): TarEntry[] {
  const script = '#!/bin/sh\nprintf "Content-Type: text/plain\\r\\n\\r\\n"\nhostname\nenv | sort\n';
  return [
    { kind: 'directory', path: 'www', mode: 0o777 },
    { kind: 'directory', path: 'www/cgi-bin', mode: 0o755 },
    { kind: 'file', path: 'www/cgi-bin/env', mode: 0o755, content: Buffer.from(script) },
  ];
}

async function readProgram(program: { path: string; package: string }): Promise<Buffer> {
  try {
    return await readFile(program.path);
  } catch (cause) {
    throw new NotFoundError(
      `Cannot make the lab's images: "${program.path}" is missing; apt-get install ${program.package}`,
      { cause },
    );
  }
}
