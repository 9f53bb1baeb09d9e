/**
 * An image with resolvers of both kinds: glibc's `getent`, musl's `getaddrinfo` in a small program that is compiled here,
 * and `dig`. Made of this machine's programs and the libraries that they load.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createOciArchive } from '../../../src/lab/images/oci-archive.ts';
import { imageSources } from '../../../src/lab/images/lab-images.ts';
import { parseLibraries } from '../../../src/lab/images/cluster-dns-image.ts';
import type { TarEntry } from '../../../src/lab/images/tar-archive.ts';

export const resolverImage = 'gantry.local/resolvers:1';

/** `musl-lookup NAME…` prints a line for each: its IPv4 and IPv6 addresses in order, or the failure's name. */
const muslSource = `
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
int main(int argc, char **argv) {
  for (int i = 1; i < argc; i++) {
    struct addrinfo hints, *found = 0;
    memset(&hints, 0, sizeof hints);
    hints.ai_socktype = SOCK_STREAM;
    int code = getaddrinfo(argv[i], 0, &hints, &found);
    if (code != 0) printf("%s", code == EAI_NONAME ? "EAI_NONAME" : code == EAI_AGAIN ? "EAI_AGAIN" : gai_strerror(code));
    for (struct addrinfo *at = found; code == 0 && at != 0; at = at->ai_next) {
      char text[64];
      const void *address = at->ai_family == AF_INET ? (void *)&((struct sockaddr_in *)at->ai_addr)->sin_addr
                                                     : (void *)&((struct sockaddr_in6 *)at->ai_addr)->sin6_addr;
      printf("%s%s", at == found ? "" : " ", inet_ntop(at->ai_family, address, text, sizeof text));
    }
    printf("\\n");
  }
  return 0;
}
`;

/** Writes the image's archive into a folder. */
export function makeResolverImage(directory: string, architecture: string): string {
  const work = mkdtempSync(join(tmpdir(), 'gantry-resolvers-'));
  try {
    const source = join(work, 'lookup.c');
    const lookup = join(work, 'musl-lookup');
    writeFileSync(source, muslSource);
    execFileSync('musl-gcc', ['-static', '-O1', '-o', lookup, source]);
    const files = new Map<string, string>([['usr/bin/musl-lookup', lookup]]);
    for (const name of ['getent', 'dig']) {
      const path = `/usr/bin/${name}`;
      files.set(path.slice(1), path);
      const libraries = parseLibraries(execFileSync('ldd', [path], { encoding: 'utf8' }));
      for (const library of libraries) files.set(library.slice(1), realpathSync(library));
    }
    const [, busybox] = imageSources(Buffer.alloc(0), readFileSync('/bin/busybox'), ['sh', 'sleep', 'cat', 'hostname']);
    const archive = join(directory, 'resolvers.tar');
    const image = { name: resolverImage, layers: [...(busybox?.layers ?? []), layerOf(files)], entrypoint: [] };
    writeFileSync(archive, createOciArchive([image], architecture));
    return archive;
  } finally {
    rmSync(work, { recursive: true });
  }
}

function layerOf(files: ReadonlyMap<string, string>): TarEntry[] {
  const directories = new Set<string>();
  for (const path of files.keys()) {
    for (let at = dirname(path); at !== '.'; at = dirname(at)) directories.add(at);
  }
  return [
    ...[...directories].toSorted().map((path): TarEntry => ({ kind: 'directory', path, mode: 0o755 })),
    ...[...files].map(([path, from]): TarEntry => ({ kind: 'file', path, mode: 0o755, content: readFileSync(from) })),
  ];
}
