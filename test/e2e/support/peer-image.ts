/**
 * An image whose program answers every TCP connection and every datagram with a line: the pod's name, the address that it
 * saw the client at, and its own port. `answer PORT…` serves all of these ports, and ends when it is asked to.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { imageSources } from '../../../src/lab/images/lab-images.ts';
import { createOciArchive } from '../../../src/lab/images/oci-archive.ts';

export const peerImage = 'gantry.local/peer:1';

const source = `
#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
static char name[256];
static void end(int signal) { _exit(0); }
static int line(char *text, size_t size, struct sockaddr_in6 *from, const char *port) {
  char ip[64];
  inet_ntop(AF_INET6, &from->sin6_addr, ip, sizeof ip);
  return snprintf(text, size, "%s %s %s\\n", name, strncmp(ip, "::ffff:", 7) == 0 ? ip + 7 : ip, port);
}
int main(int argc, char **argv) {
  struct pollfd ends[32];
  int count = 0, on = 1;
  signal(SIGTERM, end);
  signal(SIGPIPE, SIG_IGN);
  gethostname(name, sizeof name);
  for (int i = 1; i < argc && i <= 16; i++) {
    for (int isUdp = 0; isUdp < 2; isUdp++) {
      struct sockaddr_in6 at = { .sin6_family = AF_INET6, .sin6_port = htons(atoi(argv[i])) };
      int fd = socket(AF_INET6, isUdp ? SOCK_DGRAM : SOCK_STREAM, 0);
      setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
      if (bind(fd, (struct sockaddr *)&at, sizeof at) != 0) { perror(argv[i]); return 1; }
      if (!isUdp) listen(fd, 1024);
      ends[count++] = (struct pollfd){ .fd = fd, .events = POLLIN };
    }
  }
  for (;;) {
    poll(ends, count, -1);
    for (int i = 0; i < count; i++) {
      char text[512], taken[512];
      struct sockaddr_in6 from;
      socklen_t size = sizeof from;
      if (!(ends[i].revents & POLLIN)) continue;
      const char *port = argv[1 + i / 2];
      if (i % 2 == 0) {
        int fd = accept(ends[i].fd, (struct sockaddr *)&from, &size);
        if (fd < 0) continue;
        write(fd, text, line(text, sizeof text, &from, port));
        close(fd);
      } else if (recvfrom(ends[i].fd, taken, sizeof taken, 0, (struct sockaddr *)&from, &size) >= 0) {
        sendto(ends[i].fd, text, line(text, sizeof text, &from, port), 0, (struct sockaddr *)&from, size);
      }
    }
  }
}
`;

/** Writes the image's archive into a folder. */
export function makePeerImage(directory: string, architecture: string): string {
  const work = mkdtempSync(join(tmpdir(), 'gantry-peer-'));
  try {
    const [from, program] = [join(work, 'answer.c'), join(work, 'answer')];
    writeFileSync(from, source);
    execFileSync('musl-gcc', ['-static', '-O1', '-o', program, from]);
    const [, busybox] = imageSources(Buffer.alloc(0), readFileSync('/bin/busybox'), ['sh', 'sleep', 'true', 'false']);
    const layer = [{ kind: 'file' as const, path: 'bin/answer', mode: 0o755, content: readFileSync(program) }];
    const archive = join(directory, 'peer.tar');
    const image = { name: peerImage, layers: [...(busybox?.layers ?? []), layer], entrypoint: ['/bin/answer'] };
    writeFileSync(archive, createOciArchive([image], architecture));
    return archive;
  } finally {
    rmSync(work, { recursive: true });
  }
}
