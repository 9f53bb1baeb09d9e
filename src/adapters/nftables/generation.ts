/**
 * The number of the kernel's rule set: every commit of anybody in this network namespace makes it one more. Read over
 * netlink by plain system calls, which takes microseconds where a child process takes milliseconds.
 */
import koffi from 'koffi';

const afNetlink = 16;
const sockRawCloexec = 3 | 0o2000000;
const netlinkNetfilter = 12;
const dontWait = 0x40;
/** NFNL_SUBSYS_NFTABLES in the upper byte. */
const getGeneration = (10 << 8) | 16;
const newGeneration = (10 << 8) | 15;
const isRequest = 1;
const messageHeaderBytes = 16;
const netfilterHeaderBytes = 4;
const attributeHeaderBytes = 4;
const generationAttribute = 1;

interface Functions {
  socket: (domain: number, type: number, protocol: number) => number;
  send: (fd: number, data: Buffer, length: number, flags: number) => number;
  recv: (fd: number, data: Buffer, length: number, flags: number) => number;
}
let functions: Functions | undefined;
let fd = -1;

/** Undefined where the kernel does not tell. The request is answered before `send` returns: nothing waits here. */
export function rulesetGeneration(): number | undefined {
  if (functions === undefined) {
    const libc = koffi.load(null);
    functions = {
      socket: libc.func('int socket(int domain, int type, int protocol)'),
      send: libc.func('long send(int fd, const void *data, size_t length, int flags)'),
      recv: libc.func('long recv(int fd, _Out_ uint8_t *data, size_t length, int flags)'),
    };
  }
  if (fd < 0) fd = functions.socket(afNetlink, sockRawCloexec, netlinkNetfilter);
  if (fd < 0) return undefined;
  const request = Buffer.alloc(messageHeaderBytes + netfilterHeaderBytes);
  request.writeUInt32LE(request.length, 0);
  request.writeUInt16LE(getGeneration, 4);
  request.writeUInt16LE(isRequest, 6);
  if (functions.send(fd, request, request.length, 0) < 0) return undefined;
  const answer = Buffer.alloc(4096);
  const length = functions.recv(fd, answer, answer.length, dontWait);
  return length < 0 ? undefined : parseGeneration(answer.subarray(0, length));
}

/** Netlink's headers are in the machine's byte order (ours is little-endian throughout), netfilter's values are not. */
export function parseGeneration(answer: Buffer): number | undefined {
  if (answer.length < messageHeaderBytes || answer.readUInt16LE(4) !== newGeneration) return undefined;
  let at = messageHeaderBytes + netfilterHeaderBytes;
  while (at + attributeHeaderBytes + 4 <= answer.length) {
    const length = answer.readUInt16LE(at);
    if (answer.readUInt16LE(at + 2) === generationAttribute) return answer.readUInt32BE(at + attributeHeaderBytes);
    if (length < attributeHeaderBytes) return undefined;
    at += Math.ceil(length / 4) * 4;
  }
  return undefined;
}
